"""Writes that happen once, whatever becomes of their answer: F30, F32, B32, B34 and B35."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from erpcrm_orchestration.clients.rest_request import encoded, filled
from erpcrm_orchestration.domain.connection import Call, ConnectorEntity, Writing
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.json_path import ABSENT
from erpcrm_orchestration.domain.received import Change, UnknownOutcome, Written
from tests.connectors.flavours import CURSOR, client_of, writing
from tests.connectors.rest_system import (
    START,
    Fault,
    Reply,
    RestSystem,
    cut_by_close,
    cut_by_length,
    lost,
    raw,
    silence,
    status,
)

ORDER = writing("orders")
CHECKED = replace(ORDER, check=Call("/orders/{id}"), refuse_when={"status": ("cancelled", "refunded")})
LOGIN_PAGE = raw(b"<html>", "text/html")


def write(
    system: RestSystem,
    values: dict[str, object] | None = None,
    *,
    external_id: str | None = None,
    doubtful: bool = False,
    how: Writing = ORDER,
    **of_connector: object,
) -> Written:
    """Write an order with a key that is always the same."""
    given = {"status": "shipped", "total": "12.50"} if values is None else values
    entity: ConnectorEntity = replace(CURSOR, write=how)
    with client_of(system, **of_connector) as client:
        return client.write(Change(entity, external_id, given, "key-1", doubtful))


def test_b32_a_created_order_carries_our_words_and_the_key(rest: RestSystem) -> None:
    written = write(rest)
    assert (written.external_id, written.found, written.conflict) == ("1", False, None)
    (seen,) = rest.seen
    assert seen.body == {"status": "completed", "total": "12.50"}
    assert seen.headers["Idempotency-Key"] == "key-1"
    assert seen.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("fault", [lost, silence, cut_by_length, cut_by_close, LOGIN_PAGE, raw(b"[1, 2")])
def test_f30_an_answer_that_is_lost_after_sending_is_not_known(rest: RestSystem, fault: Fault) -> None:
    rest.faults.append(fault)
    with pytest.raises(UnknownOutcome) as unknown:
        write(rest, timeout_s=0.3)
    assert unknown.value.failure.code.startswith("E-SRC-04") or unknown.value.failure.code == "E-SRC-054"
    written = write(rest, doubtful=True)
    assert written.external_id == "1"
    assert rest.creates == 1


@pytest.mark.parametrize("external_id", [None, "7"])
@pytest.mark.parametrize("code", [303, 500, 502, 504, 520, 524])
def test_f30_a_failing_gateway_leaves_a_change_unknown(rest: RestSystem, code: int, external_id: str | None) -> None:
    rest.faults.append(status(code))
    with pytest.raises(UnknownOutcome):
        write(rest, external_id=external_id)


def test_f30_a_create_whose_answer_is_too_large_is_not_known(rest: RestSystem) -> None:
    rest.faults.append(raw(b"[" + b" " * 2_000_000 + b"]"))
    with pytest.raises(UnknownOutcome) as unknown:
        write(rest, max_answer_mb=1)
    assert unknown.value.failure.code == "E-SRC-012"


@pytest.mark.parametrize("code", [408, 425, 429, 503])
def test_b28_a_create_that_was_not_taken_is_tried_again_later(rest: RestSystem, code: int) -> None:
    rest.faults.append(status(code, Retry_After="30"))
    with pytest.raises(TransientFailure) as raised:
        write(rest)
    assert raised.value.retry_after_s == 30
    assert len(rest.seen) == 1


def test_a_create_that_nobody_received_is_tried_again_without_doubt() -> None:
    with RestSystem() as gone:
        pass
    with pytest.raises(TransientFailure, match="E-SRC-044"):
        write(gone)


@pytest.mark.parametrize(("code", "kind"), [(400, PermanentFailure), (422, PermanentFailure), (401, CredentialsRefused)])
def test_b29_f32_a_refusal_stays_and_says_why(rest: RestSystem, code: int, kind: type[PermanentFailure]) -> None:
    rest.faults.append(raw(b'{"code": "invalid", "message": "status: not a valid choice"}', code=code))
    with pytest.raises(kind, match="status: not a valid choice"):
        write(rest)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "order is locked"},
        {"errors": [{"message": "order is locked"}]},
        {"success": False, "message": "order is locked"},
        {"data": {"orderUpdate": {"userErrors": [{"message": "order is locked"}]}}},
    ],
)
@pytest.mark.parametrize("external_id", [None, "1"])
def test_f30_an_error_in_an_answer_of_status_200_is_a_failure(rest: RestSystem, body: object, external_id: str | None) -> None:
    rest.routes["POST /api/orders"] = rest.routes["PUT /api/orders/1"] = lambda _: Reply(body)
    with pytest.raises(PermanentFailure, match=r"E-SRC-050.*order is locked"):
        write(rest, external_id=external_id)


def existing(rest: RestSystem, **values: object) -> None:
    """Let the system hold an order with our key, and answer 409 to a second one."""
    rest.keys["key-1"] = rest.add("orders", START, **values)
    rest.routes["POST /api/orders"] = lambda _: Reply({"message": "exists"}, 409)


def test_f30_a_409_with_an_equal_record_is_a_success(rest: RestSystem) -> None:
    existing(rest, status="completed", total="12.5")
    assert write(rest) == Written("1", found=True)


def test_f30_a_409_with_another_record_is_a_conflict_that_names_the_difference(rest: RestSystem) -> None:
    existing(rest, status="completed", total="99.00")
    assert write(rest) == Written("1", conflict="total is '99.00' there", found=True)


def test_f30_a_409_without_a_record_stays_and_after_doubt_may_pass(rest: RestSystem) -> None:
    rest.routes["POST /api/orders"] = lambda _: Reply({"message": "busy"}, 409)
    with pytest.raises(PermanentFailure, match=r"E-SRC-048.*busy"):
        write(rest)
    with pytest.raises(TransientFailure, match=r"E-SRC-047.*busy"):
        write(rest, doubtful=True)


def test_a_doubtful_create_looks_first_and_creates_when_nothing_is_there(rest: RestSystem) -> None:
    assert write(rest, doubtful=True).external_id == "1"
    assert [(seen.method, seen.query) for seen in rest.seen] == [("GET", {"key": "key-1"}), ("POST", {})]
    assert write(rest, doubtful=True) == Written("1", found=True)
    assert rest.creates == 1


def test_a_doubtful_create_without_any_way_to_look_is_left_to_a_person(rest: RestSystem) -> None:
    blind = replace(ORDER, find=None, idempotency_header=None)
    with pytest.raises(PermanentFailure, match="E-SRC-057"):
        write(rest, doubtful=True, how=blind)
    assert rest.seen == []


def test_two_records_where_one_is_looked_for_are_left_to_a_person(rest: RestSystem) -> None:
    rest.routes["GET /api/orders"] = lambda _: Reply([{"id": 1}, {"id": 2}])
    with pytest.raises(PermanentFailure, match="E-SRC-057"):
        write(rest, doubtful=True)
    assert rest.creates == 0


def test_a_create_whose_answer_has_no_id_is_looked_for(rest: RestSystem) -> None:
    def without_id(_: object) -> Reply:
        rest.keys["key-1"] = rest.add("orders")
        return Reply({"created": True}, 201)

    rest.routes["POST /api/orders"] = without_id  # type: ignore[assignment]
    assert write(rest).external_id == "1"
    with pytest.raises(UnknownOutcome, match="E-SRC-056"):
        write(rest, how=replace(ORDER, find=None))
    rest.routes["GET /api/orders"] = lambda _: Reply({}, 503)
    with pytest.raises(UnknownOutcome, match="E-SRC-047"):
        write(rest)


def test_b35_an_update_is_not_sent_to_a_record_that_forbids_it(rest: RestSystem) -> None:
    rest.add("orders", START, status="cancelled")
    assert write(rest, external_id="1", how=CHECKED).conflict == "status is 'cancelled' there"
    assert [seen.method for seen in rest.seen] == ["GET"]
    rest.change("orders", 1, START, status="processing")
    assert write(rest, external_id="1", how=CHECKED).conflict is None
    assert rest.records["orders"][1]["status"] == "completed"


def test_an_update_that_the_system_refuses_as_a_conflict_is_told_as_one(rest: RestSystem) -> None:
    rest.routes["PUT /api/orders/1"] = lambda _: Reply({"message": "changed meanwhile"}, 409)
    assert "changed meanwhile" in str(write(rest, external_id="1").conflict)


def test_f30_an_update_whose_answer_is_lost_is_not_known_and_may_be_sent_again(rest: RestSystem) -> None:
    rest.add("orders")
    rest.faults.append(lost)
    with pytest.raises(UnknownOutcome):
        write(rest, external_id="1")
    assert write(rest, external_id="1", doubtful=True).external_id == "1"
    assert rest.records["orders"][1]["status"] == "completed"


def test_an_answer_without_body_is_a_success_of_an_update(rest: RestSystem) -> None:
    rest.routes["PUT /api/orders/1"] = lambda _: Reply(raw=b"", status=204)
    assert write(rest, external_id="1") == Written("1")


def test_a_word_that_the_system_has_no_word_for_is_not_sent(rest: RestSystem) -> None:
    assert write(rest, {"status": "exploded"}, external_id="1") == Written("1")
    assert rest.seen == []


def test_b34_a_body_holds_values_parts_references_and_leaves_out_what_is_missing() -> None:
    template = {
        "transition_status": "{status}",
        "customer": {"id": "{ref.customer}", "city": "{billing_address.city}"},
        "meta": [{"key": "logistic", "value": "{logistic_state}"}, {"key": "financial", "value": "{financial_state}"}],
        "note": "order {number} of {ref.customer}",
        "missing": "{nothing}",
        "partly": "x {nothing}",
        "empty": {"a": "{nothing}"},
        "total": "{total}",
        "paid": True,
    }
    values = {
        "status": "active",
        "ref": {"customer": 7},
        "billing_address": {"city": "Nîmes"},
        "logistic_state": "sent",
        "financial_state": None,
        "number": "A-1",
        "total": Decimal("10.10"),
    }
    assert filled(template, values) == {
        "transition_status": "active",
        "customer": {"id": 7, "city": "Nîmes"},
        "meta": [{"key": "logistic", "value": "sent"}],
        "note": "order A-1 of 7",
        "total": Decimal("10.10"),
        "paid": True,
    }
    assert filled({"a": "{nothing}"}, {}) is ABSENT
    assert encoded({"total": Decimal("12345678901234567.10")}) == b'{"total":12345678901234567.10}'


def test_a_value_never_opens_a_place_of_its_own() -> None:
    assert filled("{a} {b}", {"a": "{b}", "b": "x"}) == "{b} x"


def test_a_graphql_mutation_is_sent_with_its_variables(rest: RestSystem) -> None:
    mutation = "mutation Update($id: ID!, $status: String) { orderUpdate(id: $id, status: $status) { id } }"
    rest.routes["POST /api/graphql"] = lambda _: Reply({"data": {"orderUpdate": {"id": "1", "userErrors": []}}})
    how = replace(ORDER, update=Call("/graphql", graphql=mutation, variables={"id": "{id}", "status": "{status}"}))
    assert write(rest, external_id="1", how=how).external_id == "1"
    assert rest.seen[0].body == {"query": mutation, "variables": {"id": "1", "status": "completed"}}
