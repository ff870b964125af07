"""Alerts, watchers, ticks and mails on the board: what is late, what was missed, what waits, and who takes care."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.store import schema
from tests.board_house import House, text_of
from tests.company import Company, ago


@pytest.fixture
def alerted(company: Company) -> Company:
    """Dossier 998 in alert with a mail about it; dossier 001 in alert too."""
    company.general()
    company.mail_group("anna@example.com")
    company.template("Etat: FORM.etatsynchro", "FORM.TOUT")
    for code in ("001", "998"):
        company.dossier(code)
        company.log(code, ago(company, minutes=95))
    company.refresh("001", "998")
    return company


def alert_of(company: Company, code: str, check: str = "synchronisation_is_on_time") -> int:
    rows = [row for row in company.rows(schema.alert) if (row.dossier_code, row.check_name) == (code, check)]
    return int(rows[-1].alert_id)


def test_alerts_are_shown_with_what_to_do_to_those_who_may_see_the_dossier(alerted: Company, house: House) -> None:
    guest = house.guest({"998": "view"})
    words = text_of(guest.get("/alerts"))
    assert "synchronisation_is_on_time" in words
    assert "Look at the agent's last export" in words
    assert "Take care" not in words
    assert {one["dossier_code"] for one in guest.get("/api/v1/alerts").json()["alerts"]} == {"998"}
    assert guest.get("/api/v1/alerts?dossier=001").status_code == 404


def test_an_alert_that_somebody_puts_off_is_not_mailed_before_that_ends(company: Company, house: House) -> None:
    company.mail_group("anna@example.com")
    company.template("Etat: FORM.etatsynchro", "FORM.TOUT")
    for code in ("001", "998"):
        company.dossier(code)
        company.log(code, ago(company, minutes=95))
    company.refresh("001", "998", notify=False)
    guest = house.guest({"998": "operate"})
    number = alert_of(company, "998")
    assert guest.post(f"/alerts/{number}/take", {"note": "agent restarts", "snooze_min": "240"}).status_code == 303
    assert f"{guest.login} takes care" in text_of(guest.get("/alerts"))
    company.refresh("001", "998", at=company.clock.now() + timedelta(minutes=239))
    assert [row.dossier_code for row in company.rows(schema.mail)] == ["001"]
    company.refresh("998", at=company.clock.now() + timedelta(minutes=1))
    assert [row.dossier_code for row in company.rows(schema.mail)] == ["001", "998"]
    change = company.rows(schema.change)[-1]
    assert (change.actor, change.object_kind, change.reason) == (guest.login, "alert", "agent restarts")


def test_a_closed_alert_is_not_taken_and_one_of_others_is_not_there(alerted: Company, house: House) -> None:
    guest = house.guest({"998": "operate"})
    assert guest.call(f"/api/v1/alerts/{alert_of(alerted, '001')}/acknowledgement", {}).status_code == 404
    number = alert_of(alerted, "998")
    alerted.log("998", alerted.clock.now())
    alerted.refresh("998", at=alerted.clock.now() + timedelta(minutes=1))
    assert guest.call(f"/api/v1/alerts/{number}/acknowledgement", {}).status_code == 409


def test_the_trend_tells_open_alerts_and_time_to_repair(alerted: Company, house: House) -> None:
    alerted.log("998", alerted.clock.now() + timedelta(minutes=59))
    alerted.refresh("998", at=alerted.clock.now() + timedelta(minutes=60))
    words = text_of(house.guest({"998": "view"}).get("/alerts"))
    assert "Open alerts, 30 days: 0" in words
    assert "Time to repair, the median of the last day with one: 60 minutes" in words


def test_mails_are_shown_without_addresses_and_opened_by_operators_alone(alerted: Company, house: House) -> None:
    number = min(row.mail_id for row in alerted.rows(schema.mail) if row.dossier_code == "998")
    viewer, operator = house.guest({"998": "view"}), house.guest({"998": "operate"})
    listed = viewer.get("/mails").text
    assert "Etat: Alerte &gt; 30" in listed
    assert "anna@example.com" not in listed
    assert viewer.get(f"/mails/{number}").status_code == 404
    assert "anna@example.com" in operator.get(f"/mails/{number}").text
    with alerted.engine.begin() as connection:
        held = {"state": "UNCERTAIN", "last_error": "the answer was lost"}
        connection.execute(sa.update(schema.mail).where(schema.mail.c.mail_id == number).values(held))
    assert operator.post(f"/mails/{number}/release").status_code == 303
    assert [one["state"] for one in operator.get("/api/v1/mails").json()["mails"]] == ["PENDING"]
    assert operator.get("/mails/999999").status_code == 404


def test_ticks_and_watchers_are_shown(alerted: Company, house: House) -> None:
    with alerted.engine.begin() as connection:
        now = alerted.clock.now()
        row = {"dossier_code": "998", "process_code": "interactions_erpcrm", "due_at": now, "state": "MISSED"}
        connection.execute(sa.insert(schema.tick).values(**row, reason="down", recorded_at=now, closed_at=now))
        connection.execute(sa.insert(schema.watcher).values(watcher_code="INTERCOMPANY", poll_interval_s=30))
    guest = house.guest({"998": "view"})
    assert "missed" in text_of(guest.get("/ticks?state=MISSED"))
    assert guest.get("/watchers").status_code == 404
    everybody = house.guest({"*": "view"})
    assert "INTERCOMPANY" in text_of(everybody.get("/watchers"))
    assert {one["state"] for one in everybody.get("/api/v1/watchers").json()} == {"OFF"}
