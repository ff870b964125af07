"""The client of Tryton against a real Tryton 8.2: every statement of a connector, and what is Tryton's own."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from erpcrm_orchestration.clients.rest_session import Surroundings
from erpcrm_orchestration.clients.tryton import TrytonClient
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.connection import (
    Call,
    ChangeMode,
    Connection,
    Connector,
    ConnectorEntity,
    ConnectorKind,
    Paging,
    PagingKind,
    Reading,
    Writing,
)
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.received import Change, Received, Span, UnknownOutcome
from tests.connectors.conformance import Conformance
from tests.real.systems.forward import Forward
from tests.real.systems.tryton import DATABASE, TrytonErp

_prefixes = (f"T{number}-" for number in itertools.count())
OPENING = 2
"""A session begins with two requests: the login, and the context of the user."""
SALE_FIELDS = "number,reference,state,party.code,lines.product.code,lines.quantity,lines.unit_price,sale_date,total_amount"


def entity(name: str, model: str, fields: str, domain: object = (), **more: Any) -> ConnectorEntity:
    """Return an entity that is read by its dates, three records a page."""
    pages = Call(model, query={"fields": fields, "domain": json.dumps(domain)})
    paging = Paging(PagingKind.KEYSET, size=3)
    return ConnectorEntity(
        name, Reading(ChangeMode.CURSOR, pages, modified="write_date", paging=paging, one=Call(model)), **more
    )


@pytest.fixture
def forward(tryton_erp: TrytonErp) -> Iterator[WebServer]:
    """A server before the real one, which can be told to spoil an answer."""
    with WebServer(Forward(tryton_erp.url)) as server:
        yield server


def client_of(url: str, erp: TrytonErp, *, password: str | None = None, database: str | None = None) -> TrytonClient:
    """Return a client whose pauses take no time."""
    connector = Connector("tryton", ConnectorKind.TRYTON, requests_per_s=10_000)
    credentials = {"user": erp.user, "password": password or erp.password}
    options = {"database": database or erp.database}
    connection = Connection("erp998", "998", "erp", "tryton", url, credentials, options=options)
    return TrytonClient(connector, connection, {}, Surroundings(sleep=lambda _: None))


class Parties:
    """Parties of one test: their codes begin with a prefix of its own. See SystemUnderTest."""

    page_size = 3
    update: Mapping[str, object] = {"status": "shipped"}
    cannot: Mapping[str, str] = {"spoil": "Tryton keeps no record that must be refused"}

    def __init__(self, erp: TrytonErp, server: WebServer, folder: Path) -> None:
        self._erp, self._server, self._file = erp, server, folder / f"{DATABASE}.sqlite"
        self._prefix = next(_prefixes)
        self._numbers = itertools.count()
        self.secrets = (erp.password,)
        self.entity = entity(
            "parties",
            "party.party",
            "code,name,addresses.city",
            [["code", "like", f"{self._prefix}%"]],
            write=Writing(
                create=Call("party.party.create", "POST", body={"code": f"{self._prefix}{{key}}", "name": "{status}"}),
                find=Call("party.party", query={"domain": json.dumps([["code", "=", f"{self._prefix}{{key}}"]])}),
                update=Call("party.party.write", "POST", body={"name": "{status}"}),
                fields=("status",),
                values={"status": {"shipped": "completed"}},
            ),
        )

    def client(self, *, wrong_credentials: bool = False) -> TrytonClient:
        return client_of(self._server.url, self._erp, password="wrong-password" if wrong_credentials else None)

    def add(self, at: datetime) -> str:
        address = ["create", [{"city": "Lyon"}]]
        values = {"code": f"{self._prefix}{next(self._numbers):03}", "name": "new", "addresses": [address]}
        record = int(self._erp.rpc("party.party", "create", [values])[0])
        self._date(record, "create_date", at)
        return str(record)

    def change(self, record: str, at: datetime) -> None:
        self._erp.rpc("party.party", "write", [int(record)], {"name": "changed"})
        self._date(int(record), "write_date", at)

    def _date(self, record: int, name: str, at: datetime) -> None:
        """Set what only the server's clock sets, in its file."""
        with closing(sqlite3.connect(self._file, timeout=20)) as database, database:
            text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            for table, column in (("party_party", "id"), ("party_address", "party")):
                database.execute(f"UPDATE {table} SET {name} = ? WHERE {column} = ?", (text, record))
                if name == "create_date":
                    database.execute(f"UPDATE {table} SET write_date = NULL WHERE {column} = ?", (record,))

    def spoil(self, record: str) -> None:
        raise NotImplementedError

    def fail_next(self) -> None:
        self._server.system.faults.arm("503")

    def lose_next_answer(self) -> None:
        # The types of the fields are asked for before the record is created.
        self._server.system.faults.arm("lost_answer", skip=OPENING + 1)

    def effects(self) -> int:
        return len(self._erp.search("party.party", [["code", "=", f"{self._prefix}key-create"]]))


