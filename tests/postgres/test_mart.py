"""Schema mart: every column documented, computed when read, and the only thing that analysts can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import OnUncertain
from erpcrm_orchestration.domain.mail import Answer, MailDraft, RecipientState
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.mail import enqueue

VIEWS = {"alert", "dataset", "interaction_state", "interaction_state_history", "logbook", "mail", "tick", "watcher"}
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


def test_the_document_names_every_view_and_column(engine: sa.Engine) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    columns = fetch(engine, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'mart'")
    sections = dict(re.findall(r"^## mart\.(\w+)\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL))
    assert [(view, column) for view, column in columns if f"`{column}`" not in sections.get(str(view), "")] == []


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
