"""How lists are walked: kinds of paging, lists that shift or go in circles, records that are no good, linked parts."""

from __future__ import annotations

import json
import random
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from erpcrm_orchestration.clients.rest_request import span_values
from erpcrm_orchestration.domain.connection import (
    Auth,
    Call,
    ChangeMode,
    ConnectorEntity,
    Follow,
    Paging,
    PagingKind,
    Reading,
)
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.received import Page, Received, Span
from tests.connectors.flavours import ACCOUNTS, APPEND, CURSOR, GRAPHQL, ORDERS, SNAPSHOT, client_of, paged
from tests.connectors.rest_system import (
    API_KEY,
    START,
    Fault,
    Reply,
    RestSystem,
    Seen,
    cut_by_close,
    cut_by_length,
    cut_chunked,
    raw,
    status,
)

WINDOW = Span(START - timedelta(minutes=2), START + timedelta(days=1))


def read_pages(system: RestSystem, entity: ConnectorEntity, span: Span | None = None, **of_connector: object) -> list[Page]:
    with client_of(system, **of_connector) as client:
        return list(client.pages(entity, span or Span()))


def read(system: RestSystem, entity: ConnectorEntity, span: Span | None = None, **of_connector: object) -> list[Received]:
    return [one for page in read_pages(system, entity, span, **of_connector) for one in page.records]


def only(*texts: str | bytes) -> list[Received]:
    """Return what a page of these records becomes."""
    with RestSystem() as system:
        system.faults.append(raw(b"[" + b",".join(one if isinstance(one, bytes) else one.encode() for one in texts) + b"]"))
        return read(system, replace(CURSOR, read=replace(ORDERS, paging=Paging())))


def fault_of(text: str | bytes) -> str:
    (record,) = only(text)
    assert record.fault is not None
    return record.fault


def test_b9_250_changed_orders_are_exactly_three_requests(rest: RestSystem) -> None:
    for number in range(250):
        rest.add("orders", START + timedelta(seconds=number))
    hundred = replace(CURSOR, read=replace(ORDERS, paging=paged(PagingKind.PAGE, "page", 100)))
    pages = read_pages(rest, hundred, WINDOW)
    assert [len(page.records) for page in pages] == [100, 100, 50]
    assert [page.requests for page in pages] == [1, 1, 1]
    assert len(rest.seen) == 3
    assert rest.seen[0].query["after"] == "2026-11-18T11:58:00Z"


def test_b8_f24_equal_instants_across_a_page_border_need_no_second_pass(rest: RestSystem) -> None:
    added = [str(rest.add("orders")) for _ in range(7)]
    assert [one.source_id for one in read(rest, CURSOR, WINDOW)] == added
    assert len(rest.seen) == 3


def test_f23_a_row_that_moves_up_over_the_border_is_not_missed(rest: RestSystem) -> None:
    added = [rest.add("orders", START + timedelta(seconds=number)) for number in range(7)]

    def first_row_leaves_before_page_two(page: int) -> None:
        if page == 2:
            rest.before_page = lambda page: None
            rest.change("orders", added[0], START + timedelta(days=2))

    rest.before_page = first_row_leaves_before_page_two
    assert {one.source_id for one in read(rest, CURSOR, WINDOW)} == {str(one) for one in added}


PAGED_ACCOUNTS = replace(SNAPSHOT, read=replace(ACCOUNTS, paging=paged(PagingKind.PAGE, "page")))


def test_f23_a_list_by_page_without_total_is_read_again_until_nothing_new_comes(rest: RestSystem) -> None:
    rest.shows_total = False
    added = [rest.add("accounts") for _ in range(5)]
    assert [one.source_id for one in read(rest, PAGED_ACCOUNTS)] == [str(one) for one in added]
    assert len(rest.seen) == 4


def test_f23_a_list_by_offset_proves_itself_by_the_row_at_each_border(rest: RestSystem) -> None:
    rest.shows_total = False
    added = [rest.add("accounts") for _ in range(6)]
    assert [one.source_id for one in read(rest, SNAPSHOT)] == [str(one) for one in added]
    assert [seen.query["offset"] for seen in rest.seen] == ["0", "2", "4"]