class TestTrytonConformance(Conformance):
    """Every statement of a connector."""

    @pytest.fixture
    def system(self, tryton_erp: TrytonErp, forward: WebServer, tryton_folder: Path) -> Parties:
        return Parties(tryton_erp, forward, tryton_folder)


@pytest.fixture
def client(tryton_erp: TrytonErp) -> Iterator[TrytonClient]:
    with client_of(tryton_erp.url, tryton_erp) as made:
        yield made


@pytest.fixture
def sales(tryton_erp: TrytonErp) -> Callable[..., ConnectorEntity]:
    """The sales with a reference."""

    def of(reference: str, **more: Any) -> ConnectorEntity:
        return entity("sales", "sale.sale", SALE_FIELDS, [["reference", "=", reference]], **more)

    return of


Sales = Callable[..., ConnectorEntity]


def read(client: TrytonClient, what: ConnectorEntity, span: Span | None = None) -> list[Received]:
    return [record for page in client.pages(what, span or Span()) for record in page.records]


def test_a_sale_comes_with_its_lines_and_relations_as_plain_json(
    client: TrytonClient, tryton_erp: TrytonErp, sales: Sales
) -> None:
    number = tryton_erp.place_sale("PLAIN", [("P000", 2), ("P001", 1)])
    pages = list(client.pages(sales("PLAIN"), Span()))
    (record,) = pages[0].records
    content = json.loads(record.payload)
    assert (record.source_id, content["party"]["code"], content["total_amount"]) == (str(number), "C0000", "45.00")
    assert [(line["product"]["code"], line["quantity"], line["unit_price"]) for line in content["lines"]] == [
        ("P000", 2.0, "12.50"),
        ("P001", 1.0, "12.50"),
    ]
    assert content["create_date"].startswith(record.version_at.strftime("%Y-%m-%dT%H:%M")) if record.version_at else False
    assert pages[0].clock is not None
    assert len(pages) == 1


def test_a_line_that_changes_makes_its_sale_changed(client: TrytonClient, tryton_erp: TrytonErp, sales: Sales) -> None:
    """Tryton itself leaves the sale's date as it was."""
    number = tryton_erp.place_sale("LINE", [("P000", 2)])
    (before,) = read(client, sales("LINE"))
    assert before.version_at is not None
    after = before.version_at + timedelta(microseconds=1)
    assert read(client, sales("LINE"), Span(after=after)) == []
    line = tryton_erp.read("sale.sale", number, "lines")["lines"][0]
    tryton_erp.rpc("sale.line", "write", [line], {"description": "changed"})
    (changed,) = read(client, sales("LINE"), Span(after=after))
    assert changed.version_at is not None
    assert changed.version_at > before.version_at


