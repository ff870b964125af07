"""The client of kind sql against tables of PostgreSQL and SQLite, in all three modes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.clients.sql_table import SqlClient
from erpcrm_orchestration.domain.connection import (
    Call,
    ChangeMode,
    Connection,
    Connector,
    ConnectorEntity,
    ConnectorKind,
    Follow,
    Paging,
    Reading,
)
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure
from erpcrm_orchestration.domain.received import Received, Span
from erpcrm_orchestration.domain.strict_json import loads
from tests.connectors.conformance import START, Conformance, read, read_pages

PASSWORD, WRONG = "canary-sql-0001", "canary-sql-wrong"
CALL = Call("orders", query={"company": "{dossier}"})
NOT_WRITTEN = dict.fromkeys(("create", "update", "lost_answer"), "a database is not written")
READ_WHOLE = {"change": "everything is read", "equal_times": "everything is read"}
MODES: dict[str, tuple[Reading, Mapping[str, str]]] = {
    "cursor": (Reading(ChangeMode.CURSOR, CALL, modified="changed", paging=Paging(size=3)), NOT_WRITTEN),
    "append": (Reading(ChangeMode.APPEND, CALL, paging=Paging(size=3)), {**NOT_WRITTEN, **READ_WHOLE}),
    "snapshot": (Reading(ChangeMode.SNAPSHOT, CALL, paging=Paging(size=3)), {**NOT_WRITTEN, **READ_WHOLE}),
}
LINES = Follow("lines", call=Call("lines", query={"order_id": "{parent.id}"}), records="")
BUYER = Follow("buyer.person", call=Call("people", query={"person": "{parent.buyer_id}"}))

metadata = sa.MetaData()
orders = sa.Table(
    "orders", metadata,
    sa.Column("number", sa.Integer), sa.Column("id", sa.Integer), sa.Column("company", sa.Text),
    sa.Column("changed", sa.DateTime(timezone=True)), sa.Column("total", sa.Numeric(12, 2)), sa.Column("note", sa.Text),
    sa.Column("buyer_id", sa.Numeric(8, 0)), sa.Column("day", sa.Date), sa.Column("paid", sa.Boolean),
    sa.Column("raw", sa.LargeBinary), sa.Column("rate", sa.Float),
)  # fmt: skip
lines = sa.Table(
    "lines", metadata,
    sa.Column("line", sa.Integer, primary_key=True), sa.Column("order_id", sa.Integer), sa.Column("name", sa.Text),
)  # fmt: skip
people = sa.Table("people", metadata, sa.Column("person", sa.Integer), sa.Column("name", sa.Text))


@dataclass
class TableUnderTest:
    """A table whose rows of another company are never to be seen."""

    engine: sa.Engine
    url: str
    entity: ConnectorEntity
    cannot: Mapping[str, str]
    page_size: int = 3
    secrets: tuple[str, ...] = (PASSWORD, WRONG)
    update: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = itertools.count(8)
        self._away = 0
        metadata.create_all(self.engine)
        self._insert(5, START, company="340")

    def client(self, *, wrong_credentials: bool = False) -> SqlClient:
        url = self.url
        if wrong_credentials:
            url = url.replace("postgres@", "canary-nobody:canary-sql-wrong@")
        if self._away:
            self._away -= 1
            url = "postgresql://127.0.0.1:9/none" if "postgres" in url else "sqlite:////nowhere/none.db"
        connector = Connector("table", ConnectorKind.SQL, timeout_s=5)
        return SqlClient(connector, Connection("table-998", "998", "erp", "table", "${env:DB}"), {"DB": url})

    def _insert(self, key: int, at: datetime, **values: object) -> None:
        with self.engine.begin() as connection:
            row = {"number": key, "id": key, "company": "998", "changed": at, "total": "12.50", **values}
            connection.execute(orders.insert().values(row))

    def add(self, at: datetime) -> str:
        key = next(self._ids)
        self._insert(key, at)
        return str(key)

    def set(self, record: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(orders.update().where(orders.c.number == int(record)).values(values))

    def change(self, record: str, at: datetime) -> None:
        self.set(record, changed=at)

    def spoil(self, record: str) -> None:
        self.set(record, id=None)

    def fail_next(self) -> None:
        self._away = 1

    def lose_next_answer(self) -> None:
        raise AssertionError("nothing is written")

    def effects(self) -> int:
        return 0


@pytest.fixture
def sqlite(tmp_path: Path) -> TableUnderTest:
    url = f"sqlite:///{tmp_path / 'erp.db'}"
    reading, cannot = MODES["cursor"]
    return TableUnderTest(sa.create_engine(url, poolclass=sa.NullPool), url, ConnectorEntity("orders", reading), cannot)


@pytest.fixture
def postgres(engine: sa.Engine) -> TableUnderTest:
    reading, cannot = MODES["cursor"]
    return TableUnderTest(engine, engine.url.render_as_string(hide_password=False), ConnectorEntity("orders", reading), cannot)


class TestPostgres(Conformance):
    @pytest.fixture(params=sorted(MODES))
    def system(self, request: pytest.FixtureRequest, postgres: TableUnderTest) -> TableUnderTest:
        reading, cannot = MODES[request.param]
        postgres.entity = ConnectorEntity("orders", reading)
        postgres.cannot = cannot
        return postgres


class TestSqlite(Conformance):
    @pytest.fixture(params=sorted(MODES))
    def system(self, request: pytest.FixtureRequest, sqlite: TableUnderTest) -> TableUnderTest:
        reading, cannot = MODES[request.param]
        sqlite.entity = ConnectorEntity("orders", reading)
        sqlite.cannot = {**cannot, "credentials": "a file has none"}
        return sqlite


@pytest.fixture(params=["postgres", "sqlite"])
def system(request: pytest.FixtureRequest) -> TableUnderTest:
    found: TableUnderTest = request.getfixturevalue(request.param)
    return found


def follow(system: TableUnderTest, *follows: Follow) -> None:
    reading, _ = MODES["snapshot"]
    system.entity = ConnectorEntity("orders", Reading(reading.mode, CALL, paging=Paging(size=3), follow=follows))


def only(records: list[Received]) -> dict[str, object]:
    (record,) = records
    assert record.fault is None
    found = loads(record.payload)
    assert isinstance(found, dict)
    return found


def test_b23_values_keep_their_digits_and_types(system: TableUnderTest) -> None:
    """B23 catalogue 4 96: an amount is a number with all its digits, an instant ISO, bytes base64, nothing null."""
    system.set(
        system.add(START), total="1234567890.10", note="é \\ \" 中", day=START.date(), paid=True, raw=b"\x00\xff",
        rate=0.1, buyer_id=7,
    )  # fmt: skip
    (record,) = read(system, Span())
    expected = '"total":1234567890.10' if "postgres" in system.url else '"total":1234567890.1'
    assert expected in record.payload
    found = only([record])
    assert (found["note"], found["day"], found["raw"], str(found["rate"])) == ('é \\ " 中', "2026-11-18", "AP8=", "0.1")
    assert found["paid"] in (True, 1)
    assert str(found["changed"]).startswith("2026-11-18")
    assert record.version_at == START


def test_children_of_a_page_come_with_one_statement_in_a_fixed_order(system: TableUnderTest) -> None:
    keys = [system.add(START) for _ in range(3)]
    system.set(keys[1], buyer_id=1)
    with system.engine.begin() as connection:
        rows = [{"line": 90 - n, "order_id": int(keys[n % 2]), "name": f"row {n}"} for n in range(4)]
        connection.execute(lines.insert(), rows)
        connection.execute(people.insert(), [{"person": 1, "name": "Ana"}, {"person": 2, "name": "Paul"}])
    follow(system, LINES, BUYER)
    (page,) = [page for page in read_pages(system, Span()) if page.records]
    found = [loads(record.payload) for record in page.records]
    assert [[line["line"] for line in one["lines"]] for one in found] == [[88, 90], [87, 89], []]  # type: ignore[index, call-overload]
    assert [one["buyer"]["person"] and one["buyer"]["person"]["name"] for one in found] == [None, "Ana", None]  # type: ignore[index, call-overload]
    assert page.requests == 3


def test_f31_catalogue_7_8_18_a_row_that_is_no_good_is_refused_alone(system: TableUnderTest) -> None:
    """F31: without instant it is read in every pass, outside of any window; its version is then the content."""
    good, lost = system.add(START), system.add(START)
    system.set(lost, changed=None)
    assert {one.source_id for one in read(system, Span(after=START))} == {good, lost}
    if "sqlite" in system.url:
        with system.engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE orders SET changed = 'yesterday', note = CAST(X'FF' AS TEXT) WHERE id = :id"), {"id": lost}
            )
        (bad,) = [one for one in read(system, Span(after=START)) if one.fault]
        assert bad.source_id == lost
        assert "E-SRC-007" in str(bad.fault)


def lines_by(**query: str) -> Reading:
    return Reading(ChangeMode.SNAPSHOT, CALL, follow=(Follow("x", call=Call("lines", query=query), records=""),))


@pytest.mark.parametrize(
    ("reading", "code", "hint"),
    [
        (Reading(ChangeMode.SNAPSHOT, Call("order")), "E-SRC-021", "orders"),
        (Reading(ChangeMode.SNAPSHOT, Call("orders"), record_id="numbr"), "E-SRC-022", "number"),
        (Reading(ChangeMode.SNAPSHOT, Call("orders", query={"colour": "x"})), "E-SRC-022", "colour"),
        (lines_by(), "E-SRC-060", "{parent"),
        (lines_by(ordr_id="{parent.id}"), "E-SRC-022", "order_id"),
        (lines_by(order_id="{parent.idd}"), "E-SRC-022", "id"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_one(system: TableUnderTest, reading: Reading, code: str, hint: str) -> None:
    system.add(START)
    system.entity = ConnectorEntity("orders", reading)
    with pytest.raises(PermanentFailure, match=code) as failure:
        read(system, Span())
    assert hint in str(failure.value)


def test_b29_a_user_that_is_not_let_in_stops_the_connection(postgres: TableUnderTest) -> None:
    with pytest.raises(CredentialsRefused, match="E-SRC-049"):
        list(postgres.client(wrong_credentials=True).pages(postgres.entity, Span()))