def test_f23_a_list_that_never_stands_still_fails_and_is_read_later(rest: RestSystem) -> None:
    for _ in range(7):
        rest.add("accounts")

    def one_goes_and_one_comes(page: int) -> None:
        if len(rest.seen) % 3 == 2:
            del rest.records["accounts"][min(rest.records["accounts"])]
            rest.add("accounts")

    rest.before_page = one_goes_and_one_comes
    with pytest.raises(TransientFailure, match="E-SRC-052"):
        read(rest, SNAPSHOT)


@pytest.mark.parametrize("seed", range(20))
def test_f23_no_account_is_missed_while_others_go_and_come(rest: RestSystem, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  a test's own dice
    for _ in range(30):
        rest.add("accounts")
    stays = {number for number in rest.records["accounts"] if chance.random() < 0.7}

    def some_go_and_come(page: int) -> None:
        goes = sorted(set(rest.records["accounts"]) - stays)
        if chance.random() < 0.3 and goes:
            del rest.records["accounts"][chance.choice(goes)]
            rest.add("accounts")

    rest.before_page = some_go_and_come
    found = retried(lambda: read(rest, replace(SNAPSHOT, read=replace(ACCOUNTS, paging=paged(PagingKind.OFFSET, "offset", 7)))))
    assert stays <= found


@pytest.mark.parametrize("seed", range(30))
def test_f23_no_order_is_missed_while_others_change_between_pages(rest: RestSystem, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  a test's own dice
    added = [rest.add("orders", START + timedelta(seconds=number // 3)) for number in range(40)]
    rest.shows_total = chance.random() < 0.5

    def some_leave(page: int) -> None:
        if chance.random() < 0.3 and len(rest.seen) < 25:
            rest.change("orders", chance.choice(added), START + timedelta(days=2))

    rest.before_page = some_leave
    found = retried(lambda: read(rest, replace(CURSOR, read=replace(ORDERS, paging=TEN)), WINDOW))
    assert {number for number in added if rest.records["orders"][number]["modified"] < "2026-11-20"} <= found


def retried(once: Callable[[], list[Received]]) -> set[int]:
    """Return the ids that a reading brings, done again while the list changes too fast."""
    for _ in range(50):
        with suppress(TransientFailure):
            return {int(one.source_id) for one in once()}
    raise AssertionError("the list never stood still")


TEN = paged(PagingKind.PAGE, "page", 10)


def test_f22_the_same_page_for_ever_is_a_loop(rest: RestSystem) -> None:
    rest.routes["GET /api/orders"] = lambda _: Reply(raw=b'[{"id": 1, "modified": null},{"id": 2, "modified": null}]')
    entity = replace(CURSOR, read=replace(ORDERS, paging=paged(PagingKind.PAGE, "page", 2)))
    with pytest.raises(PermanentFailure, match="E-SRC-043"):
        read(rest, entity)
    assert len(rest.seen) == 2


@pytest.mark.parametrize("kind", [PagingKind.LINK, PagingKind.NEXT])
def test_f22_a_next_link_that_leads_back_is_a_loop(rest: RestSystem, kind: PagingKind) -> None:
    def circle(seen: Seen) -> Reply:
        here = int(seen.query.get("p", 0))
        link = f"{rest.url}/orders?p={(here + 1) % 3}"
        body = json.dumps({"next": link, "rows": [{"id": here, "modified": None}]})
        return Reply(raw=body.encode(), headers={"Link": f'<{link}>; rel="next"'})

    rest.routes["GET /api/orders"] = circle
    reading = Reading(ChangeMode.SNAPSHOT, Call("/orders"), records="rows", paging=Paging(kind, next_path="next"))
    with pytest.raises(PermanentFailure, match="E-SRC-043"):
        read(rest, replace(CURSOR, read=reading))
    assert len(rest.seen) <= 4


@pytest.mark.parametrize("kind", [PagingKind.LINK, PagingKind.NEXT])
def test_links_lead_through_all_pages(rest: RestSystem, kind: PagingKind) -> None:
    def cursor_pages(seen: Seen) -> Reply:
        here = int(seen.query.get("cursor", 0))
        link = f"/api/orders?cursor={here + 1}" if here < 3 else None
        body = json.dumps({"meta": {"next": link}, "rows": [{"id": f"{here}-{row}"} for row in range(2)]})
        return Reply(raw=body.encode(), headers={"Link": f'<{link}>; rel="next", </api/x>; rel="first"'} if link else {})

    rest.routes["GET /api/orders"] = cursor_pages
    reading = Reading(ChangeMode.SNAPSHOT, Call("/orders"), records="rows", paging=Paging(kind, next_path="meta.next"))
    assert len(read(rest, replace(CURSOR, read=reading))) == 8
    assert len(rest.seen) == 4


def test_catalogue_26_a_next_link_to_another_host_is_refused_and_not_asked(rest: RestSystem) -> None:
    with RestSystem() as other:
        rest.faults.append(
            lambda handler, _: handler.reply(Reply(raw=b'[{"id": 1}]', headers={"Link": f'<{other.url}/orders>; rel="next"'}))
        )
        reading = Reading(ChangeMode.SNAPSHOT, Call("/orders"), paging=Paging(PagingKind.LINK))
        with pytest.raises(PermanentFailure, match="E-SRC-042"):
            read(rest, replace(CURSOR, read=reading))
        assert other.seen == []


def test_a_system_that_gives_fewer_rows_than_asked_is_read_to_its_end_when_it_tells_the_total(rest: RestSystem) -> None:
    added = [rest.add("accounts") for _ in range(7)]
    rows = [{"id": number} for number in added]

    def at_most_two(seen: Seen) -> Reply:
        start = int(seen.query["offset"])
        return Reply({"total": len(rows), "rows": rows[start : start + 2]})

    rest.routes["GET /api/accounts"] = at_most_two
    reading = replace(ACCOUNTS, records="rows", paging=paged(PagingKind.OFFSET, "offset", 100))
    assert len(read(rest, replace(SNAPSHOT, read=reading))) == 7
    assert [seen.query["offset"] for seen in rest.seen] == ["0", "1", "2", "3", "4", "5"]


def test_an_append_only_list_newest_first_is_left_at_the_last_key(rest: RestSystem) -> None:
    added = [rest.add("events") for _ in range(30)]
    found = [int(one.source_id) for one in read(rest, APPEND, Span(last_key=str(added[-3])))]
    assert found == [30, 29, 28]
    assert len(rest.seen) == 1


def test_an_append_only_list_by_key_goes_on_after_the_greatest(rest: RestSystem) -> None:
    rest.routes["GET /api/events"] = lambda seen: Reply(
        [{"id": number} for number in range(int(seen.query.get("since", 0)) + 1, 12)][: int(seen.query["size"])]
    )
    reading = Reading(ChangeMode.APPEND, Call("/events"), paging=paged(PagingKind.KEYSET, "since", 4))
    entity = replace(APPEND, read=replace(reading, pages=Call("/events", query={"since": "{after}"})))
    assert [int(one.source_id) for one in read(rest, entity, Span(last_key="2"))] == list(range(3, 12))
    assert [seen.query["since"] for seen in rest.seen] == ["2", "6", "10"]


def test_f22_catalogue_17_one_id_twice_refuses_the_later_and_equal_ones_are_one() -> None:
    records = only('{"id":1,"modified":null,"a":1}', '{"id":1,"modified":null,"a":1}', '{"id":1,"modified":null,"a":2}')
    assert [one.fault is None for one in records] == [True, False]
    assert str(records[1].fault).startswith("E-SRC-017 $.id: the id 1 stands twice")


@pytest.mark.parametrize("value", [None, "null", '""', "true", "1.0", '"1 "', '" 1"', "[]", '"a\\tb"', '"' + "x" * 201 + '"'])
def test_catalogue_16_a_doubtful_id_is_refused(value: str | None) -> None:
    text = "{}" if value is None else f'{{"id": {value}}}'
    assert fault_of(text).startswith("E-SRC-016 $.id")
    assert only(text)[0].source_id.startswith("?")


@pytest.mark.parametrize(
    ("address", "source_id"),
    [("https://shop.example/api/clients/17/?format=json", "17"), ("ana@example.com", "ana@example.com")],
)
def test_an_id_is_the_part_of_an_address_that_the_connector_names(address: str, source_id: str) -> None:
    with RestSystem() as system:
        system.faults.append(raw(json.dumps([{"url": address}, {"url": "//"}]).encode()))
        reading = replace(ORDERS, record_id="url", record_segment=-1, modified=None, paging=Paging())
        taken, refused = read(system, replace(CURSOR, read=reading))
    assert (taken.source_id, taken.fault) == (source_id, None)
    assert str(refused.fault).startswith("E-SRC-016 $.url: '//' has no part -1")


def test_catalogue_29_an_empty_record_is_refused_and_kept() -> None:
    (record,) = only("{}")
    assert record.payload == "{}"
    assert record.fault is not None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"id": 2, "total": NaN}', "E-SRC-001 $.total"),
        ('{"id": 2, "total": 1e400}', "E-SRC-002 $.total"),
        ('{"id": 2, "n": ' + "1" * 5000 + "}", "E-SRC-003 $.n"),
        ('{"id": 2, "a": 1, "a": 2}', "E-SRC-005 $.a"),
        ('{"id": 2, "a": ' + "[" * 100_000 + "]" * 100_000 + "}", "E-SRC-006 $.a.0"),
        ('{"id": 2, "name": "\\ud800"}', "E-SRC-007 $.name"),
        ('{"id": 2, "name": "\\u0000"}', "E-SRC-008 $.name"),
        (b'{"id": 2, "name": "N\xeemes"}', "E-SRC-011 $.name"),
        ('{"id": 2, "name": "a\x00b"}', "E-SRC-054 $.name"),
        ('{"id": 2, "name": "' + "x" * 10_000_000 + '"}', "E-SRC-031 $.name"),
        ('{"id": 2, "n": 01}', "E-SRC-054 $.n"),
        ('"text"', "E-SRC-014 $"),
        ("null", "E-SRC-014 $"),
        ("7", "E-SRC-014 $"),
        ("[]", "E-SRC-014 $"),
        ("oops", "E-SRC-054 $"),
    ],
    ids=lambda value: str(value)[:12] if str(value).startswith("E-SRC") else "",
)
def test_f31_a_bad_record_is_refused_alone_and_its_text_kept(text: str | bytes, code: str) -> None:
    good = '{"id": %d, "modified": null}'
    records = only(good % 1, text, good % 3)
    assert [one.fault is None for one in records] == [True, False, True]
    assert str(records[1].fault).startswith(code)
    assert records[1].payload
    assert "\x00" not in records[1].payload
    assert records[1].source_id == (
        "2" if b"id" in (text if isinstance(text, bytes) else text.encode()) else records[1].source_id
    )
    assert [records[0].payload, records[2].payload] == [good % 1, good % 3]


def test_catalogue_4_b14_the_text_of_a_record_is_kept_byte_for_byte() -> None:
    text = '{ "id":1,\n "modified":null, "total": 12345678901234567.89, "n":1.50,"name":"\\u00e9 é" }'
    assert only(text)[0].payload == text


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("null", None),
        ('""', None),
        ('"0000-00-00 00:00:00"', None),
        ('"-0001-11-30T00:00:00"', None),
        ('"0001-01-01T00:00:00"', None),
        ('"2026-11-18T12:00:00"', START),
        ('"2026-11-18T13:00:00+01:00"', START),
        ("1795003200", START),
        ('"2036-01-01T00:00:00Z"', datetime(2036, 1, 1, tzinfo=UTC)),
    ],
)
def test_catalogue_18_f25_an_instant_of_change_is_read_or_is_none(value: str, at: datetime | None) -> None:
    (record,) = only(f'{{"id": 1, "modified": {value}}}')
    assert (record.fault, record.version_at) == (None, at)


