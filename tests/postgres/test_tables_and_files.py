"""Orders out of files and databases: whatever form they come in, the same order becomes the same rows."""

from __future__ import annotations

import csv
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.table_of_tables import COLUMNS, TableRow, flatten
from tests.integrated_company import IntegratedCompany

MAP = """
        map:
          entity: order
          known: ["*"]
          fields:
            number: number
            state: {path: status, values: {paid: processing}, otherwise: UNKNOWN}
            currency: currency
            total: total
            ordered_at: ordered_at
            billing_address: {path: billing, fields: {first_name: first, city: city, country: country}}
          children:
            lines: {records: lines, key: line, fields: {sku: sku, quantity: quantity, total: total}}
            tax_lines: {records: taxes, key: code, fields: {rate_code: code, tax_total: amount}}
"""
ORDER: dict[str, Any] = {
    "number": "1001",
    "status": "paid",
    "currency": "EUR",
    "total": "36.00",
    "ordered_at": "2026-11-17T09:00:00Z",
    "billing": {"first": "Zoé", "city": "Lyon", "country": "FR"},
    "lines": [
        {"line": "2", "sku": "LAMP", "quantity": "2", "total": "20.00"},
        {"line": "1", "sku": "BULB", "quantity": "10", "total": "10.00"},
    ],
    "taxes": [{"code": "FR20", "amount": "6.00"}],
}
SMALL = "\n        map: {entity: order, fields: {number: number}}\n"
TABLES = ("hub.order_header", "hub.order_line", "hub.order_tax_line", "hub.address")
OURS = frozenset({"dossier_code", "order_id", "updated_at", "run_id", "message_id", "created_at", "row_hash", "received_at"})
SHAPE = "shape: table_of_tables, table: order"
CONNECTION = (
    '  {kind}_{dossier}: {{dossier: "{dossier}", system: erp, connector: {connector}, url: "{url}", poll_interval_s: 1}}\n'
)


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock) -> IntegratedCompany:
    """Four dossiers without connections."""
    made = IntegratedCompany(engine, clock)
    for code in ("001", "210", "340", "998"):
        made.dossier(code)
    return made


def connect(company: IntegratedCompany, dossier: str, kind: str, reading: str, url: str, entity: str = MAP) -> None:
    """Connect a folder or database whose orders are read so."""
    name = f"c{dossier}"
    connectors = f"connectors:\n  {name}:\n    kind: {kind}\n    entities:\n      orders:\n        read: {reading}{entity}"
    company.connect(f"{connectors}connections:\n" + CONNECTION.format(kind=kind, dossier=dossier, connector=name, url=url))


def put(path: Path, text: str) -> None:
    """Write a file that has been complete for a minute."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    old = path.stat().st_mtime - 60
    os.utime(path, (old, old))


def cells(row: TableRow) -> list[object]:
    table, key = row.parent or (None, None)
    return [row.table_name, row.record_key, table, key, row.field, row.value, row.seq]


def told(company: IntegratedCompany, dossier: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a dossier without what differs between any two dossiers."""
    return {
        table: [
            {name: value for name, value in row.items() if name not in OURS}
            for row in company.rows(table, dossier_code=dossier)
        ]
        for table in TABLES
    }


def test_the_same_order_as_nested_json_and_as_table_of_tables_gives_the_same_rows(
    company: IntegratedCompany, tmp_path: Path
) -> None:
    """Once as JSON, once as CSV and once as a database table of tables: hub.* is the same for all."""
    rows = [cells(row) for row in flatten(ORDER, "order", "55")]
    put(tmp_path / "json" / "orders.json", json.dumps([{"record_key": "55", **ORDER}]))
    lines = tmp_path / "csv" / "orders.csv"
    lines.parent.mkdir()
    with lines.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    put(lines, lines.read_text(encoding="utf-8"))
    url = f"sqlite:///{tmp_path / 'erp.db'}"
    _store(url, rows)
    snapshot = "{{mode: snapshot, record_id: record_key, pages: {{path: {path}, query: {{{query}}}}}}}"
    connect(company, "998", "files", snapshot.format(path='"*.json"', query=""), str(tmp_path / "json"))
    connect(company, "340", "files", snapshot.format(path='"*.csv"', query=SHAPE), str(tmp_path / "csv"))
    connect(company, "210", "sql", snapshot.format(path="facts", query=SHAPE), url)
    done = company.round("998", "340", "210")
    assert [one.failures for one in done.values()] == [[], [], []]
    assert company.states() == ["TRANSFORMED"] * 3
    assert [row["source_id"] for row in company.rows("flow.inbox")] == ["55"] * 3
    expected = told(company, "998")
    assert [len(expected[table]) for table in TABLES] == [1, 2, 1, 1]
    assert told(company, "340") == expected
    assert told(company, "210") == expected


def test_b15_f31_an_order_that_cannot_be_put_together_is_refused_and_its_neighbours_pass(
    company: IntegratedCompany, tmp_path: Path
) -> None:
    """B15 F31: what is in the tables stays; the refused one says why, with the way to it."""
    rows = [cells(row) for key in ("55", "56") for row in flatten({**ORDER, "number": key}, "order", key)]
    url = f"sqlite:///{tmp_path / 'erp.db'}"
    _store(
        url,
        [
            *rows,
            ["order.lines", "x", "order", "99", "sku", "LOST", 0],
            ["order.lines", "56/2", "order", "56", "sku", "AGAIN", 0],
        ],
    )
    connect(
        company, "998", "sql", f"{{mode: snapshot, record_id: record_key, pages: {{path: facts, query: {{{SHAPE}}}}}}}", url
    )
    company.round()
    assert [row["number"] for row in company.rows("hub.order_header")] == ["55"]
    refused = {row["source_id"]: row["error"] for row in company.rows("flow.inbox", state="REJECTED")}
    assert refused.keys() == {"56", "order.lines/x"}
    assert "field 'sku' of order.lines 56/2 stands twice" in refused["56"]
    assert "unknown parent: order.lines x > order 99" in refused["order.lines/x"]


