"""Connectors and connections against a real database: apply, plan, prune, and what is received keeps a connection."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.config.export import to_yaml
from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import Configuration
from erpcrm_orchestration.domain.errors import Findings
from erpcrm_orchestration.services.configuration import Outcome, apply, current_configuration, export, plan
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.configuration import load_connections, load_connectors

HEAD = """
mail_groups: {dest_erp_crm: {}}
mail_templates: {interactions_alert: {subject: S, text: T}}
dossiers: {"998": {crm_project_code: X}, "999": {crm_project_code: W}}
"""
CONNECTORS = """
connectors:
  woo: {kind: woocommerce}
  oscar:
    kind: rest
    auth: {kind: headers, headers: {Authorization: "Token {token}"}}
    entities:
      orders:
        read: {mode: append, pages: {path: /api/orders/, method: POST, body: {ids: [1, [2]], all: null}}}
        map: {entity: order, fields: {number: number}}
"""


def shop(code: str = "shop_998", fields: str = "", *, system: str = "shop", dossier: str = "998") -> str:
    """One line below `connections:`."""
    credentials = 'credentials: {key: "${env:KEY}", secret: "${env:SECRET}"}'
    more = f", {fields}" if fields else ""
    place = f'dossier: "{dossier}", system: {system}, connector: woo, url: "${{env:SHOP}}"'
    return f"  {code}: {{{place}, {credentials}{more}}}\n"


def put(engine: sa.Engine, clock: FixedClock, *connections: str, head: str = HEAD + CONNECTORS, prune: bool = False) -> Outcome:
    text = head + ("connections:\n" + "".join(connections) if connections else "")
    return apply(engine, read_text(text, name="f.yaml"), clock=clock, actor="anna", prune=prune)


def stored(engine: sa.Engine) -> Configuration:
    with engine.connect() as connection:
        return current_configuration(connection)


def rows(engine: sa.Engine) -> list[tuple[str, str, str, bool]]:
    columns = schema.connection.c
    query = sa.select(columns.connection_code, columns.dossier_code, columns.system_code, columns.active)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(columns.connection_code))]


def test_connectors_and_connections_are_applied_and_read_back_the_same(engine: sa.Engine, clock: FixedClock) -> None:
    reading = read_text(HEAD + CONNECTORS + "connections:\n" + shop(fields="active: false"), name="f.yaml")
    outcome = apply(engine, reading, clock=clock, actor="anna")
    assert [(one.kind, one.code) for one in outcome.plan.changes if one.section.startswith("conn")] == [
        ("connector", "oscar"),
        ("connector", "woo"),
        ("connection", "shop_998"),
    ]
    assert stored(engine) == reading.configuration
    assert rows(engine) == [("shop_998", "998", "shop", False)]
    with engine.connect() as connection:
        assert load_connectors(connection).keys() == {"oscar", "woo"}
        assert load_connections(connection)["shop_998"].credentials == {"key": "${env:KEY}", "secret": "${env:SECRET}"}


def test_applying_them_twice_changes_nothing(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop())
    assert put(engine, clock, shop()).plan.changes == ()


def test_what_is_exported_is_applied_without_a_change(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop())
    text = to_yaml(export(engine))
    assert "  woo: {kind: woocommerce}\n" in text
    outcome = plan(engine, read_text(text, name="export.yaml"))
    assert (outcome.plan.changes, outcome.plan.kept) == ((), ())


def test_a_plan_names_the_field_inside_of_a_connector(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop())
    changed = HEAD + CONNECTORS.replace("number: number", "number: {path: no_, none: [x]}").replace(
        "{kind: woocommerce}", "{kind: woocommerce, entities: {orders: {read: {paging: {size: 50}}, topics: null}}}"
    )
    outcome = plan(engine, read_text(changed, name="f.yaml"))
    assert {
        (change.code, one.field, str(one.old), str(one.new)) for change in outcome.plan.changes for one in change.fields
    } == {
        ("oscar", "entities.orders.map.fields.number", "number", "None"),
        ("oscar", "entities.orders.map.fields.number.none", "None", "['x']"),
        ("oscar", "entities.orders.map.fields.number.path", "None", "no_"),
        ("woo", "entities.orders.read.paging.size", "100", "50"),
        (
            "woo",
            "entities.orders.topics",
            "['order.created', 'order.updated', 'order.deleted', 'order.restored']",
            "[]",
        ),
    }


def test_a_connector_is_found_in_the_database(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock)
    put(engine, clock, shop(), head="")
    assert [one.connection_code for one in stored(engine).connections] == ["shop_998"]
    with pytest.raises(Findings) as refused:
        put(engine, clock, shop(fields="entities: [order]"), head="")
    assert refused.value.lines[0].startswith("E-CFG-076 f.yaml:2:")
    assert "woo has no entity order; did you mean orders?" in refused.value.lines[0]
    with pytest.raises(Findings) as refused:
        put(engine, clock, shop().replace("connector: woo", "connector: wo"), head="")
    assert "connections.shop_998.connector: no connector wo; did you mean woo?" in refused.value.lines[0]


def test_two_connections_of_one_system_are_refused_also_across_applications(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop())
    with pytest.raises(Findings) as refused:
        put(engine, clock, shop("other"), head="")
    (line,) = refused.value.lines
    assert line.startswith("E-CFG-074 f.yaml:2:")
    assert "connections.other.system: connection shop_998 is shop of dossier 998 already" in line
    assert [row[0] for row in rows(engine)] == ["shop_998"]


def test_two_connections_change_places_at_once(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop("a"), shop("b", dossier="999"))
    put(engine, clock, shop("a", dossier="999"), shop("b"))
    assert [row[:2] for row in rows(engine)] == [("a", "999"), ("b", "998")]


def test_a_connection_is_renamed_by_pruning_the_old_one(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop("old"))
    outcome = put(engine, clock, shop("new"), prune=True)
    assert [(one.action, one.kind, one.code) for one in outcome.plan.changes] == [
        ("add", "connection", "new"),
        ("remove", "connection", "old"),
    ]
    assert [row[0] for row in rows(engine)] == ["new"]


def test_connectors_and_connections_that_nobody_names_are_pruned_together(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop())
    assert put(engine, clock, head=HEAD).plan.kept == (
        ("connectors", "oscar"),
        ("connectors", "woo"),
        ("connections", "shop_998"),
    )
    outcome = put(engine, clock, head=HEAD, prune=True)
    assert {(one.section, one.code) for one in outcome.plan.changes} == {
        ("connectors", "oscar"),
        ("connectors", "woo"),
        ("connections", "shop_998"),
    }
    assert (stored(engine).connectors, stored(engine).connections) == ((), ())


def test_a_connection_with_received_records_is_never_pruned(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, shop())
    message = {
        "dossier_code": "998",
        "connection_code": "shop_998",
        "system_code": "shop",
        "stream": "orders",
        "entity": "order",
        "source_id": "1",
        "content_hash": "h",
        "received_at": clock.at,
        "via": "poll",
        "payload": "{}",
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(schema.metadata.tables["flow.inbox"]).values(**message))
    outcome = put(engine, clock, head=HEAD, prune=True)
    assert [(one.section, one.code) for one in outcome.plan.changes] == [("connectors", "oscar")]
    assert [row[0] for row in rows(engine)] == ["shop_998"]
