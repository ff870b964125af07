"""What every connector of kind tryton brings, against a real Tryton: everything it reads can be mapped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from erpcrm_orchestration.clients.tryton import TrytonClient
from erpcrm_orchestration.config.connection_models import ConnectorPart
from erpcrm_orchestration.config.presets import preset
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorEntity, ConnectorKind
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.mapping import CompiledMapping, MappedRecord
from erpcrm_orchestration.domain.received import Change, Span
from erpcrm_orchestration.domain.record_filter import RecordFilter
from erpcrm_orchestration.domain.strict_json import loads
from tests.real.systems.tryton import TrytonErp


@pytest.fixture(scope="module")
def connector() -> Connector:
    """The connector that says nothing but its kind."""
    return ConnectorPart.model_validate(preset(ConnectorKind.TRYTON)).to_value(connector_code="tryton")


@pytest.fixture(scope="module")
def client(tryton_erp: TrytonErp, connector: Connector) -> Iterator[TrytonClient]:
    credentials = {"user": tryton_erp.user, "password": tryton_erp.password}
    options = {"database": tryton_erp.database}
    connection = Connection("erp998", "998", "erp", "tryton", tryton_erp.url, credentials, options=options)
    with TrytonClient(connector, connection, {}) as made:
        yield made


@pytest.fixture(scope="module")
def posted(tryton_erp: TrytonErp) -> int:
    """The posted invoice of a sale."""
    sale = tryton_erp.place_sale("PRESET", [("P000", 2), ("P001", 1)])
    tryton_erp.process(sale)
    tryton_erp.invoice(sale)
    return tryton_erp.invoices(sale)[0]


@pytest.fixture(scope="module")
def subscription(client: TrytonClient, connector: Connector, tryton_erp: TrytonErp) -> Change:
    """A subscription of a shop as it is delivered: our fields, Tryton's ids below `ref`; it was created once."""
    entity = connector.entity("subscriptions")
    assert entity is not None
    line = {"quantity": Decimal(1), "unit_price": Decimal("9.0000"), "ref": {"product": str(tryton_erp.add_service("CARE"))}}
    period = {"billing_interval": 1, "billing_period": "month", "started_at": "2026-11-18T12:00:00Z"}
    customer = tryton_erp.search("party.party", [["code", "=", "C0002"]])[0]
    values = {"number": "SUB-7", "ref": {"customer": str(customer)}, "lines": [line], **period}
    client.write(Change(entity, None, values, "key"))
    return Change(entity, None, values, "key", doubtful=True)


def _mapped(client: TrytonClient, entity: ConnectorEntity) -> dict[str, MappedRecord]:
    """Return what is integrated of the records of an entity, by their ids."""
    assert entity.map is not None
    mapping, passes = CompiledMapping(ENTITIES[entity.map.entity], entity.map), RecordFilter(entity.map.where, ())
    records = [record for page in client.pages(entity, Span()) for record in page.records]
    contents = {record.source_id: loads(record.payload) for record in records}
    taken = {number: one for number, one in contents.items() if isinstance(one, dict) and passes.reason(one) is None}
    return {number: mapping.apply(content) for number, content in taken.items()}


@pytest.mark.parametrize("name", ["parties", "products", "sales", "invoices", "subscriptions"])
@pytest.mark.usefixtures("posted", "subscription")
def test_what_the_preset_reads_can_be_mapped(client: TrytonClient, connector: Connector, name: str) -> None:
    entity = connector.entity(name)
    assert entity is not None
    assert _mapped(client, entity)


