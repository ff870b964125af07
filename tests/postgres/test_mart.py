"""Schema mart: every column documented, computed when read, and the only thing that analysts can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import OnUncertain
from erpcrm_orchestration.domain.mail import Answer, MailDraft, RecipientState
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.domain.routine import Counts, NewOrder, OrderState, Origin
from erpcrm_orchestration.domain.work import Outcome, WorkState
from erpcrm_orchestration.store import conflict, schema
from erpcrm_orchestration.store import order as orders
from erpcrm_orchestration.store.conflict import list_conflicts
from erpcrm_orchestration.store.engine import create_engine, dsn
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, claim, close, explain, receive
from erpcrm_orchestration.store.mail import enqueue
from erpcrm_orchestration.store.outbound import Delivery, queue_deliveries
from erpcrm_orchestration.store.shared_fields import Conflict, Place, keep_conflicts
from erpcrm_orchestration.store.work import Turn, claim_work, close_work, queue_fetches
from tests.company import Company

VIEWS = {
    "alert", "dataset", "delivery", "execution_order", "field_conflict", "inbox_message", "interaction_state",
    "interaction_state_history", "logbook", "mail", "tick", "watcher",
}  # fmt: skip
DOCUMENT = Path(__file__).parents[2] / "docs" / "mart.md"


def fetch(engine: sa.Engine, statement: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement))]


def test_every_view_and_every_column_has_a_comment(engine: sa.Engine) -> None:
    found = fetch(
        engine,
        "SELECT c.relname, a.attname, obj_description(c.oid, 'pg_class'), col_description(c.oid, a.attnum), c.reloptions"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE n.nspname = 'mart' AND c.relkind = 'v'",
    )
    assert {row[0] for row in found} == VIEWS
    assert [(row[0], row[1]) for row in found if not row[2] or not row[3]] == []
    assert [row[0] for row in found if row[4] != ["security_barrier=true"]] == []


def test_the_document_says_of_every_view_and_column_what_the_database_says(engine: sa.Engine) -> None:
    sections = dict(
        re.findall(r"^## mart\.(\w+)\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    found = fetch(
        engine,
        "SELECT c.relname, a.attname, obj_description(c.oid, 'pg_class'), col_description(c.oid, a.attnum)"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = CAST('mart' AS regnamespace) AND c.relkind = 'v'",
    )
    assert {str(view) for view, *_ in found} == sections.keys()
    assert [view for view, _, about, _ in found if str(about) not in sections[str(view)]] == []
    assert [(view, name) for view, name, _, text in found if f"\n| `{name}` | {text} |\n" not in sections[str(view)]] == []


def test_the_queries_of_the_document_run(engine: sa.Engine) -> None:
    queries = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) >= 2
    for query in queries:
        assert fetch(engine, query) == []


@pytest.fixture
def analyst(engine: sa.Engine, database_url: sa.URL) -> Iterator[sa.Engine]:
    """A login of its own that is a member of erpcrm_analyst and nothing else."""
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE ROLE analyst_of_this_test LOGIN IN ROLE erpcrm_analyst"))
    made = create_engine(database_url.set(username="analyst_of_this_test"))
    yield made
    made.dispose()
    with engine.begin() as connection:
        connection.execute(sa.text("DROP ROLE analyst_of_this_test"))


def test_an_analyst_reads_every_view_of_mart(analyst: sa.Engine) -> None:
    for view in sorted(VIEWS):
        assert fetch(analyst, f"SELECT * FROM mart.{view}") == []


@pytest.mark.parametrize("table", sorted(table.fullname for table in schema.metadata.tables.values()))
def test_an_analyst_cannot_read_any_table(analyst: sa.Engine, table: str) -> None:
    with pytest.raises(sa.exc.ProgrammingError) as caught:
        fetch(analyst, f"SELECT * FROM {table}")
    assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)


def test_an_analyst_cannot_write_through_a_view(analyst: sa.Engine) -> None:
    for statement in ("DELETE FROM mart.tick", "UPDATE mart.logbook SET message = 'x'", "CREATE TABLE mart.mine (a int)"):
        with analyst.begin() as connection, pytest.raises(sa.exc.ProgrammingError) as caught:
            connection.execute(sa.text(statement))
        assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)


def add_watcher(engine: sa.Engine, code: str, age: timedelta | None, *, enabled: bool = True) -> None:
    heartbeat = None if age is None else sa.func.now() - age
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.watcher).where(schema.watcher.c.watcher_code == code))
        connection.execute(
            sa.insert(schema.watcher).values(watcher_code=code, poll_interval_s=60, heartbeat_at=heartbeat, enabled=enabled)
        )


@pytest.mark.parametrize(
    ("age_s", "enabled", "state"),
    [(0, True, "ON"), (118, True, "ON"), (121, True, "OFF"), (5, False, "OFF"), (None, True, "OFF"), (-30, True, "ON")],
)
def test_A48_a_watcher_is_ON_while_its_heartbeat_is_at_most_twice_its_poll_old(
    engine: sa.Engine, age_s: int | None, enabled: bool, state: str
) -> None:
    add_watcher(engine, "DATA_HUB", None if age_s is None else timedelta(seconds=age_s), enabled=enabled)
    assert fetch(engine, "SELECT watcher_code, state FROM mart.watcher") == [("DATA_HUB", state)]


def test_A48_exactly_twice_the_poll_is_still_ON(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.watcher).values(
                watcher_code="MOBILITY", poll_interval_s=60, heartbeat_at=sa.func.now() - timedelta(seconds=120)
            )
        )
        row = connection.execute(sa.text("SELECT state, heartbeat_age_s FROM mart.watcher")).one()
    assert tuple(row) == ("ON", 120)


def add_state(engine: sa.Engine, *, age_min: int, opened_min_ago: int, **process: object) -> None:
    """A dossier in UTC whose process opened so long ago today or yesterday, refreshed so long ago, every 15 minutes."""
    now = datetime.now(UTC)
    opened = now - timedelta(minutes=opened_min_ago)
    code = "998"
    values = {
        "state": "ACTIVE",
        "days": [opened.isoweekday()],
        "start": time(opened.hour, opened.minute, opened.second),
        "duration_min": 600,
        "frequency_min": 15,
    } | process
    numbers = [column.name for column in schema.interaction_state.c if "not_ok" in column.name or "in_error" in column.name]
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.dossier).values(
                dossier_code=code, crm_project_code="P", time_zone="UTC", activated_at=now, created_at=now, updated_at=now
            )
        )
        connection.execute(
            sa.insert(schema.process).values(
                dossier_code=code,
                process_code="interactions_erpcrm",
                missed_ticks="last",
                missed_max=1,
                mail_group="g",
                mail_template="t",
                on_uncertain="resend",
                considered_until=now,
                updated_at=now,
                **values,
            )
        )
        connection.execute(
            sa.insert(schema.interaction_state).values(
                dossier_code=code,
                crm_project_code="P",
                sync_state="NORMAL",
                sync_state_label="Normal",
                alert_delay_min=30,
                elapsed_min=1,
                never_synced=False,
                last_refreshed_at=now - timedelta(minutes=age_min, seconds=5),
                syncs_today=0,
                syncs_with_rejects=0,
                epoch=1,
                **dict.fromkeys(numbers, 0),
            )
        )


@pytest.mark.parametrize(
    ("age_min", "opened_min_ago", "process", "stale"),
    [
        (29, 300, {}, False),
        (30, 300, {}, True),
        (4000, 29, {}, False),
        (4000, 31, {}, True),
        (4000, 601, {}, False),
        (4000, 300, {"state": "EXPIRED"}, False),
        (4000, 300, {"state": "IN_MODIFICATION"}, False),
    ],
)
def test_a_state_is_stale_when_two_refreshes_of_an_open_window_are_missing(
    engine: sa.Engine, age_min: int, opened_min_ago: int, process: dict[str, object], stale: bool
) -> None:
    add_state(engine, age_min=age_min, opened_min_ago=opened_min_ago, **process)
    assert fetch(engine, "SELECT age_min, is_stale FROM mart.interaction_state") == [(age_min, stale)]


def test_a_state_without_a_process_is_never_stale(engine: sa.Engine) -> None:
    add_state(engine, age_min=4000, opened_min_ago=300)
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.process))
    assert fetch(engine, "SELECT is_stale FROM mart.interaction_state") == [(False,)]


def test_a_mail_is_shown_with_how_many_have_it_and_without_its_text_or_addresses(engine: sa.Engine) -> None:
    now = datetime(2026, 11, 18, 12, tzinfo=UTC)
    refused = (Answer("nobody", RecipientState.REFUSED, "no address"),)
    people = ("ann@example.com", "bob@example.com")
    draft = MailDraft(None, "test", "k1", "subject", "secret text", None, people, OnUncertain.HOLD, False, now, refused)
    with engine.begin() as connection:
        enqueue(connection, [draft], now=now)
        connection.execute(
            sa.update(schema.mail_recipient).values(state="ACCEPTED").where(schema.mail_recipient.c.address < "b")
        )
        row = connection.execute(sa.text("SELECT * FROM mart.mail")).mappings().one()
    assert (row["recipients_accepted"], row["recipients_refused"], row["recipients_pending"]) == (1, 1, 1)
    assert "secret" not in str(dict(row))
    assert "example.com" not in str(dict(row))


def test_an_alert_lasts_until_it_is_closed_and_its_length_grows_while_it_is_read(engine: sa.Engine) -> None:
    hour_ago = sa.func.now() - timedelta(minutes=61, seconds=30)
    values = {"severity": "ERROR", "opened_at": hour_ago, "details": {}, "recovery": "look"}
    with engine.begin() as connection:
        for name, closed_at in (("open", None), ("closed", hour_ago + timedelta(minutes=5, seconds=59))):
            connection.execute(
                sa.insert(schema.alert).values(check_name=name, last_seen_at=hour_ago, closed_at=closed_at, **values)
            )
    found = fetch(engine, "SELECT check_name, is_open, duration_min FROM mart.alert ORDER BY check_name")
    assert found == [("closed", False, 5), ("open", True, 61)]


@pytest.mark.parametrize(("group", "is_ok"), [("CLOSED_OK", True), ("CLOSED_KO", False), ("PENDING", False), ("ERROR", False)])
def test_a_dataset_is_ok_only_when_it_is_closed_ok_and_its_file_is_not_shown(
    engine: sa.Engine, group: str, is_ok: bool
) -> None:
    now = datetime(2026, 11, 18, 12, tzinfo=UTC)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.dossier).values(
                dossier_code="998", crm_project_code="P", activated_at=now, created_at=now, updated_at=now
            )
        )
        connection.execute(
            sa.insert(schema.hub_dataset).values(
                dossier_code="998",
                type_code="PCE",
                category="DOCUMENT",
                origin="CRM",
                intake="data_hub",
                source_key="1",
                state_number=100,
                state_group=group,
                created_at=now,
                updated_at=now,
                last_error="reason",
                payload="<DataHub>private</DataHub>",
                content_hash="x",
            )
        )
        row = connection.execute(sa.text("SELECT * FROM mart.dataset")).mappings().one()
    assert (row["is_ok"], row["state_label"]) == (is_ok, None)
    assert "private" not in str(dict(row))


KEY = StreamKey("998", "shop_998", "shop", "customers", "customer")
PLACE = (KEY.dossier_code, KEY.system_code, KEY.entity)
PRIVATE = "ana@example.com"
LONG_AGO = timedelta(minutes=61, seconds=30)


@pytest.fixture
def then(engine: sa.Engine) -> datetime:
    """An instant 61 minutes and a half ago, of a dossier 998 that is there."""
    at = datetime.now(UTC) - LONG_AGO
    Company(engine, FixedClock(at)).dossier("998")
    return at


def test_a_message_is_shown_with_why_it_waits_and_for_how_long_and_without_what_was_received(
    engine: sa.Engine, then: datetime
) -> None:
    payload = f'{{"email": "{PRIVATE}"}}'
    with engine.begin() as connection:
        receive(connection, KEY, [Received(code, payload) for code in "789"], Arrival(Via.POLL, then, "run-1"))
        waiting, refused, integrated = (one.message_id for one in claim(connection, *PLACE, limit=3))
        outcomes = [
            {"message_id": waiting, "state": "WAITING", "waiting_for": "employee 3"},
            {"message_id": refused, "state": "REJECTED", "error": "E-MAP-001 not a date"},
        ]
        explain(connection, "998", outcomes, now=then, run_id="run-2")
        close(connection, "998", [integrated], "TRANSFORMED", now=then, run_id="run-2")
    shown = "source_id, state, is_open, waiting_for, waiting_since, error, closed_at, age_min, run_id, attempts"
    assert fetch(engine, f"SELECT {shown} FROM mart.inbox_message ORDER BY message_id") == [
        ("7", "WAITING", True, "employee 3", then, None, None, 61, "run-2", 1),
        ("8", "REJECTED", False, None, None, "E-MAP-001 not a date", then, None, "run-2", 1),
        ("9", "TRANSFORMED", False, None, None, None, then, None, "run-2", 1),
    ]
    assert PRIVATE not in str(fetch(engine, "SELECT * FROM mart.inbox_message"))


def test_a_message_is_shown_with_our_id_of_its_record_as_long_as_one_is_known(engine: sa.Engine, then: datetime) -> None:
    with engine.begin() as connection:
        # The same id of another kind of record is another record.
        for key in (KEY, replace(KEY, stream="products", entity="product")):
            receive(connection, key, [Received("7", "{}")], Arrival(Via.POLL, then))
    shown = "SELECT entity, record_id FROM mart.inbox_message ORDER BY entity"
    assert fetch(engine, shown) == fetch(engine, "SELECT entity, record_id FROM hub.cross_reference ORDER BY entity")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM hub.cross_reference"))
    assert fetch(engine, shown) == [("customer", None), ("product", None)]


def test_what_is_told_and_fetched_is_shown_with_what_became_of_it_and_without_values(engine: sa.Engine, then: datetime) -> None:
    later = then + timedelta(hours=3)
    with engine.begin() as connection:
        queue_deliveries(connection, [Delivery(KEY, 5, {"email": PRIVATE}, "hash", "key", "routine:12")], then)
        queue_fetches(connection, [(KEY, "7")], cause="asked by maria", urgent=True, now=then)
        (change,) = claim_work(connection, "998", Turn("outbound", ["shop_998"], then, later, 9))
        (wanted,) = claim_work(connection, "998", Turn("on_demand", ["shop_998"], then, later, 9))
        retry, done = Outcome(WorkState.RETRY, later, "E-SRC-020 down"), Outcome(WorkState.DONE, then)
        for item, outcome in ((change, retry), (wanted, done)):
            assert close_work(connection, "998", item, outcome, now=then, run_id="run-1")
    shown = "event, record_id, source_id, cause, state, is_open, attempts, not_before, closed_at, age_min, last_error, run_id"
    assert fetch(engine, f"SELECT {shown} FROM mart.delivery ORDER BY work_id") == [
        ("outbound", 5, None, "routine:12", "RETRY", True, 1, later, None, 61, "E-SRC-020 down", "run-1"),
        ("on_demand", None, "7", "asked by maria", "DONE", False, 1, then, then, None, None, "run-1"),
    ]
    assert PRIVATE not in str(fetch(engine, "SELECT * FROM mart.delivery"))


def test_a_conflict_names_its_field_and_whose_value_stands_and_never_a_value(engine: sa.Engine, then: datetime) -> None:
    fields = {"email": None, "phone": "theirs", "vat_number": f"value: {PRIVATE}"}
    with engine.begin() as connection:
        keep_conflicts(connection, Place(*PLACE, then), [Conflict(5, name, PRIVATE, PRIVATE, PRIVATE) for name in fields])
        for found in list_conflicts(connection, dossier_code="998", limit=9):
            resolution = fields[found.field]
            if resolution is not None:
                conflict.close(connection, found, resolution, then)
    shown = "field, record_id, opened_at, closed_at, is_open, age_min, resolution"
    assert fetch(engine, f"SELECT {shown} FROM mart.field_conflict ORDER BY conflict_id") == [
        ("email", 5, then, None, True, 61, None),
        ("phone", 5, then, then, False, None, "theirs"),
        ("vat_number", 5, then, then, False, None, "value"),
    ]
    assert PRIVATE not in str(fetch(engine, "SELECT * FROM mart.field_conflict"))


def an_order(engine: sa.Engine, now: datetime, due_at: datetime, *steps: tuple[str, datetime]) -> None:
    """Write an order, and let it begin, end in a state or be opened again, each at its instant."""
    new = NewOrder("998", "a_routine", "maria", parameters={"subject": PRIVATE}, email=PRIVATE)
    with engine.begin() as connection:
        number = orders.insert_order(connection, new, scheduled_at=due_at, summary=False, origin=Origin.PERSON, now=now)
        for step, at in steps:
            order = orders.read_order(connection, number)
            if step == "RUNNING":
                orders.begin(connection, order, run_id="run-1", now=at)
                orders.note_progress(connection, order, Counts(4, 3, 2, 1), account_after=9)
            elif step == "PENDING":
                orders.reopen(connection, order)
            else:
                failure = "E-TEST it broke" if step == "FAILED" else None
                orders.end(connection, order, OrderState(step), failure=failure, now=at)


@pytest.mark.parametrize(
    ("due", "steps", "waited", "ran"),
    [
        (0, (), 61, None),
        (60 * 24, (), 0, None),
        # A backfill may be for a day long ago: nobody waited for it before it was ordered.
        (-60 * 24, (("RUNNING", 5),), 5, 56),
        (10, (("RUNNING", 30), ("DONE", 42)), 20, 12),
        (10, (("CANCELLED", 12),), 2, None),
        (10, (("CANCELLED", 5),), 0, None),
        (0, (("RUNNING", 7), ("FAILED", 9), ("PENDING", 20)), 7, None),
        (0, (("RUNNING", 7), ("FAILED", 9), ("PENDING", 20), ("RUNNING", 30), ("FAILED", 37)), 7, 30),
        (0, (("RUNNING", 7), ("FAILED", 9), ("PENDING", 20), ("CANCELLED", 30)), 7, None),
    ],
)
def test_an_order_waits_from_when_it_is_due_to_its_first_start_and_runs_to_its_end(
    engine: sa.Engine, then: datetime, due: int, steps: tuple[tuple[str, int], ...], waited: int, ran: int | None
) -> None:
    def after(minutes: int) -> datetime:
        return then + timedelta(minutes=minutes)

    an_order(engine, then, after(due), *((step, after(minutes)) for step, minutes in steps))
    state = steps[-1][0] if steps else "PENDING"
    runs = [step for step, _ in steps].count("RUNNING")
    failure = "E-TEST it broke" if state == "FAILED" else None
    shown = "state, is_open, waited_min, ran_min, considered, failure, requested_by"
    assert fetch(engine, f"SELECT {shown} FROM mart.execution_order") == [
        (state, state in ("PENDING", "RUNNING"), waited, ran, 10 * runs, failure, "maria")
    ]
    assert PRIVATE not in str(fetch(engine, "SELECT * FROM mart.execution_order"))


FILL = """
INSERT INTO hub.dossier (dossier_code, crm_project_code, activated_at, created_at, updated_at)
SELECT lpad(CAST(n AS text), 3, '0'), 'P', now(), now(), now() FROM generate_series(0, 19) AS n;

