"""What the kinds woocommerce and tryton bring, and how a company's YAML lies above it."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erpcrm_orchestration.config.connection_models import ConnectorPart
from erpcrm_orchestration.config.export import to_yaml
from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.config.part import Part
from erpcrm_orchestration.config.presets import KINDS, beyond_preset, preset, preset_text, with_preset
from erpcrm_orchestration.config.rules import Checked, check
from erpcrm_orchestration.demo import shop_payload
from erpcrm_orchestration.domain.connection import ChangeMode, Connector, ConnectorKind, FieldMap
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.mapping import CompiledMapping
from erpcrm_orchestration.domain.record_filter import RecordFilter
from erpcrm_orchestration.domain.strict_json import loads

PRESET_KINDS = sorted(KINDS)


def read(said: dict[str, Any]) -> Connector:
    reading = read_text(yaml.safe_dump({"connectors": {"c": said}}, sort_keys=False), name="f.yaml")
    assert [str(one.error) for one in reading.faults] == []
    return reading.configuration.connectors[0]


def exported(connector: Connector) -> str:
    reading = read_text("connectors: {}\n")
    reading.configuration = type(reading.configuration)(connectors=(connector,))
    return to_yaml(reading.configuration)


@pytest.mark.parametrize("kind", PRESET_KINDS)
def test_a_preset_is_strict_yaml_and_breaks_no_rule(kind: ConnectorKind) -> None:
    text = f"connectors:\n  c:\n    kind: {kind.value}\n"
    assert check(read_text(text, name="f.yaml")) == Checked()
    whole = "connectors:\n  c:\n" + "".join(f"    {line}\n" for line in preset_text(kind).splitlines())
    assert check(read_text(whole, name="f.yaml")) == Checked()


@pytest.mark.parametrize("kind", PRESET_KINDS)
def test_every_mapping_of_a_preset_compiles(kind: ConnectorKind) -> None:
    for entity in read({"kind": kind.value}).entities:
        assert entity.map is not None
        assert CompiledMapping(ENTITIES[entity.map.entity], entity.map).fields


def test_B3_woocommerce_brings_every_entity_with_its_rows() -> None:
    shop = read({"kind": "woocommerce"})
    mapped = {one.map.entity: one.map for one in shop.entities if one.map}
    assert mapped.keys() == {"category", "customer", "product", "order", "subscription"}
    for name, mapping in mapped.items():
        entity = ENTITIES[name]
        without = {"meta"} if name == "category" else {"orders"} if name == "subscription" else set()
        assert {child.child for child in mapping.children} == {child.name for child in entity.children} - without


def test_B9_B13_lists_that_take_modified_after_are_read_by_it_and_the_others_compared_daily() -> None:
    shop = read({"kind": "woocommerce"})
    for one in shop.entities:
        assert one.read is not None
        assert (one.read.paging.size_parameter, one.read.paging.size) == ("per_page", 100)
        if one.name in ("orders", "products"):
            assert one.read.mode is ChangeMode.CURSOR
            assert one.read.pages.query["dates_are_gmt"] == "true"
            assert (one.read.modified, one.read.modified_zone) == ("date_modified_gmt", "UTC")
        else:
            assert (one.read.mode, one.read.every_s) == (ChangeMode.SNAPSHOT, 86400)


def test_B22_B39_a_guest_has_no_customer_and_a_strange_status_is_unknown() -> None:
    orders = read({"kind": "woocommerce"}).entity("orders")
    assert orders is not None
    assert orders.map is not None
    assert orders.map.fields["customer"] == FieldMap("customer_id", none=("0",))
    assert orders.map.fields["billing_address"].fields["email"] == FieldMap("email")
    assert orders.map.fields["state"].otherwise == "UNKNOWN"
    assert orders.map.fields["status"] == FieldMap("status")


def test_B16_B22_B23_B39_a_record_of_the_shop_becomes_rows_and_no_key_of_it_is_new() -> None:
    shop = read({"kind": "woocommerce"})
    compiled = {one.name: CompiledMapping(ENTITIES[one.map.entity], one.map) for one in shop.entities if one.map}
    product = shop_payload.product(1, "Tea", Decimal("3.33"), sku="T", categories=[shop_payload.category(3, "Drinks", 0)])
    basket = shop_payload.Basket(
        [shop_payload.Item(product, 2)],
        fee=Decimal(1),
        coupon=("HELLO", Decimal(1)),
        billing={"city": "Paris", "email": "g@x.fr"},
    )
    records = {
        "products": product,
        "categories": shop_payload.category(3, "Drinks", 0),
        "customers": shop_payload.customer(4, {"first_name": "Anna"}),
        "orders": shop_payload.order(7, basket, customer_id=0, status="foo", currency="EUR"),
    }
    for name, record in records.items():
        read_back = loads(json.dumps(record).encode())
        assert isinstance(read_back, dict)
        assert compiled[name].unknown_keys(read_back) == set()
        mapped = compiled[name].apply(read_back)
    header = dict(zip([one.name for one in compiled["orders"].fields], mapped.header, strict=True))
    assert (header["status"], header["state"], header["customer"], header["total"]) == (
        "foo",
        "UNKNOWN",
        None,
        Decimal("13.99"),
    )
    assert "g@x.fr" in header["billing_address"].parts
    assert mapped.warnings == ["unknown state 'foo'"]
    assert {name: len(rows) for name, rows in mapped.children.items() if rows} == {
        "lines": 1,
        "tax_lines": 1,
        "shipping_lines": 1,
        "fee_lines": 1,
        "coupons": 1,
        "meta": 1,
    }


def test_B34_a_subscription_is_written_by_transition_status_alone() -> None:
    subscriptions = read({"kind": "woocommerce"}).entity("subscriptions")
    assert subscriptions is not None
    assert subscriptions.write is not None
    assert subscriptions.write.update is not None
    assert set(subscriptions.write.update.body) == {"transition_status", "meta_data"}  # type: ignore[call-overload]
    assert subscriptions.write.values["transition_status"] == {
        "paid": "active",
        "overdue": "on-hold",
        "terminated": "pending-cancel",
    }


def test_B35_an_order_that_is_cancelled_there_is_not_written() -> None:
    orders = read({"kind": "woocommerce"}).entity("orders")
    assert orders is not None
    assert orders.write is not None
    assert orders.write.check is not None
    assert "cancelled" in orders.write.refuse_when["status"]


def test_a_sale_of_tryton_brings_its_two_states_only_and_is_never_an_order_of_its_own() -> None:
    sales = read({"kind": "tryton"}).entity("sales")
    assert sales is not None
    assert sales.map is not None
    assert not sales.map.creates
    assert sales.map.fields.keys() == {"logistic_state", "financial_state"}
    assert set(sales.map.fields["logistic_state"].values.values()) == {"waiting", "partially_shipped", "shipped", "backorder"}


def test_tryton_brings_what_an_erp_has() -> None:
    mapped = {one.name: one.map.entity for one in read({"kind": "tryton"}).entities if one.map}
    assert mapped == {
        "parties": "customer",
        "products": "product",
        "sales": "order",
        "invoices": "document",
        "subscriptions": "subscription",
    }
    assert read({"kind": "tryton", "entities": {"subscriptions": None}}).entity("subscriptions") is None


def test_B34_of_a_subscription_of_tryton_only_its_end_is_ours_and_the_shop_has_a_word_for_it() -> None:
    subscriptions = read({"kind": "tryton"}).entity("subscriptions")
    shop = read({"kind": "woocommerce"}).entity("subscriptions")
    assert subscriptions is not None
    assert subscriptions.map is not None
    assert shop is not None
    assert shop.write is not None
    assert not subscriptions.map.creates
    mapping = CompiledMapping(ENTITIES["subscription"], subscriptions.map)
    states = ("draft", "quotation", "running", "closed", "cancelled")
    told = [mapping.apply({"state": state}).header for state in states]
    assert told == [(None,), (None,), (None,), ("terminated",), ("terminated",)]
    assert shop.write.values["transition_status"]["terminated"] == "pending-cancel"


@pytest.mark.parametrize(
    ("record", "left_out"),
    [
        ({"type": "out", "number": "7", "state": "posted"}, None),
        ({"type": "out", "number": "7", "state": "cancelled"}, None),
        ({"type": "out", "number": None, "state": "cancelled"}, "left out: $.number is empty"),
        ({"type": "out", "number": None, "state": "draft"}, "left out: $.number is empty"),
        (
            {"type": "out", "number": "7", "state": "validated"},
            "left out: $.state is 'validated', not posted or paid or cancelled",
        ),
        ({"type": "in", "number": "7", "state": "posted"}, "left out: $.type is 'in', not out"),
    ],
)
def test_an_invoice_of_tryton_is_a_document_when_it_is_a_customers_and_has_its_number(
    record: dict[str, Any], left_out: str | None
) -> None:
    invoices = read({"kind": "tryton"}).entity("invoices")
    assert invoices is not None
    assert invoices.map is not None
    assert RecordFilter(invoices.map.where, ()).reason(record) == left_out


def test_what_is_written_lies_above_the_preset_key_by_key() -> None:
    shop = read({"kind": "woocommerce", "entities": {"orders": {"read": {"paging": {"size": 50}}, "topics": []}}})
    orders, customers = shop.entity("orders"), shop.entity("customers")
    assert orders is not None
    assert orders.read is not None
    assert (orders.read.paging.size, orders.read.paging.size_parameter, orders.topics) == (50, "per_page", ())
    assert customers == read({"kind": "woocommerce"}).entity("customers")


def test_nothing_takes_away_what_the_preset_brings() -> None:
    said = {
        "customers": None,
        "orders": {"write": None, "map": {"fields": {"customer_note": None}, "children": {"meta": None}}},
    }
    shop = read({"kind": "woocommerce", "entities": said})
    orders = shop.entity("orders")
    assert shop.entity("customers") is None
    assert orders is not None
    assert orders.map is not None
    assert orders.write is None
    assert "customer_note" not in orders.map.fields
    assert "meta" not in {child.child for child in orders.map.children}


def test_an_entity_of_its_own_stands_beside_those_of_the_preset() -> None:
    coupons = {"read": {"mode": "snapshot", "pages": {"path": "/wp-json/wc/v3/coupons"}}}
    shop = read({"kind": "woocommerce", "entities": {"coupons": coupons}})
    assert [one.name for one in shop.entities][-1] == "coupons"
    assert len(shop.entities) == 6


@pytest.mark.parametrize("kind", PRESET_KINDS)
def test_a_connector_that_says_nothing_of_its_own_is_exported_as_its_kind(kind: ConnectorKind) -> None:
    assert f"connectors:\n  c: {{kind: {kind.value}}}\n" in exported(read({"kind": kind.value}))


def ways(content: object, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = content.items() if isinstance(content, dict) else ()
    return [way, *(found for key, one in below if key != "body" for found in ways(one, (*way, key)))]


def removable_ways(kind: ConnectorKind) -> list[tuple[str, ...]]:
    """Ways to entities, fields and children of the preset: what may be taken away and leaves the rest right."""
    return [way for way in ways(preset(kind)) if way and way[-2:-1] and way[-2] in ("entities", "fields", "children")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_changed_of_a_preset_is_exported_and_read_back_the_same(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(PRESET_KINDS))
    said: dict[str, Any] = {"kind": kind.value}
    for way in data.draw(st.lists(st.sampled_from(removable_ways(kind)), max_size=4)):
        holder = said
        for step in way[:-1]:
            below = holder.setdefault(step, {})
            if not isinstance(below, dict):
                break
            holder = below
        else:
            fresh = {"path": "there", "none": ["0"]} if way[-2] == "fields" else None
            holder[way[-1]] = data.draw(st.sampled_from([None, fresh]))
    connector = read(copy.deepcopy(said))
    reading = read_text(exported(connector), name="export.yaml")
    assert reading.faults == []
    assert reading.configuration.connectors == (connector,)


def test_the_difference_to_a_preset_gives_the_same_again() -> None:
    whole = copy.deepcopy(preset(ConnectorKind.WOOCOMMERCE))
    whole["entities"]["orders"]["map"]["fields"]["number"] = {"path": "id", "segment": 1}
    whole["entities"]["orders"]["write"]["update"]["body"] = {"status": None}
    del whole["entities"]["orders"]["topics"]
    said = beyond_preset(whole)
    assert said == {
        "kind": "woocommerce",
        "entities": {
            "orders": {
                "map": {"fields": {"number": {"path": "id", "segment": 1}}},
                "write": {"update": {"body": {"status": None}}},
                "topics": None,
            }
        },
    }
    assert with_preset(said) == whole


def test_every_field_of_a_connectors_values_can_be_written_in_the_yaml() -> None:
    key_of = {"ConnectorEntity": "name", "ChildMap": "child", "Follow": "into", "Connector": "connector_code"}

    def parts(kind: type[Part]) -> list[type[Part]]:
        return [found for one in kind.__subclasses__() for found in (one, *parts(one))]

    checked = 0
    for part in parts(Part):
        if part.__module__ == ConnectorPart.__module__ and is_dataclass(getattr(part, "value_type", None)):
            names = {one.name for one in fields(part.value_type)} - {key_of.get(part.value_type.__name__), "connection_code"}
            assert names == set(part.model_fields), part
            assert names <= set(get_type_hints(part.value_type))
            assert all(field.description for field in part.model_fields.values()), part
            checked += 1
    assert checked == 13


def test_the_schema_knows_a_field_as_a_path_or_a_mapping() -> None:
    schema = json.loads((Path(__file__).parents[2] / "config" / "schema.json").read_text(encoding="utf-8"))
    kinds = [one.get("type") for one in schema["$defs"]["FieldMapPart"]["anyOf"]]
    assert kinds == ["string", "object"]
    assert "required" not in schema["$defs"]["MappingPart"]
    assert {"connectors", "connections", "connection_defaults"} <= schema["properties"].keys()


def test_the_examples_of_the_documentation_are_right() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if "connectors:" in block]
    assert len(blocks) == 6
    for block in blocks:
        assert check(read_text(block, name="configuration.md")).errors == ()
