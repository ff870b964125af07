"""Third normal form loses nothing: a record can be rebuilt from its rows, whatever it was and however it changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, ORDER, Field, Kind
from erpcrm_orchestration.domain.mapping import Address, CompiledMapping, MappedRecord
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.services.connectors import connected
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, receive
from erpcrm_orchestration.store.records import load_records, plain
from tests.integrated_company import IntegratedCompany

PRODUCTS, CUSTOMERS = range(1, 4), range(1, 3)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cs",)), max_size=12)
MONEY = st.decimals(-9999, 999_999, places=2).map(lambda value: f"{value:.2f}")
ADDRESS = st.fixed_dictionaries({"first_name": TEXT, "city": st.sampled_from(["Lyon", "Пермь", ""]), "country": st.just("FR")})


def rows(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return lists of rows with ids of their own."""
    row = st.fixed_dictionaries({"id": st.integers(1, 40), **fields})
    return st.lists(row, max_size=4, unique_by=lambda one: one["id"])


ORDERS = st.fixed_dictionaries(
    {
        "number": TEXT,
        "status": st.sampled_from(["processing", "completed", "odd"]),
        "currency": st.sampled_from(["EUR", "XAF"]),
        "customer_id": st.sampled_from([0, *CUSTOMERS]),
        "total": MONEY,
        "total_tax": MONEY,
        "customer_note": TEXT,
        "date_created_gmt": st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)).map(  # noqa: DTZ001 - as shops write
            lambda at: at.replace(microsecond=0).isoformat()
        ),
        "billing": ADDRESS,
        "shipping": ADDRESS,
        "line_items": rows(
            product_id=st.sampled_from([0, *PRODUCTS]), sku=TEXT, name=TEXT, quantity=st.integers(1, 99), total=MONEY
        ),
        "tax_lines": rows(rate_code=TEXT, label=TEXT, tax_total=MONEY),
        "shipping_lines": rows(method_id=TEXT, total=MONEY),
        "fee_lines": rows(name=TEXT, total=MONEY),
        "coupon_lines": rows(code=st.sampled_from(["SUMMER", "ЖЁЛТЫЙ"]), discount=MONEY),
        "refunds": rows(reason=TEXT, total=MONEY),
        "meta_data": rows(key=st.sampled_from(["a", "ж"]), value=st.one_of(TEXT, st.integers(), st.lists(TEXT, max_size=2))),
    }
)


@pytest.fixture(scope="module")
def company(server: EmbeddedServer, migrated_template: str) -> Iterator[IntegratedCompany]:
    """Dossier 998 with a shop, and the products and customers that the orders refer to; one database for all examples."""
    with psycopg.connect(server.url(driver="postgresql").render_as_string(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE rebuilt TEMPLATE "{migrated_template}"')
    engine = create_engine(server.url("rebuilt"))
    made = IntegratedCompany(engine, FixedClock(datetime(2026, 11, 18, 12, 0, tzinfo=UTC)))
    made.dossier()
    made.connect_shop("http://127.0.0.1:9")
    take(made, "products", "product", [{"id": one, "name": f"P{one}"} for one in PRODUCTS])
    take(made, "customers", "customer", [{"id": one, "email": f"c{one}@example.com"} for one in CUSTOMERS])
    yield made
    engine.dispose()


def take(company: IntegratedCompany, stream: str, entity: str, records: list[dict[str, Any]]) -> None:
    """Hand records to the inbox as a webhook would, each a second newer, and integrate them."""
    company.clock.at += timedelta(seconds=1)
    at = company.clock.now()
    received = [Received(str(one["id"]), json.dumps(one, ensure_ascii=False), at) for one in records]
    with company.engine.begin() as connection:
        receive(connection, StreamKey("998", "shop_998", "shop", stream, entity), received, Arrival(Via.WEBHOOK, at))
    done = company.round(reading=False, run_id=f"run-{at.timestamp()}")
    assert done["998"].failures == []


def rebuilt(company: IntegratedCompany, number: int) -> dict[str, Any]:
    """Return what our rows say of an order, with the shop's ids in its references."""
    with company.engine.connect() as connection:
        links = connection.execute(sa.text("SELECT entity, record_id, external_id FROM hub.cross_reference"))
        theirs = {(row.entity, row.record_id): row.external_id for row in links}
        (ours,) = [record for (entity, record), external in theirs.items() if (entity, external) == ("order", str(number))]
        values = load_records(connection, "998", ORDER, [ours])[ours]
    values["ref"] = {name: theirs[_entity(ORDER.fields, name), record] for name, record in values["ref"].items()}
    for child in ORDER.children:
        for row in values[child.name]:
            if "ref" in row:
                row["ref"] = {name: theirs[_entity(child.fields, name), record] for name, record in row["ref"].items()}
    return values


def expected(mapping: CompiledMapping, mapped: MappedRecord) -> dict[str, Any]:
    """Return what the mapping says of an order, in the form of rebuilt values."""
    values = _told(mapping.fields, mapped.header)
    for name, children in mapped.children.items():
        told = [_told(mapping.child_fields[name], row) | {"key": key} for key, _, row in children]
        values[name] = [{"key": row["key_"], "value": row["value"]} for row in told] if name == "meta" else told
    return values


def _narrowed(have: Any, want: Any) -> Any:
    """Return rows with the fields that the mapping fills; the others are empty."""
    if isinstance(want, list) and want and isinstance(want[0], dict):
        return [{name: row[name] for name in want[0]} for row in have]
    return have


def _told(fields: list[Field], row: tuple[Any, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {"ref": {}}
    for field, value in zip(fields, row, strict=True):
        if field.kind is Kind.REFERENCE:
            values["ref"] |= {} if value is None else {field.name: value}
        elif isinstance(value, Address):
            values[field.name] = dict(zip(ADDRESS_FIELDS, value.parts, strict=True))
        elif field.kind is Kind.JSON:
            values[field.name] = None if value is None else json.loads(value)
        else:
            values["key_" if field.name == "key" else field.name] = plain(value)
    return values


def _entity(fields: tuple[Field, ...], name: str) -> str:
    return next(one.refers_to or "" for one in fields if one.name == name)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ORDERS, min_size=3, max_size=8))
def test_every_order_and_every_change_of_it_can_be_rebuilt_from_its_rows(
    company: IntegratedCompany, orders: list[dict[str, Any]]
) -> None:
    """The same few orders change from example to example: rows come, change, move and go."""
    with company.engine.connect() as connection:
        (shop,) = connected(connection)
    stream = shop.connector.entity("orders")
    assert stream is not None
    assert stream.map is not None
    mapping = CompiledMapping(ORDER, stream.map)
    records = [{"id": number, **order} for number, order in enumerate(orders, 1)]
    take(company, "orders", "order", records)
    for record in records:
        parsed = loads(json.dumps(record, ensure_ascii=False))
        assert isinstance(parsed, dict)
        want = expected(mapping, mapping.apply(parsed))
        have = rebuilt(company, record["id"])
        assert {name: _narrowed(have[name], want[name]) for name in want} == want


def test_amounts_keep_the_digits_they_came_with(company: IntegratedCompany) -> None:
    """Catalogue 4: a sum that no float could hold."""
    line = {"id": 1, "quantity": 1, "total": "12345678901234567.89"}
    take(company, "orders", "order", [{"id": 900, "total": "12345678901234567.89", "line_items": [line]}])
    assert rebuilt(company, 900)["total"] == "12345678901234567.89"
    assert Decimal(rebuilt(company, 900)["lines"][0]["total"]) == Decimal("12345678901234567.89")