@pytest.mark.parametrize(
    "value", ['"yesterday"', "true", "{}", '"2026-02-30T00:00:00"', '"9999-01-01T00:00:00"', '"NaN"', "-5"]
)
def test_catalogue_18_what_is_no_instant_refuses_the_record_with_its_id(value: str) -> None:
    (record,) = only(f'{{"id": 1, "modified": {value}}}')
    assert record.source_id == "1"
    assert str(record.fault).startswith("E-SRC-018 $.modified")


def test_catalogue_18_a_missing_instant_refuses_the_record_where_changes_are_read_by_it() -> None:
    assert fault_of('{"id": 1}').startswith("E-SRC-018 $.modified: no date of change")


def test_a_deleted_record_is_told_by_its_field(rest: RestSystem) -> None:
    rows = [
        {"id": 1, "gone": None},
        {"id": 2, "gone": "2026-01-01"},
        {"id": 3, "gone": False},
        {"id": 4, "gone": True},
        {"id": 5},
    ]
    rest.routes["GET /api/orders"] = lambda _: Reply(rows)
    reading = Reading(ChangeMode.SNAPSHOT, Call("/orders"), deleted="gone")
    assert [one.deleted for one in read(rest, replace(CURSOR, read=reading))] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("form", "after", "until"),
    [
        ("iso", "2026-11-18T11:59:59Z", "2026-11-18T12:00:01Z"),
        ("epoch_s", 1795003199, 1795003201),
        ("epoch_ms", 1795003199900, 1795003200100),
    ],
)
def test_a_window_is_written_as_the_system_wants_and_never_narrower(form: str, after: object, until: object) -> None:
    tenth = timedelta(milliseconds=100)
    values = span_values(Span(START - tenth, START + tenth), form, "Europe/Paris")  # type: ignore[arg-type]
    assert (values["after"], values["until"]) == (after, until)
    assert (values["after_naive"], values["until_naive"]) == ("2026-11-18T12:59:59", "2026-11-18T13:00:01")