def test_b2_b21_a_database_is_followed_by_its_instants(company: IntegratedCompany, tmp_path: Path, clock: FixedClock) -> None:
    """B2 B21 P1: a changed order is updated, a removed line goes, what did not change has no effect."""
    url = f"sqlite:///{tmp_path / 'erp.db'}"
    database = sa.create_engine(url, poolclass=sa.NullPool)
    with database.begin() as connection:
        for statement in (
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, company TEXT, changed TEXT, number TEXT, status TEXT, currency TEXT)",
            "CREATE TABLE rows (line INTEGER PRIMARY KEY, order_id INTEGER, sku TEXT, quantity NUMERIC, total NUMERIC)",
            "INSERT INTO orders VALUES (1, '998', '2026-11-18 10:00:00', 'A1', 'paid', 'EUR'),"
            " (2, '998', '2026-11-18 11:00:00', 'A2', 'paid', 'EUR'), (3, '340', '2026-11-18 11:00:00', 'B1', 'paid', 'EUR')",
            "INSERT INTO rows VALUES (10, 1, 'LAMP', 1, 5.5), (11, 1, 'BULB', 2, 1), (12, 2, 'LAMP', 1, 5.5)",
        ):
            connection.execute(sa.text(statement))
    reading = (
        '{mode: cursor, modified: changed, pages: {path: orders, query: {company: "{dossier}"}}, one: {path: orders}, '
        'follow: {lines: {call: {path: rows, query: {order_id: "{parent.id}"}}, records: ""}}}'
    )
    connect(company, "998", "sql", reading, url)
    assert company.round()["998"].failures == []
    assert [row["number"] for row in company.rows("hub.order_header")] == ["A1", "A2"]
    assert [row["sku"] for row in company.rows("hub.order_line")] == ["LAMP", "BULB", "LAMP"]
    with database.begin() as connection:
        connection.execute(sa.text("DELETE FROM rows WHERE line = 11"))
        connection.execute(sa.text("UPDATE orders SET status = 'odd', changed = '2026-11-18 12:30:00' WHERE id = 1"))
    clock.at += timedelta(hours=1)
    done = company.round()["998"]
    assert done.polls["sql_998", "orders"].receipt.new == 1
    assert [row["state"] for row in company.rows("hub.order_header")] == ["UNKNOWN", "processing"]
    assert [row["sku"] for row in company.rows("hub.order_line")] == ["LAMP", "LAMP"]


def test_a_snapshot_file_deletes_what_it_no_longer_holds(company: IntegratedCompany, tmp_path: Path, clock: FixedClock) -> None:
    """B4: the file is read at every pass and has an effect only when its content is new; a missing one deletes nothing."""
    file = tmp_path / "out" / "orders.csv"
    put(file, "id,number,status,currency\n1,A1,paid,EUR\n2,A2,paid,EUR\n")
    connect(company, "998", "files", '{mode: snapshot, pages: {path: "*.csv"}}', str(file.parent))
    for _ in range(3):
        assert company.round()["998"].failures == []
        clock.at += timedelta(seconds=2)
    assert company.states() == ["TRANSFORMED"] * 2
    put(file, "id,number,status,currency\n1,A1,paid,EUR\n")
    company.round()
    assert [row["deleted_at"] is None for row in company.rows("hub.order_header")] == [True, False]
    file.unlink()
    clock.at += timedelta(seconds=2)
    assert [failure.code for failure in company.round()["998"].failures] == ["E-FILE-007"]
    assert [row["deleted_at"] is None for row in company.rows("hub.order_header")] == [True, False]


def test_f13_a_database_that_is_away_fails_for_its_connection_only(company: IntegratedCompany, tmp_path: Path) -> None:
    connect(company, "998", "sql", "{mode: snapshot, pages: {path: orders}}", f"sqlite:///{tmp_path / 'none.db'}")
    done = company.round()["998"]
    assert done.failure is None
    assert [failure.code for failure in done.failures] == ["E-SRC-020"]


def _store(url: str, rows: list[list[object]]) -> None:
    database = sa.create_engine(url, poolclass=sa.NullPool)
    facts = sa.Table("facts", sa.MetaData(), *(sa.Column(name, sa.Integer if name == "seq" else sa.Text) for name in COLUMNS))
    with database.begin() as connection:
        facts.create(connection)
        connection.execute(facts.insert(), [dict(zip(COLUMNS, row, strict=True)) for row in rows])


@pytest.mark.parametrize(("reread", "numbers"), [("", [98, 99, 100]), (", reread: 0", [98, 100])])
def test_a_row_that_was_committed_late_is_found_as_far_back_as_an_append_only_list_is_read_again(
    company: IntegratedCompany, tmp_path: Path, reread: str, numbers: list[int]
) -> None:
    url = f"sqlite:///{tmp_path / 'late.db'}"
    engine = sa.create_engine(url)
    connect(company, "998", "sql", f"{{mode: append, record_id: id, pages: {{path: orders}}{reread}}}", url, SMALL)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER PRIMARY KEY, number TEXT)"))
    for rows in ((98,), (100,), (99,)):
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO orders VALUES (:id, 'late')"), [{"id": one} for one in rows])
        assert company.round()["998"].failures == []
        company.pass_time()
    engine.dispose()
    assert sorted(int(row["source_id"]) for row in company.rows("flow.inbox")) == numbers
