"""The tick ledger: exactly one row for every due tick, through downtime, policies, process states and lost runs."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta

import pytest

from erpcrm_orchestration.domain.ledger import TickState
from erpcrm_orchestration.domain.schedule import Window, ticks_between
from erpcrm_orchestration.domain.supervision import PROCESS_CODE
from erpcrm_orchestration.services import ledger, observation
from erpcrm_orchestration.store import ledger as store
from erpcrm_orchestration.store import schema
from tests.company import Company

ALL_DAY = {"days": [1, 2, 3, 4, 5, 6, 7], "start": time(0, 0), "duration_min": 1439, "frequency_min": 15}


def states(company: Company) -> Counter[str]:
    return Counter(row.state for row in company.rows(schema.tick))


def reasons(company: Company) -> set[str]:
    return {row.reason for row in company.rows(schema.tick) if row.reason}


def test_a_due_tick_is_requested_once_and_closed_by_the_evaluation(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    company.clock.at += timedelta(minutes=15)
    request = ledger.collect(company.engine, clock=company.clock)
    assert request is not None
    assert request.dossier_codes == ("998",)
    assert ledger.collect(company.engine, clock=company.clock) is None, "nothing is due twice"
    company.refresh("998")
    row = company.rows(schema.tick)[0]
    assert (row.state, row.reason, row.closed_at) == ("RAN", None, company.clock.now())


@pytest.mark.parametrize(
    ("state", "reason"), [("IN_MODIFICATION", "the process is in modification"), ("EXPIRED", "the process is expired")]
)
def test_A41_a_process_that_is_not_active_is_not_launched_and_its_ticks_say_why(
    company: Company, state: str, reason: str
) -> None:
    company.dossier("998", process={**ALL_DAY, "state": state})
    company.clock.at += timedelta(minutes=15)
    assert ledger.collect(company.engine, clock=company.clock) is None
    assert [(row.state, row.reason) for row in company.rows(schema.tick)] == [("SKIPPED", reason)]


@pytest.mark.parametrize(("policy", "most", "made_up"), [("none", 1, 0), ("last", 1, 0), ("all", 5, 5), ("all", 1000, 95)])
def test_F33_after_a_day_without_a_daemon_every_tick_has_its_row_by_the_policy(
    company: Company, policy: str, most: int, made_up: int
) -> None:
    company.dossier("998", process={**ALL_DAY, "missed_ticks": policy, "missed_max": most})
    company.clock.at += timedelta(days=1)
    request = ledger.collect(company.engine, clock=company.clock)
    assert request is not None, "the tick of this very moment is not missed"
    found = states(company)
    assert sum(found.values()) == 96
    assert found["REQUESTED"] == made_up + 1
    assert found["MISSED"] == 96 - found["REQUESTED"]


def test_F33_twelve_days_over_the_end_of_a_month_lose_no_tick_and_the_administrator_is_told_once(company: Company) -> None:
    company.clock.at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    company.dossier("998")
    begin = company.clock.now()
    company.clock.at += timedelta(days=12, hours=7)
    assert ledger.collect(company.engine, clock=company.clock) is not None, "policy last makes up for the latest"
    window = Window((1, 2, 3, 4, 5), time(8, 20), 600, 15, "Europe/Paris")
    expected = ticks_between(window, begin, company.clock.now())
    assert [row.due_at for row in company.rows(schema.tick)] == expected
    assert states(company) == {"REQUESTED": 1, "MISSED": len(expected) - 1}
    assert observation.alert_missed_ticks(company.engine, clock=company.clock) == len(expected) - 1
    assert observation.alert_missed_ticks(company.engine, clock=company.clock) == 0
    mails = company.rows(schema.mail)
    assert [mail.cause for mail in mails] == ["ticks_missed"]
    assert f"998: {len(expected) - 1} (" in mails[0].text
    assert all(row.alerted_at for row in company.rows(schema.tick) if row.state == "MISSED")


def test_F35_two_collectors_at_once_write_each_tick_once_and_request_each_dossier_once(company: Company) -> None:
    for number in range(20):
        company.dossier(f"D{number:02}", process=ALL_DAY)
    for _ in range(10):
        company.clock.at += timedelta(minutes=15)
        with ThreadPoolExecutor(4) as pool:
            requests = list(pool.map(lambda _: ledger.collect(company.engine, clock=company.clock), range(4)))
        asked = [code for request in requests if request for code in request.dossier_codes]
        assert sorted(asked) == [f"D{number:02}" for number in range(20)]
        company.refresh(*asked)
    assert states(company) == {"RAN": 200}


def test_a_tick_that_falls_due_while_the_evaluation_is_open_is_skipped_with_its_reason(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    for _ in range(2):
        company.clock.at += timedelta(minutes=15)
        ledger.collect(company.engine, clock=company.clock)
    assert states(company) == {"REQUESTED": 1, "SKIPPED": 1}
    assert reasons(company) == {"the previous evaluation is still open"}


def test_a_run_that_ended_without_closing_its_ticks_is_requested_again_and_given_up_after_three(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    company.clock.at += timedelta(minutes=15)
    request = ledger.collect(company.engine, clock=company.clock)
    assert request is not None
    batch = request.batch
    for _ in range(2):
        again = ledger.reconcile(company.engine, {batch: "ended"}, clock=company.clock)
        assert [one.dossier_codes for one in again] == [("998",)]
        assert again[0].batch != batch
        batch = again[0].batch
    assert ledger.reconcile(company.engine, {batch: "ended"}, clock=company.clock) == []
    assert [(row.state, row.reason) for row in company.rows(schema.tick)] == [("MISSED", "its run was lost 3 times")]


def test_a_request_that_never_reached_dagster_is_made_again_after_its_patience(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    company.clock.at += timedelta(minutes=15)
    ledger.collect(company.engine, clock=company.clock)
    assert ledger.reconcile(company.engine, {}, clock=company.clock) == []
    company.clock.at += ledger.LAUNCH_PATIENCE
    assert len(ledger.reconcile(company.engine, {}, clock=company.clock)) == 1


def test_a_run_that_works_is_left_alone(company: Company) -> None:
    company.dossier("998", process=ALL_DAY)
    company.clock.at += timedelta(minutes=15)
    request = ledger.collect(company.engine, clock=company.clock)
    assert request is not None
    company.clock.at += timedelta(hours=1)
    assert ledger.reconcile(company.engine, {request.batch: "open"}, clock=company.clock) == []


def test_an_inactive_dossier_has_no_due_ticks(company: Company) -> None:
    company.dossier("998", active=False, process=ALL_DAY)
    company.clock.at += timedelta(days=1)
    assert ledger.collect(company.engine, clock=company.clock) is None
    assert company.count(schema.tick) == 0


def test_fifty_who_ask_for_the_same_refresh_share_one_request(company: Company) -> None:
    company.dossier("998")

    def ask(_: int) -> int:
        with company.engine.begin() as connection:
            return store.request_refresh(connection, ["998"], by="anne", notify=False, now=company.clock.now())["998"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(50)))) == 1
    request = ledger.take_refresh_requests(company.engine)
    assert request is not None
    assert request.dossier_codes == ("998",)
    assert ledger.take_refresh_requests(company.engine) is None
    company.refresh("998", notify=False)
    assert [row.state for row in company.rows(schema.refresh_request)] == ["DONE"]


def test_a_refresh_whose_run_died_is_asked_for_again_and_fails_after_three(company: Company) -> None:
    company.dossier("998")
    with company.engine.begin() as connection:
        store.request_refresh(connection, ["998"], by="anne", notify=False, now=company.clock.now())
    for _ in range(3):
        request = ledger.take_refresh_requests(company.engine)
        assert request is not None
        ledger.reconcile(company.engine, {request.batch: "ended"}, clock=company.clock)
    assert ledger.take_refresh_requests(company.engine) is None
    assert [(row.state, row.reason) for row in company.rows(schema.refresh_request)] == [("FAILED", "its run was lost 3 times")]


def test_366_days_in_six_zones_with_outages_account_for_every_tick(company: Company) -> None:
    zones = (
        "Europe/Paris",
        "Europe/Lisbon",
        "America/Sao_Paulo",
        "Asia/Yekaterinburg",
        "Australia/Lord_Howe",
        "America/New_York",
    )
    company.clock.at = datetime(2026, 1, 1, tzinfo=UTC)
    begin = company.clock.now()
    for index, zone in enumerate(zones):
        process = {"days": [1, 2, 3, 4, 5], "start": time(2, 30), "duration_min": 600, "frequency_min": 50 + 10 * index}
        company.dossier(f"Z{index}", time_zone=zone, process=process)
    steps = [timedelta(hours=hours) for hours in (1, 7, 30, 3, 24 * 12, 5)]
    index = 0
    while company.clock.now() < begin + timedelta(days=366):
        company.clock.at += steps[index % len(steps)]
        index += 1
        request = ledger.collect(company.engine, clock=company.clock)
        with company.engine.begin() as connection:
            codes = request.dossier_codes if request else ()
            store.close_ticks(connection, codes, PROCESS_CODE, state=TickState.RAN, run_id="run", now=company.clock.now())
    for index, zone in enumerate(zones):
        window = Window((1, 2, 3, 4, 5), time(2, 30), 600, 50 + 10 * index, zone)
        found = [row.due_at for row in company.rows(schema.tick) if row.dossier_code == f"Z{index}"]
        assert sorted(found) == ticks_between(window, begin, company.clock.now())
    assert set(states(company)) == {"RAN", "MISSED", "SKIPPED"} or set(states(company)) == {"RAN", "MISSED"}