def test_a_reading_from_the_beginning_leaves_the_filters_out(rest: RestSystem) -> None:
    read(rest, CURSOR, Span())
    assert rest.seen[0].query == {"size": "3", "page": "1"}


def test_graphql_variables_carry_the_paging_with_their_types(rest: RestSystem) -> None:
    for number in range(5):
        rest.add("orders", START + timedelta(seconds=number))
    assert len(read(rest, GRAPHQL, WINDOW)) == 5
    assert [one.body["variables"] for one in rest.seen] == [
        {"after": "2026-11-18T11:58:00Z", "size": 3},
        {"after": "2026-11-18T11:58:00Z", "size": 3, "cursor": "3"},
    ]


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ({"message": "Field 'x' not found"}, PermanentFailure, "E-SRC-050"),
        ({"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}, CredentialsRefused, "E-SRC-049"),
        ({"message": "slow down", "extensions": {"code": "THROTTLED"}}, TransientFailure, "E-SRC-050"),
    ],
)
@pytest.mark.parametrize("data", [None, {"orders": {"nodes": [], "pageInfo": {}}}])
def test_f30_errors_in_a_graphql_answer_of_status_200_are_failures(
    rest: RestSystem, error: object, kind: type[Exception], code: str, data: object
) -> None:
    rest.routes["POST /api/graphql"] = lambda _: Reply({"data": data, "errors": [error]})
    with pytest.raises(kind, match=code):
        read(rest, GRAPHQL)


