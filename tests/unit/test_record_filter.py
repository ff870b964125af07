"""Which records pass the conditions of a mapping, and which conditions are refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.config.rules import check
from erpcrm_orchestration.domain.casts import Refused
from erpcrm_orchestration.domain.connection import Condition, EntityMapping, FieldMap
from erpcrm_orchestration.domain.entity import TIME_ENTRY
from erpcrm_orchestration.domain.mapping import CompiledMapping
from erpcrm_orchestration.domain.record_filter import RecordFilter

CLOSED = Condition(one_of=("CLOSED",), switch="InterventionClosed")
NOT_EXPORTED = Condition(one_of=("0",), unless="TimeExported")


@pytest.mark.parametrize(
    ("condition", "record", "passes"),
    [
        (Condition(present=True), {"a": 0}, True),
        (Condition(present=True), {"a": None}, False),
        (Condition(present=True), {"a": ""}, False),
        (Condition(present=True), {}, False),
        (Condition(present=False), {"a": None}, True),
        (Condition(present=False), {"a": False}, False),
        (Condition(one_of=("1", "2")), {"a": 2}, True),
        (Condition(one_of=("1",)), {"a": "1"}, True),
        (Condition(one_of=("1",)), {"a": Decimal("1.0")}, False),
        (Condition(one_of=("true",)), {"a": True}, True),
        (Condition(one_of=("1",)), {"a": None}, False),
        (Condition(none_of=("DRAFT",)), {"a": "DRAFT"}, False),
        (Condition(none_of=("DRAFT",)), {"a": "SENT"}, True),
        (Condition(none_of=("DRAFT",)), {}, True),
    ],
)
def test_a_condition_holds_for_what_stands_there(condition: Condition, record: dict[str, object], passes: bool) -> None:
    assert (RecordFilter({"a": condition}, ()).reason(record) is None) is passes


def test_A50_a_condition_counts_where_its_switch_is_on_or_off() -> None:
    where = {"intervention.status": CLOSED, "exported": NOT_EXPORTED}
    open_and_exported = {"intervention": {"status": "OPEN"}, "exported": 1}
    assert RecordFilter(where, ["TimeExported"]).reason(open_and_exported) is None
    assert RecordFilter(where, []).reason(open_and_exported) == "left out: $.exported is '1', not 0"
    only = RecordFilter(where, ["InterventionClosed", "TimeExported"]).reason(open_and_exported)
    assert only == "left out: $.intervention.status is 'OPEN', not CLOSED"


def test_a_list_among_words_is_refused_with_its_place() -> None:
    with pytest.raises(Refused, match=r"\$\.a: a list where a word is expected"):
        RecordFilter({"a": Condition(one_of=("1",))}, ()).reason({"a": [1]})


def test_what_a_condition_reads_is_no_new_key_of_the_source() -> None:
    mapping = EntityMapping("time_entry", {"worker": FieldMap("user")}, where={"srv.export": Condition(present=True)})
    assert CompiledMapping(TIME_ENTRY, mapping).unknown_keys({"user": "a", "srv": {}, "other": 1}) == {"other"}


def test_words_of_the_mapping_are_true_and_false_of_a_boolean() -> None:
    fields = {"exported": FieldMap("exported", values={"1": "true", "0": "false"}), "billable": FieldMap(constant="true")}
    compiled = CompiledMapping(TIME_ENTRY, EntityMapping("time_entry", fields))
    assert [one.name for one in compiled.fields] == ["billable", "exported"]
    assert compiled.apply({"exported": 0}).header == (True, False)
    with pytest.raises(Refused, match="is not true or false"):
        CompiledMapping(TIME_ENTRY, EntityMapping("time_entry", {"exported": FieldMap("exported")})).apply({"exported": "true"})


CONNECTOR = """
mail_groups: {{dest_erp_crm: {{}}}}
mail_templates: {{interactions_alert: {{subject: S, text: T}}}}
dossiers: {{"998": {{crm_project_code: X}}}}
connectors:
  crm:
    kind: rest
    entities:
      times:
        read: {{mode: snapshot, pages: {{path: /times}}}}
        map:
          entity: time_entry
          fields: {{worker: user}}
          where: {{{where}}}
connections:
  crm_998: {{dossier: "998", system: crm, connector: crm, url: "https://x.example", switches: {switches}}}
"""


@pytest.mark.parametrize(
    ("where", "switches", "refused"),
    [
        ("a: {present: true}", "[]", None),
        ('a: {one_of: ["1"], switch: Closed}, b: {none_of: [X], unless: Again}', "[Closed, Again]", None),
        ("a: {}", "[]", "E-CFG-080 {place}.where.a: nothing that has to hold; give exactly one of"),
        ("a: {present: true, none_of: [X]}", "[]", "E-CFG-080 {place}.where.a: present and none_of together; give"),
        ("a: {present: true, switch: A, unless: B}", "[]", "E-CFG-080 {place}.where.a: both switch and unless; say"),
        ("a..b: {present: true}", "[]", 'E-CFG-067 {place}.where.a..b: "a..b" has an empty step; write'),
        ("a: {one_of: [1]}", "[]", "E-CFG-041"),
        (
            "a: {present: true, switch: Closed}",
            "[Close]",
            "E-CFG-076 connections.crm_998.switches[0]: crm has no switch Close; did you mean Closed?",
        ),
    ],
)
def test_conditions_and_switches_are_checked(where: str, switches: str, refused: str | None) -> None:
    checked = check(read_text(CONNECTOR.format(where=where, switches=switches), name="f.yaml"))
    lines = [str(one) for one in checked.errors]
    if refused is None:
        assert lines == []
        return
    (line,) = lines
    code, _, rest = refused.format(place="connectors.crm.entities.times.map").partition(" ")
    assert line.startswith(f"{code} f.yaml:")
    assert rest in line


def test_two_lists_of_one_connection_are_not_the_same_entity() -> None:
    text = CONNECTOR.format(where="", switches="[]").replace(
        "connections:",
        "      more_times: {read: {mode: snapshot, pages: {path: /more}}, map: {entity: time_entry, fields: {worker: user}}}\n"
        "connections:",
    )
    (error,) = check(read_text(text, name="f.yaml")).errors
    assert "E-CFG-081 f.yaml" in str(error)
    assert "times and more_times of crm are both mapped to time_entry" in str(error)
    assert check(read_text(text.replace("switches: []", "entities: [times]"), name="f.yaml")).errors == ()
