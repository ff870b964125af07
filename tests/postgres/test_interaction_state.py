"""The rules of the interaction state, one acceptance statement after the other, on real tables."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from erpcrm_orchestration.domain.checks import DOSSIER_CHECKS, Verdict
from erpcrm_orchestration.services.supervision import verdicts
from erpcrm_orchestration.store import schema
from tests.company import Company, ago

PARIS = ZoneInfo("Europe/Paris")


def _paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS)


def _verdict(company: Company, code: str, check: str) -> Verdict:
    return verdicts(company.refresh(code).states[code])[check]


def test_A1_exactly_the_delay_is_normal(company: Company) -> None:
    company.dossier("998", delay=30)
    company.log("998", ago(company, minutes=30))
    company.refresh("998")
    row = company.state("998")
    assert (row.sync_state, row.sync_state_label, row.elapsed_min) == ("NORMAL", "Normal", 30)


def test_A2_a_second_more_than_the_delay_is_an_alert(company: Company) -> None:
    company.dossier("998", delay=30)
    company.log("998", ago(company, minutes=30, seconds=1))
    company.refresh("998")
    row = company.state("998")
    assert (row.sync_state, row.sync_state_label, row.elapsed_min) == ("ALERT", "Alerte > 30", 30)


def test_A3_a_delay_of_zero_never_alerts(company: Company) -> None:
    company.dossier("998", delay=0)
    company.log("998", ago(company, minutes=10_000))
    company.refresh("998")
    assert (company.state("998").sync_state, company.state("998").elapsed_min) == ("NORMAL", 10_000)


def test_A4_the_label_names_the_delay_and_not_the_elapsed_time(company: Company) -> None:
    company.dossier("998", delay=30)
    company.log("998", ago(company, minutes=95))
    company.refresh("998")
    assert company.state("998").sync_state_label == "Alerte > 30"


def test_A5_only_url_file_lines_are_synchronisations(company: Company) -> None:
    company.dossier("998")
    company.log("998", ago(company, minutes=20))
    company.log("998", ago(company, minutes=10))
    company.log("998", ago(company, minutes=1), action="EXPORT")
    company.refresh("998")
    assert company.state("998").last_sync_at == ago(company, minutes=10)


def test_A6_a_line_of_one_dossier_leaves_the_row_of_another_unchanged(company: Company) -> None:
    company.dossier("998")
    company.dossier("001")
    company.refresh("998", "001")
    before = company.state("001")
    company.log("998", ago(company, minutes=1))
    company.refresh("998")
    assert company.state("001") == before
    assert company.state("998").last_sync_at == ago(company, minutes=1)


def test_A7_a_rejected_synchronisation_is_a_synchronisation(company: Company) -> None:
    company.dossier("998")
    company.log("998", ago(company, minutes=5), outcome="REJECT", reject_count=2)
    company.refresh("998")
    assert company.state("998").last_sync_at == ago(company, minutes=5)
    assert company.state("998").syncs_today == 1


def test_A8_today_begins_at_local_midnight(company: Company) -> None:
    company.dossier("998", time_zone="Europe/Paris")
    company.log("998", _paris("2026-11-17T23:59:59"))
    company.log("998", _paris("2026-11-18T00:00:00"))
    company.refresh("998")
    assert company.state("998").syncs_today == 1


def test_A9_a_day_of_25_hours_counts_both_half_past_twos(company: Company) -> None:
    company.dossier("998", time_zone="Europe/Paris")
    company.log("998", datetime.fromisoformat("2026-10-25T02:30:00+02:00"))
    company.log("998", datetime.fromisoformat("2026-10-25T02:30:00+01:00"))
    company.log("998", datetime.fromisoformat("2026-10-24T23:59:59+02:00"))
    company.refresh("998", at=datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC))
    assert company.state("998").syncs_today == 2


def test_A10_running_interventions_count_as_not_ok(company: Company) -> None:
    company.dossier("998")
    for state in ("CLOSED_OK", "ERROR", "PENDING"):
        company.dataset("998", "INTERVENTION", state, ago(company, hours=1))
    company.refresh("998")
    assert company.state("998").interventions_today_not_ok == 2
    assert company.state("998").interventions_in_error == 1


def test_A11_an_error_of_yesterday_counts_in_the_total_only(company: Company) -> None:
    company.dossier("998")
    company.dataset("998", "INTERVENTION", "ERROR", ago(company, days=1))
    company.refresh("998")
    assert company.state("998").interventions_today_not_ok == 0
    assert company.state("998").interventions_not_ok == 1


def test_A12_the_day_of_creation_decides_not_the_day_of_the_update(company: Company) -> None:
    company.dossier("998")
    company.dataset("998", "INTERVENTION", "ERROR", ago(company, days=1), updated_at=ago(company, minutes=1))
    company.refresh("998")
    assert company.state("998").interventions_today_not_ok == 0


def test_A14_times_of_yesterday_are_not_counted(company: Company) -> None:
    company.dossier("998")
    company.dataset("998", "TIME", "ERROR", ago(company, days=1))
    company.dataset("998", "TIME", "ERROR", ago(company, hours=1))
    company.refresh("998")
    assert company.state("998").times_not_ok == 1


def test_A15_documents_are_sales_documents_and_stock_moves_of_the_crm(company: Company) -> None:
    company.dossier("998")
    for type_code in ("PCE", "TRF", "REG"):
        company.dataset("998", "DOCUMENT", "WAITING", ago(company, hours=1), type_code=type_code)
    company.dataset("998", "DOCUMENT", "ERROR", ago(company, hours=1), origin="EDI")
    company.refresh("998")
    assert company.state("998").documents_not_ok == 3
    assert company.state("998").documents_in_error == 0


def test_A16_abandoned_datasets_are_not_ok_everywhere(company: Company) -> None:
    company.dossier("998")
    for category in ("INTERVENTION", "TIME", "DOCUMENT"):
        company.dataset("998", category, "CLOSED_KO", ago(company, hours=1))
    company.refresh("998")
    row = company.state("998")
    assert (row.interventions_today_not_ok, row.interventions_not_ok, row.times_not_ok, row.documents_not_ok) == (1, 1, 1, 1)


def test_A17_one_synchronisation_with_five_rejects_is_one_and_yesterdays_are_none(company: Company) -> None:
    company.dossier("998")
    for minute in range(5):
        company.log("998", ago(company, minutes=minute + 1), action="CUSTOMER", outcome="REJECT", sync_id="S1")
    company.log("998", ago(company, minutes=9), action="CUSTOMER", reject_count=3, sync_id="S1")
    company.log("998", ago(company, days=1), action="CUSTOMER", outcome="REJECT", sync_id="S0")
    company.refresh("998")
    assert company.state("998").syncs_with_rejects == 1


def test_A19_nothing_changes_without_a_refresh(company: Company) -> None:
    company.dossier("998")
    company.refresh("998")
    before = company.state("998")
    company.log("998", ago(company, minutes=1))
    company.dataset("998", "INTERVENTION", "ERROR", ago(company, hours=1))
    company.clock.at += timedelta(hours=2)
    assert company.state("998") == before


def test_A22_the_first_refresh_creates_exactly_one_row_with_every_field(company: Company) -> None:
    company.dossier("998")
    company.log("998", ago(company, minutes=40))
    company.refresh("998")
    assert company.count(schema.interaction_state) == 1
    empty = {name for name, value in company.state("998")._mapping.items() if value is None}
    assert empty == {"last_alert_mail_at", "reported_at"}, "no mail was sent, and Dagster was not told yet"


def test_A23_a_refresh_updates_in_place_and_appends_history(company: Company) -> None:
    company.dossier("998")
    company.refresh("998")
    later = company.clock.now() + timedelta(minutes=15)
    company.refresh("998", at=later)
    assert company.count(schema.interaction_state) == 1
    assert company.state("998").last_refreshed_at == later
    assert [row.last_refreshed_at for row in company.rows(schema.interaction_state_history)] == [
        later - timedelta(minutes=15),
        later,
    ]


@pytest.mark.parametrize(("minutes", "expected"), [(29, "NORMAL"), (31, "ALERT")])
def test_A34_a_dossier_that_never_synchronised_is_measured_from_its_activation(
    company: Company, minutes: int, expected: str
) -> None:
    company.dossier("998", delay=30, activated_at=ago(company, minutes=minutes))
    company.refresh("998")
    assert (company.state("998").sync_state, company.state("998").never_synced) == (expected, True)


def test_A35_a_synchronisation_in_the_future_is_normal_with_a_warning(company: Company) -> None:
    company.dossier("998")
    company.log("998", ago(company, minutes=-5))
    verdict = _verdict(company, "998", "last_synchronisation_is_not_in_the_future")
    assert (company.state("998").sync_state, company.state("998").elapsed_min) == ("NORMAL", 0)
    assert (verdict.passed, verdict.severity) == (False, "WARN")


def test_A51_the_check_fails_in_alert_with_delay_elapsed_and_last_sync_and_passes_when_normal(company: Company) -> None:
    company.dossier("998", delay=30)
    last = ago(company, minutes=95)
    company.log("998", last)
    failing = _verdict(company, "998", "synchronisation_is_on_time")
    assert (failing.passed, failing.severity) == (False, "ERROR")
    assert failing.metadata["delay"] == 30
    assert failing.metadata["elapsed"] == 95
    assert failing.metadata["last_sync_at"] == last.isoformat()
    company.log("998", ago(company, minutes=1))
    assert _verdict(company, "998", "synchronisation_is_on_time").passed


def test_an_alert_row_is_open_from_the_first_failure_to_the_evaluation_that_passes(company: Company) -> None:
    company.dossier("998", delay=30)
    company.log("998", ago(company, minutes=95))
    began = company.clock.now()
    company.refresh("998")
    company.refresh("998", at=began + timedelta(minutes=15))
    company.log("998", company.clock.now())
    company.refresh("998", at=began + timedelta(minutes=30))
    alerts = [row for row in company.rows(schema.alert) if row.check_name == "synchronisation_is_on_time"]
    assert [(row.opened_at, row.last_seen_at, row.closed_at) for row in alerts] == [
        (began, began + timedelta(minutes=15), began + timedelta(minutes=30))
    ]


def test_only_open_hours_count_when_the_dossier_says_so(company: Company) -> None:
    monday = _paris("2026-11-16T08:35").astimezone(UTC)
    for code, only_open in (("001", True), ("002", False)):
        company.dossier(code, delay=30, count_only_open_hours=only_open)
        company.log(code, _paris("2026-11-13T18:10"))
    company.refresh("001", "002", at=monday)
    assert (company.state("001").elapsed_min, company.state("001").sync_state) == (25, "NORMAL")
    assert (company.state("002").elapsed_min, company.state("002").sync_state) == (3745, "ALERT")


def test_a_window_over_midnight_counts_its_hours_after_midnight(company: Company) -> None:
    night = {"start": time(22, 0), "duration_min": 480, "days": [1, 2, 3, 4, 5, 6, 7]}
    company.dossier("001", delay=30, count_only_open_hours=True, process=night)
    company.log("001", _paris("2026-11-17T23:00"))
    company.refresh("001", at=_paris("2026-11-18T01:30").astimezone(UTC))
    assert company.state("001").elapsed_min == 150


def test_an_inactive_dossier_is_skipped_and_an_unknown_one_too(company: Company) -> None:
    company.dossier("998")
    company.dossier("001", active=False)
    result = company.refresh("998", "001", "777")
    assert list(result.states) == ["998"]
    assert result.skipped == {"001": "the dossier is inactive", "777": "no such dossier"}
    assert company.count(schema.interaction_state) == 1


def test_old_synchronisations_are_found_behind_the_recent_partitions(company: Company) -> None:
    company.dossier("998", delay=30)
    company.log("998", ago(company, days=200))
    company.refresh("998")
    assert company.state("998").last_sync_at == ago(company, days=200)
    assert company.state("998").elapsed_min == 200 * 24 * 60


def test_every_check_has_a_description_and_a_recovery_text() -> None:
    for check in DOSSIER_CHECKS:
        assert check.description.endswith(".")
        assert check.recovery.endswith(".")