LINES = Paging(PagingKind.NEXT, next_path="next")


def shop_with_links(rest: RestSystem, order: str) -> ConnectorEntity:
    """Orders whose lines stand behind a link, in pages, and whose owner behind another."""
    rest.routes["GET /api/orders"] = lambda _: Reply(raw=f"[{order}]".replace("BASE", rest.url).encode())
    rest.routes["GET /api/orders/1/lines"] = lambda seen: Reply(
        raw=b'{"results": [{"id": 12, "price": 3.10}], "next": null}'
        if "page" in seen.query
        else b'{"results": [{"id": 11, "price": 2.50}], "next": "?page=2"}'
    )
    rest.routes["GET /api/owners/7"] = lambda _: Reply(raw=b'{"email": "a@b.c", "score": 1.10}')
    follow = (
        Follow("lines", link="lines", records="results", paging=LINES),
        Follow("parts.owner", call=Call("/owners/{parent.owner_id}")),
    )
    return ConnectorEntity("orders", Reading(ChangeMode.SNAPSHOT, Call("/orders"), follow=follow, one=Call("/orders/{id}")))


ORDER = '{"id":1, "lines": "BASE/orders/1/lines", "owner_id": 7, "total": 5.60}'


def test_b3_what_stands_behind_links_is_put_into_the_record_as_it_came(rest: RestSystem) -> None:
    entity = shop_with_links(rest, ORDER)
    (page,) = read_pages(rest, entity)
    payload = page.records[0].payload
    assert json.loads(payload, parse_float=Decimal) == {
        "id": 1,
        "lines": [{"id": 11, "price": Decimal("2.50")}, {"id": 12, "price": Decimal("3.10")}],
        "owner_id": 7,
        "total": Decimal("5.60"),
        "parts": {"owner": {"email": "a@b.c", "score": Decimal("1.10")}},
    }
    for verbatim in ('{"id": 11, "price": 2.50}', '{"email": "a@b.c", "score": 1.10}', "5.60"):
        assert verbatim in payload
    assert page.requests == 4