def _document(client: TrytonClient, connector: Connector, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return header and lines of the document that an invoice becomes."""
    entity = connector.entity("invoices")
    assert entity is not None
    assert entity.map is not None
    mapping = CompiledMapping(ENTITIES["document"], entity.map)
    mapped = _mapped(client, entity)[str(number)]
    header = dict(zip([one.name for one in mapping.fields], mapped.header, strict=True))
    names = [one.name for one in mapping.child_fields["lines"]]
    return header, [dict(zip(names, row, strict=True)) for _, _, row in mapped.children["lines"]]


def test_a_posted_invoice_is_a_document_with_its_lines(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp, posted: int
) -> None:
    header, lines = _document(client, connector, posted)
    customer = str(tryton_erp.search("party.party", [["code", "=", "C0000"]])[0])
    assert (header["type"], header["state"], header["reference"], header["customer"]) == ("invoice", "open", "PRESET", customer)
    assert (header["total"], header["tax_total"], header["currency"]) == (Decimal("45.00"), Decimal("7.50"), "EUR")
    assert header["document_date"] == header["due_date"]
    assert [(line["sku"], line["unit"], line["quantity"], line["unit_price"], line["total"]) for line in lines] == [
        ("P000", "u", 2, Decimal("12.50"), Decimal("25.00")),
        ("P001", "u", 1, Decimal("12.50"), Decimal("12.50")),
    ]


def test_what_is_taken_back_is_a_credit_note(client: TrytonClient, connector: Connector, tryton_erp: TrytonErp) -> None:
    sale = tryton_erp.place_sale("PRESET-BACK", [("P000", -1)])
    tryton_erp.process(sale)
    tryton_erp.invoice(sale)
    header, _ = _document(client, connector, tryton_erp.invoices(sale)[0])
    assert (header["type"], header["total"]) == ("credit_note", Decimal("-15.00"))


def test_a_draft_and_an_invoice_of_a_supplier_are_no_documents(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp
) -> None:
    """A draft is kept until it is posted; what a supplier invoices is not read, and not taken when it is fetched."""
    entity = connector.entity("invoices")
    assert entity is not None
    assert entity.map is not None
    passes = RecordFilter(entity.map.where, ())
    draft, supplied = tryton_erp.draft_invoice("out"), tryton_erp.draft_invoice("in")
    kept = {record.source_id: loads(record.payload) for page in client.pages(entity, Span()) for record in page.records}
    assert passes.reason(kept[str(draft)]) == "left out: $.number is empty"
    assert str(supplied) not in kept
    fetched = client.fetch(entity, str(supplied))
    assert fetched is not None
    assert passes.reason(loads(fetched.payload)) == "left out: $.type is 'in', not out"


def test_a_customer_of_ours_is_created_by_the_preset_and_found_again(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp
) -> None:
    entity = connector.entity("parties")
    assert entity is not None
    values = {
        "first_name": "Anne",
        "last_name": "Durand",
        "email": "anne.durand@example.com",
        "billing_address": {"line_1": "1 rue des Alpes", "postcode": "69001", "city": "Lyon"},
    }
    written = client.write(Change(entity, None, values, "key"))
    again = client.write(Change(entity, None, values, "key", doubtful=True))
    assert (again.external_id, again.found) == (written.external_id, True)
    client.write(Change(entity, written.external_id, {"first_name": "Anna", "last_name": "Durand"}, "key-2"))
    number = int(written.external_id or 0)
    party = tryton_erp.read("party.party", number, "name", "email", "addresses.city")
    assert (party["name"], party["email"], party["addresses."][0]["city"]) == ("Anna Durand", "anne.durand@example.com", "Lyon")


def test_a_customer_without_an_address_is_created_without_one(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp
) -> None:
    entity = connector.entity("parties")
    assert entity is not None
    values = {"first_name": "Paul", "last_name": "Nomad", "email": "paul.nomad@example.com"}
    written = client.write(Change(entity, None, values, "key"))
    party = tryton_erp.read("party.party", int(written.external_id or 0), "email", "addresses")
    assert (party["email"], party["addresses"]) == ("paul.nomad@example.com", [])


def _sale(tryton_erp: TrytonErp, number: str, *, customer: int) -> dict[str, object]:
    """Return an order of a shop as it is delivered: our fields, Tryton's ids below `ref`."""
    product = str(tryton_erp.search("product.product", [["code", "=", "P001"]])[0])
    line = {"sku": "P001", "quantity": Decimal(2), "unit_price": Decimal("11.5000"), "ref": {"product": product}}
    return {"number": number, "ref": {"customer": str(customer)}, "lines": [line]}


def test_an_order_of_the_shop_becomes_a_sale_that_can_be_quoted(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp
) -> None:
    entity = connector.entity("sales")
    assert entity is not None
    customer = tryton_erp.search("party.party", [["code", "=", "C0001"]])[0]
    change = Change(entity, None, _sale(tryton_erp, "WEB-77", customer=customer), "key")
    written = client.write(change)
    again = client.write(Change(entity, None, change.values, "key", doubtful=True))
    assert (again.external_id, again.found) == (written.external_id, True)
    number = int(written.external_id or 0)
    tryton_erp.rpc("sale.sale", "quote", [number])
    sale = tryton_erp.read("sale.sale", number, "state", "reference", "lines.quantity", "lines.product.code", "untaxed_amount")
    assert (sale["state"], sale["reference"], sale["untaxed_amount"]["decimal"]) == ("quotation", "WEB-77", "23.00")
    assert [(line["quantity"], line["product."]["code"]) for line in sale["lines."]] == [(2.0, "P001")]


def test_what_a_dotted_key_does_not_find_is_named(client: TrytonClient, connector: Connector, tryton_erp: TrytonErp) -> None:
    entity = connector.entity("sales")
    assert entity is not None
    nowhere = tryton_erp.rpc("party.party", "create", [{"name": "without address", "addresses": None}])[0]
    with pytest.raises(PermanentFailure, match=rf"invoice_address.party: no party.address whose party is '{nowhere}'"):
        client.write(Change(entity, None, _sale(tryton_erp, "WEB-78", customer=nowhere), "key"))


def test_a_subscription_of_the_shop_is_found_again_and_can_be_run(
    client: TrytonClient, tryton_erp: TrytonErp, subscription: Change
) -> None:
    again = client.write(subscription)
    assert again.found
    number = int(again.external_id or 0)
    tryton_erp.run_subscription(number)
    fields = ("state", "reference", "party.code", "invoice_recurrence.name", "start_date")
    made = tryton_erp.read("sale.subscription", number, *fields, "lines.service.product.code", "lines.unit_price")
    assert (made["state"], made["reference"], made["party."]["code"]) == ("running", "SUB-7", "C0002")
    assert (made["invoice_recurrence."]["name"], made["start_date"]["day"]) == ("1 month", 18)
    (line,) = made["lines."]
    assert (line["service."]["product."]["code"], line["unit_price"]["decimal"]) == ("CARE", "9.0000")


LACKS_RULES = "invoice_recurrence.name: no sale.subscription.recurrence.rule.set whose name is '3 month'"
LACKS_SERVICE = "service.product: no sale.subscription.service whose product is '1'"


@pytest.mark.parametrize(
    ("change", "found"),
    [({"billing_interval": 3}, LACKS_RULES), ({"lines": [{"quantity": 1, "ref": {"product": "1"}}]}, LACKS_SERVICE)],
)
def test_what_a_subscription_needs_and_tryton_lacks_is_named(
    client: TrytonClient, subscription: Change, change: dict[str, Any], found: str
) -> None:
    with pytest.raises(PermanentFailure, match=re.escape(found)):
        client.write(Change(subscription.entity, None, {**subscription.values, "number": "SUB-8", **change}, "key"))
