"""What every connector of kind tryton brings, against a real Tryton: everything it reads can be mapped."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from erpcrm_orchestration.clients.tryton import TrytonClient
from erpcrm_orchestration.config.connection_models import ConnectorPart
from erpcrm_orchestration.config.presets import preset
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorEntity, ConnectorKind
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.mapping import CompiledMapping, MappedRecord
from erpcrm_orchestration.domain.received import Change, Span
from erpcrm_orchestration.domain.strict_json import loads
from tests.real.systems.tryton import TrytonErp


@pytest.fixture
def connector() -> Connector:
    """The connector that says nothing but its kind."""
    return ConnectorPart.model_validate(preset(ConnectorKind.TRYTON)).to_value(connector_code="tryton")


@pytest.fixture
def client(tryton_erp: TrytonErp, connector: Connector) -> Iterator[TrytonClient]:
    credentials = {"user": tryton_erp.user, "password": tryton_erp.password}
    options = {"database": tryton_erp.database}
    connection = Connection("erp998", "998", "erp", "tryton", tryton_erp.url, credentials, options=options)
    with TrytonClient(connector, connection, {}) as made:
        yield made


def _mapped(client: TrytonClient, entity: ConnectorEntity) -> dict[str, MappedRecord]:
    assert entity.map is not None
    mapping = CompiledMapping(ENTITIES[entity.map.entity], entity.map)
    records = [record for page in client.pages(entity, Span()) for record in page.records]
    contents = {record.source_id: loads(record.payload) for record in records}
    return {number: mapping.apply(content) for number, content in contents.items() if isinstance(content, dict)}


@pytest.mark.parametrize("name", ["parties", "products", "sales"])
def test_what_the_preset_reads_can_be_mapped(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp, name: str
) -> None:
    tryton_erp.place_sale("PRESET")
    entity = connector.entity(name)
    assert entity is not None
    assert _mapped(client, entity)


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