def test_catalogue_26_a_linked_part_elsewhere_refuses_that_record_alone(rest: RestSystem) -> None:
    entity = shop_with_links(rest, ORDER + ',{"id": 2, "lines": "http://169.254.169.254/x", "owner_id": 7}')
    first, second = read(rest, entity)
    assert first.fault is None
    assert str(second.fault).startswith("E-SRC-042")


def test_a_linked_part_that_is_gone_refuses_that_record_and_a_failing_one_is_tried_again(rest: RestSystem) -> None:
    entity = shop_with_links(rest, ORDER + ',{"id": 2, "lines": null, "owner_id": 8}')
    first, second = read(rest, entity)
    assert first.fault is None
    assert str(second.fault).startswith("E-SRC-048")
    rest.routes["GET /api/owners/7"] = failing_once(rest.routes["GET /api/owners/7"])
    assert read(rest, entity)[0].fault is None


def failing_once(route: object) -> object:
    answers = iter([Reply({}, 503)])
    return lambda seen: next(answers, None) or route(seen)  # type: ignore[operator]


def test_a_bad_value_in_a_linked_part_names_its_place_in_the_record(rest: RestSystem) -> None:
    entity = shop_with_links(rest, ORDER)
    rest.routes["GET /api/orders/1/lines"] = lambda _: Reply(raw=b'{"results": [{"price": NaN}], "next": null}')
    assert str(read(rest, entity)[0].fault).startswith("E-SRC-001 $.lines.0.price")


def test_one_record_is_fetched_with_its_parts(rest: RestSystem) -> None:
    entity = shop_with_links(rest, ORDER)
    rest.routes["GET /api/orders/1"] = lambda _: Reply(raw=ORDER.replace("BASE", rest.url).encode())
    with client_of(rest) as client:
        fetched = client.fetch(entity, "1")
    assert fetched is not None
    assert fetched == read(rest, entity)[0]


def test_the_id_of_a_fetch_cannot_lead_to_another_path(rest: RestSystem) -> None:
    with client_of(rest) as client:
        with pytest.raises(PermanentFailure, match="E-SRC-051"):
            client.fetch(CURSOR, "..")
        rest.routes["GET /api/orders/7%2F..%2Fadmin%3Fx"] = lambda _: Reply({}, 404)
        assert client.fetch(CURSOR, "7/../admin?x") is None
    assert [seen.path for seen in rest.seen] == ["/api/orders/7%2F..%2Fadmin%3Fx"]


