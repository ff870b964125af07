"""What a connector of kind sql or files may not say, and a webhook secret that nothing can be checked by."""

from __future__ import annotations

import pytest

from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.config.rules import check

TEXT = """
mail_groups: {{dest_erp_crm: {{}}}}
mail_templates: {{interactions_alert: {{subject: S, text: T}}}}
dossiers: {{"998": {{crm_project_code: X}}}}
connectors:
  c:
    kind: {kind}
    entities:
      orders: {{read: {{mode: snapshot, {read}}}, map: {{entity: order, fields: {{number: no_1}}}}{more}}}
connections:
  c1: {{dossier: "998", system: erp, connector: c, url: "{url}"{connection}}}
"""


def errors(kind: str, read: str, more: str = "", connection: str = "", url: str = "postgresql://erp/x") -> list[str]:
    text = TEXT.format(kind=kind, read=read, more=more, connection=connection, url=url)
    return [str(error) for error in check(read_text(text, name="f.yaml")).errors]


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("sql", 'pages: {path: orders, query: {company: "{dossier}", schema: s, order_by: id}}'),
        ("sql", "pages: {path: facts, query: {shape: table_of_tables, table: order, key_field: id}}"),
        ("sql", 'pages: {path: o}, follow: {lines: {call: {path: l, query: {o: "{parent.id}"}}, records: ""}}'),
        ("files", 'pages: {path: "*.csv", query: {format: csv, delimiter: tab, companion: .ok, files: all}}'),
        ("files", "pages: {path: x.csv, query: {shape: table_of_tables, table: order}}"),
    ],
)
def test_what_a_database_and_a_folder_may_say(kind: str, read: str) -> None:
    assert errors(kind, read) == []


@pytest.mark.parametrize(
    ("kind", "read", "place", "hint"),
    [
        ("sql", "pages: {path: o, query: {shape: table_of_table, table: x}}", "pages.query.shape", "table_of_tables"),
        ("sql", "pages: {path: o, query: {shape: table_of_tables}}", "pages.query", "name the table"),
        ("files", "pages: {path: o, query: {shape: table_of_tables}}", "pages.query", "name the table"),
        ("sql", 'pages: {path: o}, follow: {l: {link: x, records: ""}}', "follow.l.link", "give call"),
        ("sql", 'pages: {path: o}, follow: {l: {call: {path: x}, records: ""}}', "follow.l.call", "{parent.column}"),
        ("sql", "pages: {path: o}, record_segment: -1", "record_segment", "a view that has it whole"),
        ("files", 'pages: {path: o}, follow: {l: {call: {path: x}, records: ""}}', "follow", "into the file"),
        ("files", "pages: {path: o, query: {encodng: x}}", "pages.query.encodng", "encoding"),
        ("files", "pages: {path: o, query: {format: xls}}", "pages.query.format", "xlsx"),
    ],
)
def test_what_they_may_not_say_is_told_with_its_place(kind: str, read: str, place: str, hint: str) -> None:
    (error,) = errors(kind, read)
    assert error.startswith("E-CFG-079 f.yaml:")
    assert f"connectors.c.entities.orders.read.{place}: " in error
    assert hint in error


@pytest.mark.parametrize("kind", ["sql", "files"])
def test_what_is_only_read_is_not_written(kind: str) -> None:
    write = ", write: {fields: [number], create: {path: o, method: POST, body: {no_1: '{number}'}}}"
    assert [error.split()[0] for error in errors(kind, "pages: {path: o}", write)] == ["E-CFG-079"]


def test_a_webhook_secret_needs_the_header_of_the_signature() -> None:
    (error,) = errors("rest", "pages: {path: /o}", connection=', webhook_secret: "${env:X}"', url="https://erp.example")
    assert error.startswith("E-CFG-076 f.yaml:")
    assert "connections.c1.webhook_secret: " in error
