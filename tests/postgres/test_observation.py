"""The checks of the installation, retention, and alerts of dossiers that nobody evaluates any more."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.checks import Verdict
from erpcrm_orchestration.domain.configuration import WatcherCode
from erpcrm_orchestration.services import ledger, watchers
from erpcrm_orchestration.services.observation import INSTALLATION_CHECKS, judge
from erpcrm_orchestration.services.retention import apply_retention
from erpcrm_orchestration.store import schema
from tests.company import FOUNDED, Company, ago

ALL_DAY = {"days": [1, 2, 3, 4, 5, 6, 7], "start": datetime.min.time(), "duration_min": 1439, "frequency_min": 15}


def verdict(company: Company, name: str) -> Verdict:
    return judge(company.engine, name, clock=company.clock)


def open_alerts(company: Company) -> set[str]:
    return {row.check_name for row in company.rows(schema.alert) if row.closed_at is None}


@pytest.fixture
def watching(company: Company) -> Company:
    """The three watchers, as the configuration writes them."""
    with company.engine.begin() as connection:
        rows = [{"watcher_code": code, "poll_interval_s": 60} for code in WatcherCode]
        connection.execute(sa.insert(schema.watcher), rows)
    return company


def test_A48_a_watcher_is_on_until_its_heartbeat_is_older_than_two_polls(watching: Company) -> None:
    for code in WatcherCode:
        assert watchers.beat(watching.engine, code, clock=watching.clock, work="1 dossier due")
    watching.clock.at += timedelta(seconds=120)
    assert verdict(watching, "watchers_are_running").passed
    watching.clock.at += timedelta(microseconds=1)
    found = verdict(watching, "watchers_are_running")
    assert (found.passed, found.metadata["MOBILITY"]) == (False, "OFF")
    assert [(one.watcher_code, state.value) for one, state in watchers.observe(watching.engine, clock=watching.clock)] == [
        ("DATA_HUB", "OFF"),
        ("INTERCOMPANY", "OFF"),
        ("MOBILITY", "OFF"),
    ]


def test_a_watcher_that_is_switched_off_may_not_work_and_is_not_missed(watching: Company) -> None:
    with watching.engine.begin() as connection:
        connection.execute(schema.watcher.update().where(schema.watcher.c.watcher_code == "MOBILITY").values(enabled=False))
    assert not watchers.beat(watching.engine, WatcherCode.MOBILITY, clock=watching.clock, work="")
    for code in (WatcherCode.DATA_HUB, WatcherCode.INTERCOMPANY):
        watchers.beat(watching.engine, code, clock=watching.clock, work="")
    assert verdict(watching, "watchers_are_running").passed


def test_a_state_is_stale_after_two_periods_inside_its_window_and_not_outside(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    company.refresh("998")
    company.clock.at += timedelta(minutes=30)
    assert verdict(company, "interaction_state_is_fresh").passed
    company.clock.at += timedelta(seconds=1)
    assert verdict(company, "interaction_state_is_fresh").metadata["998"] == ago(company, minutes=30, seconds=1).isoformat()
    assert open_alerts(company) >= {"interaction_state_is_fresh"}
    company.refresh("998")
    assert verdict(company, "interaction_state_is_fresh").passed
    assert "interaction_state_is_fresh" not in open_alerts(company)


def test_a_dossier_outside_its_window_is_not_stale(company: Company) -> None:
    company.dossier("998")
    company.refresh("998")
    company.clock.at = datetime.fromisoformat("2026-11-22T12:00:00+01:00")
    assert verdict(company, "interaction_state_is_fresh").passed, "it is Sunday"


def test_a_dossier_that_was_never_refreshed_is_stale(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    assert verdict(company, "interaction_state_is_fresh").metadata == {"stale": 1, "998": "never"}


def test_missed_and_forgotten_ticks_fail_the_account(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    company.clock.at += timedelta(hours=3)
    ledger.collect(company.engine, clock=company.clock)
    missed = verdict(company, "ticks_are_accounted_for")
    assert (missed.passed, missed.severity, missed.metadata["missed_last_day"]) == (False, "WARN", 11)
    company.clock.at += timedelta(minutes=11)
    forgotten = verdict(company, "ticks_are_accounted_for")
    assert (forgotten.severity, forgotten.metadata["unclosed_for_ten_minutes"]) == ("ERROR", 1)


def test_a_mail_in_doubt_fails_its_check(company: Company) -> None:
    assert verdict(company, "mails_have_left").passed
    with company.engine.begin() as connection:
        row = {
            "cause": "c", "idempotency_key": "k", "subject": "s", "text": "t", "state": "UNCERTAIN", "on_uncertain": "hold",
            "not_before": FOUNDED, "created_at": FOUNDED, "last_error": "answer lost",
        }  # fmt: skip
        connection.execute(sa.insert(schema.mail).values(**row))
    assert verdict(company, "mails_have_left").metadata["uncertain"] == 1


def test_rows_written_by_hand_that_do_not_fit_are_named(company: Company) -> None:
    company.dossier("998", time_zone="Europe/Pariss", process={"recovery_template": "gone"})
    company.general(common_dossier="999")
    found = verdict(company, "configuration_is_consistent")
    assert list(found.metadata.values())[1:] == [
        "dossier 998: mail group dest_erp_crm does not exist",
        "dossier 998: mail template gone does not exist",
        "dossier 998: mail template interactions_alert does not exist",
        "dossier 998: time zone Europe/Pariss is unknown",
        "the common dossier 999 must exist and be active",
    ]


def test_the_alerts_of_a_dossier_that_is_deactivated_are_closed(company: Company) -> None:
    company.dossier("998", delay=30)
    company.log("998", ago(company, minutes=95))
    company.refresh("998")
    assert "synchronisation_is_on_time" in open_alerts(company)
    with company.engine.begin() as connection:
        connection.execute(schema.dossier.update().values(active=False))
    assert watchers.close_alerts_of_inactive(company.engine, clock=company.clock) == 2, "late, and no recipients"
    assert open_alerts(company) == set()


def test_retention_drops_whole_months_deletes_the_rest_and_makes_the_coming_months(company: Company) -> None:
    company.general(state_history_retention_days=60, logbook_retention_days=30)
    company.dossier("998", process=ALL_DAY)
    for days in (400, 100, 29, 0):
        company.log("998", ago(company, days=days))
    for days in (70, 10):
        now = company.clock.now()
        company.refresh("998", at=ago(company, days=days))
        company.clock.at = now
    company.clock.at += timedelta(days=1)
    done = apply_retention(company.engine, clock=company.clock).counts
    assert done["logbook_entry_partitions_dropped"] == 13
    assert [row.at for row in company.rows(schema.logbook_entry)] == [ago(company, days=30), ago(company, days=1)]
    assert [row.last_refreshed_at for row in company.rows(schema.interaction_state_history)] == [ago(company, days=11)]
    assert apply_retention(company.engine, clock=company.clock).counts["logbook_entry_partitions_dropped"] == 0
    company.clock.at += timedelta(days=31)
    assert apply_retention(company.engine, clock=company.clock).counts["partitions_made"] == 2


def test_every_installation_check_explains_itself() -> None:
    for check in INSTALLATION_CHECKS:
        assert check.description.endswith(".")
        assert check.recovery.endswith(".")
