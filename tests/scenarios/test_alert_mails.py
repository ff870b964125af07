"""Alert mails, from the late synchronisation to the mailbox: throttle, anomaly, spool, test mode, failures."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from erpcrm_orchestration.domain.configuration import MailCalendar
from erpcrm_orchestration.services.mail import deliver_due
from erpcrm_orchestration.services.supervision import verdicts
from erpcrm_orchestration.store import schema
from tests.company import Company, ago
from tests.mailbox import Mailbox
from tests.scenarios.conftest import ADMINISTRATOR, settings

PARIS = ZoneInfo("Europe/Paris")


def late(company: Company, code: str = "998", *, interval: int = 60, **columns: object) -> None:
    """Add a dossier whose last synchronisation is 95 minutes old with a delay of 30."""
    company.dossier(code, delay=30, interval=interval, **columns)
    company.log(code, ago(company, minutes=95))


def test_A13_a_relaunched_dataset_leaves_the_total_at_the_next_refresh_and_not_before(company: Company) -> None:
    company.dossier("998", delay=0)
    number = company.dataset("998", "INTERVENTION", "ERROR", ago(company, days=1))
    company.refresh("998")
    with company.engine.begin() as connection:
        connection.execute(
            schema.hub_dataset.update().where(schema.hub_dataset.c.dataset_number == number).values(state_group="CLOSED_OK")
        )
    assert company.state("998").interventions_not_ok == 1
    company.refresh("998")
    assert company.state("998").interventions_not_ok == 0


def test_A24_a_refresh_that_a_person_asks_for_sends_no_mail(company: Company, mailbox: Mailbox) -> None:
    late(company)
    company.refresh("998", notify=False)
    assert company.state("998").sync_state == "ALERT"
    assert mailbox.received == []
    assert company.count(schema.mail) == 0


def test_A25_A30_the_first_alert_sends_exactly_one_mail_to_the_group_with_the_label(company: Company, mailbox: Mailbox) -> None:
    late(company)
    company.refresh("998")
    assert [(one.subject, one.text.strip(), one.recipients) for one in mailbox.received] == [
        ("Dossier 998", "Etat: Alerte > 30", ("anne@meridian.example", "paul@meridian.example"))
    ]
    assert company.state("998").last_alert_mail_at == company.clock.now()


def test_A26_the_interval_throttles_to_the_second(company: Company, mailbox: Mailbox) -> None:
    late(company, interval=60)
    begin = company.clock.now()
    company.refresh("998")
    company.refresh("998", at=begin + timedelta(minutes=59, seconds=59))
    assert len(mailbox.received) == 1
    company.refresh("998", at=begin + timedelta(minutes=60))
    assert len(mailbox.received) == 2
    assert company.state("998").last_alert_mail_at == begin + timedelta(minutes=60)


def test_A27_an_interval_of_zero_mails_at_every_evaluation(company: Company, mailbox: Mailbox) -> None:
    late(company, interval=0)
    begin = company.clock.now()
    for minute in range(3):
        company.refresh("998", at=begin + timedelta(minutes=minute))
    assert len(mailbox.received) == 3


def test_A28_a_normal_evaluation_ends_the_anomaly_and_resets_the_throttle(company: Company, mailbox: Mailbox) -> None:
    late(company, interval=60)
    begin = company.clock.now()
    company.refresh("998")
    company.log("998", begin + timedelta(minutes=1))
    company.refresh("998", at=begin + timedelta(minutes=2))
    row = company.state("998")
    assert (row.sync_state, row.anomaly_started_at, row.last_alert_mail_at) == ("NORMAL", None, None)
    with company.engine.begin() as connection:
        connection.execute(schema.dossier.update().values(alert_delay_min=5))
    company.refresh("998", at=begin + timedelta(minutes=10))
    assert len(mailbox.received) == 2


def test_A29_a_normal_dossier_gets_no_mail(company: Company, mailbox: Mailbox) -> None:
    company.dossier("998", delay=30)
    company.log("998", ago(company, minutes=1))
    company.refresh("998")
    assert mailbox.received == []


def test_A32_an_empty_group_leaves_a_warning_and_no_mail(company: Company, mailbox: Mailbox) -> None:
    company.mail_group(code="nobody", aliases=())
    late(company, process={"mail_group": "nobody"})
    result = company.refresh("998")
    verdict = verdicts(result.states["998"])["mail_group_has_recipients"]
    assert result.failures == {}
    assert (verdict.passed, verdict.severity, verdict.metadata["reason"]) == (False, "WARN", "no recipients")
    assert company.state("998").last_alert_mail_at is None
    assert mailbox.received == []


def test_A33_a_mail_server_that_is_down_costs_neither_the_row_nor_the_mail(company: Company, mailbox: Mailbox) -> None:
    late(company)
    begin = company.clock.now()
    mailbox.sender_answer = "421 try again later"
    assert company.refresh("998").failures == {}
    assert company.state("998").sync_state == "ALERT"
    assert company.state("998").last_alert_mail_at is None
    mailbox.sender_answer = None
    later = begin + timedelta(minutes=15)
    company.refresh("998", at=later)
    assert len(mailbox.received) == 1
    assert company.state("998").last_alert_mail_at == later


def test_A42_test_mode_mails_the_administrator_only(company: Company, mailbox: Mailbox) -> None:
    late(company, process={"test_mode": True})
    company.refresh("998")
    assert [one.recipients for one in mailbox.received] == [(ADMINISTRATOR,)]


def test_A43_an_alert_in_the_evening_is_spooled_and_sent_once_in_the_morning(company: Company, mailbox: Mailbox) -> None:
    calendar = MailCalendar(days=(1, 2, 3, 4, 5), opens=time(8, 0), closes=time(18, 0), time_zone="Europe/Paris")
    company.general(mail=settings(mailbox, calendar=calendar))
    late(company, interval=60)
    friday_evening = datetime(2026, 11, 20, 20, 0, tzinfo=PARIS)
    for hours in (0, 2, 4):
        company.refresh("998", at=friday_evening + timedelta(hours=hours))
    assert mailbox.received == []
    assert company.count(schema.mail) == 1
    monday = datetime(2026, 11, 23, 8, 0, tzinfo=PARIS)
    for at in (monday - timedelta(seconds=1), monday, monday + timedelta(minutes=1)):
        company.clock.at = at
        deliver_due(company.engine, clock=company.clock, environment={})
        assert len(mailbox.received) == (0 if at < monday else 1)
    assert company.state("998").last_alert_mail_at == monday


def test_a_recovery_mail_is_sent_once_when_the_process_asks_for_it(company: Company, mailbox: Mailbox) -> None:
    company.template("Fini FORM.dossier_code", "FORM.TOUT", code="interactions_recovery")
    late(company, process={"recovery_template": "interactions_recovery"})
    begin = company.clock.now()
    company.refresh("998")
    company.log("998", begin + timedelta(minutes=1))
    company.refresh("998", at=begin + timedelta(minutes=2))
    company.refresh("998", at=begin + timedelta(minutes=3))
    assert mailbox.subjects == ["Dossier 998", "Fini 998"]


def test_F38_two_evaluators_and_a_flapping_state_send_one_mail_per_anomaly_and_window(
    company: Company, mailbox: Mailbox
) -> None:
    late(company, interval=60)
    begin = company.clock.now()
    for minute in range(0, 50, 5):
        company.refresh("998", at=begin + timedelta(minutes=minute))
        company.refresh("998")
    assert len(mailbox.received) == 1


def test_one_late_dossier_of_many_is_the_only_one_that_mails(company: Company, mailbox: Mailbox) -> None:
    late(company, "001")
    for code in ("002", "003"):
        company.dossier(code, delay=30)
        company.log(code, ago(company, minutes=5))
    company.refresh("001", "002", "003")
    assert mailbox.subjects == ["Dossier 001"]