@pytest.mark.parametrize("fault", [cut_by_close, cut_by_length, cut_chunked, raw(b""), status(503)])
def test_f20_a_fetch_whose_answer_is_cut_may_be_done_again(rest: RestSystem, fault: Fault) -> None:
    rest.add("orders")
    rest.faults.append(fault)
    with client_of(rest) as client:
        with pytest.raises(TransientFailure):
            client.fetch(CURSOR, "1")
        assert client.fetch(CURSOR, "1") is not None
    assert len(rest.seen) == 2


def test_f31_a_bad_record_that_is_fetched_is_kept_with_its_fault(rest: RestSystem) -> None:
    rest.texts["orders", rest.add("orders")] = '{"id": 1, "modified": null, "total": NaN}'
    with client_of(rest) as client:
        fetched = client.fetch(CURSOR, "1")
    assert fetched is not None
    assert (fetched.source_id, str(fetched.fault)[:17]) == ("1", "E-SRC-001 $.total")


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_f21_a_login_page_is_no_record(rest: RestSystem, kind: str) -> None:
    rest.faults.append(raw(b"<html>", kind))
    with client_of(rest) as client, pytest.raises(PermanentFailure, match=r"E-SRC-0(40|54)"):
        client.fetch(CURSOR, "1")


def test_another_record_than_the_one_asked_for_is_refused(rest: RestSystem) -> None:
    rest.routes["GET /api/orders/1"] = lambda _: Reply({"id": 2, "modified": None})
    with client_of(rest) as client:
        fetched = client.fetch(CURSOR, "1")
    assert fetched is not None
    assert str(fetched.fault).startswith("E-SRC-016")


def test_basic_credentials_are_sent_with_every_request(rest: RestSystem) -> None:
    basic = Auth("basic", user="shop", password="{key}")  # noqa: S106  a place
    with client_of(rest, auth=basic) as client, pytest.raises(CredentialsRefused):
        list(client.pages(CURSOR, Span()))
    assert b64decode(rest.seen[0].headers["Authorization"].removeprefix("Basic ")) == f"shop:{API_KEY}".encode()


LOGIN = Auth(
    "login",
    headers={"X-Api-Key": "{token}"},
    login=Call("/login", "POST", body={"user": "u", "secret": "{key}"}),
    token_path="data.token",  # noqa: S106  a path
)


def with_login(rest: RestSystem, tokens: list[str]) -> None:
    """Let the system accept only the last of the tokens; each login gives the next one."""
    usual, given = rest.answer, iter(tokens)

    def answer(seen: Seen) -> Reply:
        if seen.path == "/api/login":
            return Reply({"data": {"token": next(given)}})
        return usual(seen)

    rest.answer = answer  # type: ignore[method-assign]


def test_a_login_gives_the_token_that_requests_carry(rest: RestSystem) -> None:
    with_login(rest, [API_KEY])
    with client_of(rest, auth=LOGIN) as client:
        for _ in range(2):
            assert list(client.pages(CURSOR, Span()))
    assert [one.path for one in rest.seen] == ["/api/login", "/api/orders", "/api/orders"]
    assert rest.seen[0].body == {"user": "u", "secret": API_KEY}


def test_a_token_that_is_no_longer_accepted_is_renewed_once(rest: RestSystem) -> None:
    with_login(rest, [API_KEY, "canary-old", API_KEY])
    with client_of(rest, auth=LOGIN) as client:
        assert list(client.pages(CURSOR, Span()))
        rest.faults.append(status(401))
        with pytest.raises(CredentialsRefused):
            list(client.pages(CURSOR, Span()))
        assert list(client.pages(CURSOR, Span()))
    assert [one.path.rpartition("/")[2] for one in rest.seen] == [
        *("login", "orders"),
        *("orders", "login", "orders"),
        *("orders", "login", "orders"),
    ]


def test_a_missing_secret_is_named_and_nothing_is_sent(rest: RestSystem) -> None:
    with pytest.raises(PermanentFailure, match=r"E-CFG-046.*SMALL_KEY"):
        client_of(rest, key="")
    assert rest.seen == []