INSERT INTO flow.inbox (
    dossier_code, connection_code, system_code, stream, entity, source_id, content_hash, received_at, via, payload, state,
    waiting_for, error, closed_at
)
SELECT
    lpad(CAST(n % 20 AS text), 3, '0'), 'c', 's', 'orders', 'order', CAST(n AS text), 'h', now(), 'poll', '{}', of.state,
    CASE of.state WHEN 'WAITING' THEN 'customer ' || n END, CASE of.state WHEN 'REJECTED' THEN 'E-TEST' END,
    CASE WHEN of.state NOT IN ('NEW', 'WAITING') THEN now() END
FROM generate_series(1, 20000) AS n
CROSS JOIN LATERAL (
    SELECT CASE n / 20 % 50 WHEN 0 THEN 'WAITING' WHEN 1 THEN 'REJECTED' WHEN 2 THEN 'NEW' ELSE 'TRANSFORMED' END AS state
) AS of;

INSERT INTO hub.cross_reference (dossier_code, system_code, entity, external_id)
SELECT dossier_code, system_code, entity, source_id FROM flow.inbox;

INSERT INTO flow.work_item (
    dossier_code, connection_code, system_code, event, stream, entity, record_id, dedup_key, priority, values, state,
    not_before, created_at, closed_at, cause
)
SELECT
    lpad(CAST(n % 20 AS text), 3, '0'), 'c', 's', 'outbound', 'customers', 'customer', n, 'k' || n, 0, '{}',
    CASE WHEN n / 20 % 500 = 0 THEN 'QUEUED' ELSE 'DONE' END, now(), now(),
    CASE WHEN n / 20 % 500 <> 0 THEN now() END, 'inbox:1'