def test_what_was_shipped_and_invoiced_is_seen_by_its_date(client: TrytonClient, tryton_erp: TrytonErp, sales: Sales) -> None:
    number = tryton_erp.place_sale("SHIP")
    (before,) = read(client, sales("SHIP"))
    tryton_erp.process(number)
    tryton_erp.ship(number)
    tryton_erp.invoice(number)
    what = entity("states", "sale.sale", "shipment_state,invoice_state", [["reference", "=", "SHIP"]])
    (after,) = read(client, what, Span(after=before.version_at))
    states = json.loads(after.payload)
    assert (states["shipment_state"], states["invoice_state"]) == ("sent", "awaiting payment")


def test_an_archived_record_is_still_read(client: TrytonClient, tryton_erp: TrytonErp) -> None:
    number = tryton_erp.rpc("party.party", "create", [{"code": "ARCHIVED", "name": "x"}])[0]
    tryton_erp.rpc("party.party", "write", [number], {"active": False})
    what = entity("parties", "party.party", "code,active", [["code", "=", "ARCHIVED"]])
    assert not json.loads(read(client, what)[0].payload)["active"]
    fetched = client.fetch(what, str(number))
    assert fetched is not None
    assert fetched.source_id == str(number)


def test_a_sale_is_created_with_lines_by_the_types_of_the_fields_and_a_button_is_pressed(
    client: TrytonClient, tryton_erp: TrytonErp, sales: Sales
) -> None:
    """Our texts and decimals become what Tryton wants: numbers of records, Decimal, float, date."""
    model = tryton_erp.place_sale("MODEL")
    known = tryton_erp.read("sale.sale", model, "party", "invoice_address", "payment_term", "lines.product", "lines.unit")
    line = {"product": "{product}", "unit": "{unit}", "quantity": "{quantity}", "unit_price": "{price}"}
    body = {
        "party": "{ref.customer}",
        "invoice_address": known["invoice_address"],
        "shipment_address": known["invoice_address"],
        "payment_term": known["payment_term"],
        "reference": "{number}",
        "sale_date": "{placed}",
        "lines": [["create", [line]]],
    }
    values = {
        "ref": {"customer": str(known["party"])},
        "product": str(known["lines."][0]["product"]),
        "unit": str(known["lines."][0]["unit"]),
        "quantity": "3",
        "price": "12.50",
        "number": "TYPED",
        "placed": "2026-11-18T12:00:00+00:00",
    }
    writing = Writing(create=Call("sale.sale.create", "POST", body=body), update=Call("sale.sale.quote", "POST"))
    what = sales("TYPED", write=writing)
    written = client.write(Change(what, None, values, "key"))
    client.write(Change(what, written.external_id, {}, "key-2"))
    (record,) = read(client, what)
    content = json.loads(record.payload)
    assert (record.source_id, content["state"], content["sale_date"]) == (written.external_id, "quotation", "2026-11-18")
    assert (content["lines"][0]["quantity"], content["total_amount"]) == (3.0, "37.50")


def _party_update(**more: Any) -> ConnectorEntity:
    update = Call("party.party.write", "POST", body={"name": "{name}"})
    check = Call("party.party", query={"fields": "name"})
    return entity("parties", "party.party", "name", write=Writing(update=update, check=check, **more))


def test_who_was_slower_is_refused_by_the_lock_and_tries_again(tryton_erp: TrytonErp) -> None:
    """ConcurrencyException: between our look and our write somebody else writes."""
    number = tryton_erp.rpc("party.party", "create", [{"code": "LOCK", "name": "old"}])[0]
    system = Forward(tryton_erp.url, lambda: tryton_erp.rpc("party.party", "write", [number], {"name": "faster"}))
    # After the opening come the look and the types of the fields, then the write.
    system.faults.arm("shifting_pages", skip=OPENING + 2)
    with WebServer(system) as server, client_of(server.url, tryton_erp) as client:
        change = Change(_party_update(), str(number), {"name": "ours"}, "key")
        with pytest.raises(TransientFailure, match=r"^E-SRC-050 .*ConcurrencyException"):
            client.write(change)
        assert tryton_erp.read("party.party", number, "name")["name"] == "faster"
        assert client.write(change).conflict is None
    assert tryton_erp.read("party.party", number, "name")["name"] == "ours"


