"""Records into their tables: a few with one statement, many from staged tables, and both ways the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.entity import ORDER
from erpcrm_orchestration.domain.mapping import address_of
from erpcrm_orchestration.store import record_merge
from erpcrm_orchestration.store.record_merge import RecordMerge, Rows
from erpcrm_orchestration.store.records import load_records
from tests.integrated_company import IntegratedCompany

NAMES = ("number", "currency", "total", "ordered_at", "billing_address")
CHILDREN = {"lines": ("name", "quantity", "total"), "coupons": ("code", "discount"), "meta": ("key", "value")}
STATEMENTS_OF_A_SMALL_BATCH = 8
"""Fence, claim, references, merge, close, wake, logbook; and one that asks whether something is just being created."""


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock) -> IntegratedCompany:
    """Dossiers 998 and 999, to which the same is written in the two ways."""
    made = IntegratedCompany(engine, clock)
    made.dossier("998")
    made.dossier("999")
    return made


def batch(random: Random) -> Rows:
    """Return some of twelve orders, each with whatever it has this time."""
    fields = [field for name in NAMES if (field := ORDER.field(name))]
    child_fields = {
        child.name: [field for field in child.fields if field.name in CHILDREN[child.name]]
        for child in ORDER.children
        if child.name in CHILDREN
    }
    rows = Rows(fields, child_fields)
    for number in sorted(random.sample(range(1, 13), 7)):
        where = address_of(tuple(random.choice((None, "é\\ \" '", f"{random.randint(1, 9)}")) for _ in range(11)))  # type: ignore[arg-type]
        if where is not None:
            rows.addresses[where.address_hash] = where.parts
        at = datetime(2026, 11, random.randint(1, 3), 12, 0, 0, random.choice((0, 500_000)), tzinfo=UTC)
        total = Decimal(random.choice(("12.50", "1E+3", "0.000000000000000000010")))
        rows.header.append((number, random.choice(("A", "ж\t\n", None)), "EUR", total, at, where and where.address_hash))
        for name, row in (
            ("lines", ("Lamp", Decimal("2.0"), None)),
            ("coupons", ("AUTUMN", Decimal("0.10"))),
            ("meta", ("note", random.choice(('{"b":  1.10, "a": [1e2]}', "null", '"x"')))),
        ):
            for key in random.sample("pqrs", random.randint(0, 3)):
                rows.children.setdefault(name, []).append((number, key, random.randint(0, 1), *row))
    return rows


def stored(company: IntegratedCompany, dossier: str) -> list[list[dict[str, Any]]]:
    """Return everything that was written, without its dossier."""
    tables = ("address", "order_header", "order_line", "order_coupon", "entity_meta")
    values = sa.text("SELECT value::text FROM hub.entity_meta WHERE dossier_code = :code ORDER BY record_id, entry_key")
    found = [[{**row, "dossier_code": ""} for row in company.rows(f"hub.{name}", dossier_code=dossier)] for name in tables]
    with company.engine.connect() as connection:
        return [*found, [dict(row) for row in connection.execute(values, {"code": dossier}).mappings()]]


@pytest.mark.parametrize("seed", range(5))
def test_a_few_rows_are_written_as_many_are(company: IntegratedCompany, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """What is gone is deleted, what does not differ is not written, and both tell the same records as changed."""
    random = Random(seed)  # noqa: S311  the same batches every time
    for turn in range(8):
        company.pass_time()
        rows, creates = batch(random), turn % 4 != 3
        changed = {}
        for dossier, few in (("998", 0), ("999", 10_000)):
            monkeypatch.setattr(record_merge, "FEW", few)
            with company.engine.begin() as connection:
                merge = RecordMerge(connection, dossier, ORDER, company.clock.now())
                taken = rows if creates else only(rows, merge.existing(row[0] for row in rows.header))
                changed[dossier] = merge.merge(taken, creates=creates), merge.mark_deleted({rows.header[0][0]})
                assert merge.merge(taken, creates=False) == set()
        assert changed["998"] == changed["999"]
        assert stored(company, "998") == stored(company, "999")


def only(rows: Rows, ids: set[int]) -> Rows:
    """Return the rows of these records."""
    children = {name: [row for row in found if row[0] in ids] for name, found in rows.children.items()}
    return Rows(rows.fields, rows.child_fields, [row for row in rows.header if row[0] in ids], children, rows.addresses)


def test_records_are_loaded_with_all_that_belongs_to_them(company: IntegratedCompany) -> None:
    """Decimals keep their digits, instants are in UTC, children stand in their order, an address is its parts."""
    rows = batch(Random(1))  # noqa: S311  the same batch every time
    with company.engine.begin() as connection:
        RecordMerge(connection, "998", ORDER, company.clock.now()).merge(rows, creates=True)
        loaded = load_records(connection, "998", ORDER, [row[0] for row in rows.header])
    assert set(loaded) == {row[0] for row in rows.header}
    for number, name, _, total, at, where in rows.header:
        found = loaded[number]
        assert (found["number"], Decimal(found["total"])) == (name, total)
        assert found["ordered_at"] == at.isoformat().replace("+00:00", "Z")
        assert (found["billing_address"] and tuple(found["billing_address"].values())) == (where and rows.addresses[where])
        assert [one["key"] for one in found["meta"]] == ["note"] * len(found["meta"])
        places = {row[1]: row[2] for row in rows.children["lines"] if row[0] == number}
        assert {one["key"] for one in found["lines"]} == set(places)
        assert [places[one["key"]] for one in found["lines"]] == sorted(places.values())
        assert found["refunds"] == []


@pytest.fixture
def shop(clock: FixedClock, company: IntegratedCompany) -> Iterator[Shop]:
    """The simulated shop, connected to dossier 998."""
    made = Shop(clock=clock)
    server = WebServer(made)
    server.start()
    company.connect_shop(server.url)
    yield made
    server.stop()


def test_a_few_orders_take_a_few_statements(company: IntegratedCompany, shop: Shop) -> None:
    """However many tables belong to an order, and also when the orders are there already."""
    products = [shop.add_product(f"Lamp {number}", "12.50")["id"] for number in range(3)]
    customer = shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")["id"]
    company.round()
    for _ in range(2):
        company.pass_time()
        for _ in range(3):
            shop.add_order([(one, 2) for one in products], customer_id=customer)
        statements = noted(company)
        done = company.round()["998"]
        assert done.tallies["shop_998", "orders"].transformed == 3
        first = next(at for at, one in enumerate(statements) if "Locks the oldest new messages" in one)
        last = next(at for at, one in enumerate(statements) if "INSERT INTO flow.logbook_entry" in one and at > first)
        assert last - first + 2 <= STATEMENTS_OF_A_SMALL_BATCH, statements[first : last + 1]


def noted(company: IntegratedCompany) -> list[str]:
    """Return the list to which every statement is added from now on."""
    statements: list[str] = []

    def note(*args: Any) -> None:
        statements.append(args[2])

    sa.event.listen(company.engine, "before_cursor_execute", note)
    return statements