FROM generate_series(1, 20000) AS n;

INSERT INTO flow.field_conflict (dossier_code, system_code, entity, record_id, field, opened_at, closed_at, resolution)
SELECT
    lpad(CAST(n % 20 AS text), 3, '0'), 's', 'customer', n, 'email', now(), CASE WHEN n / 20 % 50 <> 0 THEN now() END, 'ours'
FROM generate_series(1, 20000) AS n;

INSERT INTO automation.execution_order (
    dossier_code, program, requested_by, summary, scheduled_at, state, created_at, started_at, ended_at
)
SELECT
    lpad(CAST(n % 20 AS text), 3, '0'), 'r' || n / 20 % 20, 'maria', false, now(),
    CASE WHEN n / 20 % 500 = 0 THEN 'PENDING' ELSE 'DONE' END, now(), now(), CASE WHEN n / 20 % 500 <> 0 THEN now() END
FROM generate_series(1, 20000) AS n;

ANALYZE;
"""
"""Twenty dossiers with a thousand rows of each kind, few of which are open."""

INDEXES = {
    "mart.inbox_message WHERE dossier_code = '007'": "inbox_",
    "mart.inbox_message WHERE dossier_code = '007' AND is_open": "inbox_open_idx",
    "mart.inbox_message WHERE dossier_code = '007' AND state = 'WAITING'": "inbox_waiting_idx",
    "mart.inbox_message WHERE dossier_code = '007' AND state IN ('REJECTED', 'DEAD')": "inbox_problem_idx",
    "mart.delivery WHERE dossier_code = '007'": "work_item_pkey",
    "mart.delivery WHERE is_open": "work_item_due_idx",
    "mart.delivery WHERE state = 'QUEUED'": "work_item_due_idx",
    "mart.field_conflict WHERE dossier_code = '007'": "field_conflict_pkey",
    "mart.field_conflict WHERE dossier_code = '007' AND is_open": "field_conflict_open_key",
    "mart.execution_order WHERE dossier_code = '007'": "execution_order_",
    "mart.execution_order WHERE dossier_code = '007' AND program = 'r3'": "execution_order_dossier_code_program_idx",
    "mart.execution_order WHERE is_open": "execution_order_open_idx",
}
"""What analysts ask for most -> (the beginning of) the name of the index that has to serve it."""


def test_the_indexes_of_the_tables_serve_what_analysts_ask_the_views(engine: sa.Engine, analyst: sa.Engine) -> None:
    with psycopg.connect(dsn(engine.url)) as connection:
        connection.execute(FILL)
    plans = {query: str(fetch(analyst, f"EXPLAIN SELECT * FROM {query}")) for query in INDEXES}
    missed = {query: plans[query] for query, index in INDEXES.items() if index not in plans[query]}
    assert missed == {}
    # Our id of the record costs nothing where nobody asks for it.
    counted = str(fetch(analyst, "EXPLAIN SELECT count(*) FROM mart.inbox_message WHERE is_open"))
    assert "cross_reference" not in counted