def test_a_value_that_forbids_the_change_is_a_conflict(client: TrytonClient, tryton_erp: TrytonErp) -> None:
    number = tryton_erp.rpc("party.party", "create", [{"code": "REFUSE", "name": "closed"}])[0]
    what = _party_update(refuse_when={"name": ("closed",)})
    assert client.write(Change(what, str(number), {"name": "open"}, "key")).conflict == "name is 'closed' there"
    assert tryton_erp.read("party.party", number, "name")["name"] == "closed"


def test_a_lost_answer_of_an_update_is_an_unknown_outcome(tryton_erp: TrytonErp) -> None:
    """F30."""
    number = tryton_erp.rpc("party.party", "create", [{"code": "LOST", "name": "old"}])[0]
    system = Forward(tryton_erp.url)
    system.faults.arm("lost_answer", skip=OPENING + 2)
    with WebServer(system) as server, client_of(server.url, tryton_erp) as client, pytest.raises(UnknownOutcome):
        client.write(Change(_party_update(), str(number), {"name": "ours"}, "key"))
    assert tryton_erp.read("party.party", number, "name")["name"] == "ours"


def test_what_tryton_refuses_is_permanent_and_in_its_words(client: TrytonClient, tryton_erp: TrytonErp) -> None:
    """A UserError."""
    tryton_erp.place_sale("REFUSED")
    what = entity("sales", "sale.sale", "number", write=Writing(update=Call("sale.sale.quote", "POST")))
    with pytest.raises(PermanentFailure, match=r"^E-SRC-050 connection erp998: POST model.sale.sale.quote: .*UserError"):
        client.write(Change(what, "999999", {}, "key"))


@pytest.mark.parametrize("field", ["nofield", "nofield.code"])
def test_a_field_that_the_model_does_not_have_is_permanent(client: TrytonClient, field: str) -> None:
    with pytest.raises(PermanentFailure, match=r"^E-SRC-05"):
        read(client, entity("parties", "party.party", f"code,{field}"))


def test_an_unknown_database_and_a_method_that_is_not_for_others_are_refused(
    tryton_erp: TrytonErp, client: TrytonClient
) -> None:
    with client_of(tryton_erp.url, tryton_erp, database="nobody") as other, pytest.raises(PermanentFailure, match="E-SRC-048"):
        read(other, entity("parties", "party.party", "code"))
    writing = Writing(update=Call("party.party.no_such_method", "POST"))
    with pytest.raises(CredentialsRefused):
        client.write(Change(entity("parties", "party.party", "code", write=writing), "1", {}, "key"))


def test_a_session_that_has_ended_is_begun_anew(client: TrytonClient, tryton_erp: TrytonErp, tryton_folder: Path) -> None:
    what = entity("parties", "party.party", "code", [["code", "=", "C0000"]])
    assert len(read(client, what)) == 1
    with closing(sqlite3.connect(tryton_folder / f"{DATABASE}.sqlite", timeout=20)) as database, database:
        database.execute("DELETE FROM ir_session")
    assert len(read(client, what)) == 1
    tryton_erp.login()


def test_added_records_are_read_after_the_last_key(client: TrytonClient, tryton_erp: TrytonErp) -> None:
    numbers = tryton_erp.rpc("party.party", "create", [{"code": f"APPEND{one}", "name": "x"} for one in range(5)])
    what = entity("parties", "party.party", "code", [["code", "like", "APPEND%"]])
    assert what.read is not None
    appended = replace(what, read=replace(what.read, mode=ChangeMode.APPEND, modified=None))
    found = read(client, appended, Span(last_key=str(numbers[1])))
    assert [(one.source_id, one.version_at) for one in found] == [(str(number), None) for number in numbers[2:]]
