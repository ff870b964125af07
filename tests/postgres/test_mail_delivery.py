"""The outbox against a real SMTP server: sent once, answered per recipient, tried again, and never lost."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailSettings, MailTemplate, OnUncertain
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.mail import Answer, DeliveryReport, MailDraft, RecipientState
from erpcrm_orchestration.services.mail import compose_alert, deliver_due, due
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.configuration import load_general
from tests.conftest import NOON
from tests.mailbox import Mailbox, free_port, running_mailbox

ALERT = MailTemplate("interactions_alert", "Etat: FORM.etatsynchro", "FORM.TOUT", "<p>FORM.etatsynchro</p>")
REFERENCE = "${env:MAIL_PASSWORD}"
VALUES = {"dossier_code": "998", "sync_state_label": "Alerte > 30"}


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with running_mailbox() as running:
        yield running


def set_up(engine: sa.Engine, mailbox: Mailbox, **mail: object) -> None:
    """Configure the server, and a dossier 998 in an anomaly that began an hour ago."""
    definition = {"mail": {"host": "127.0.0.1", "port": str(mailbox.port), "timeout_s": 5} | mail}
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.general_parameters))
        connection.execute(sa.insert(schema.general_parameters).values(definition=definition, updated_at=NOON))


def add_dossier(engine: sa.Engine, code: str = "998", *, anomaly_started_at: datetime | None = NOON) -> None:
    state = "ALERT" if anomaly_started_at else "NORMAL"
    names = [column.name for column in schema.interaction_state.c]
    numbers = [name for name in names if "not_ok" in name or "in_error" in name]
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.dossier).values(
                dossier_code=code, crm_project_code="P", activated_at=NOON, created_at=NOON, updated_at=NOON
            )
        )
        connection.execute(
            sa.insert(schema.interaction_state).values(
                dict.fromkeys(numbers, 0)
                | {
                    "dossier_code": code,
                    "crm_project_code": "P",
                    "sync_state": state,
                    "sync_state_label": "x",
                    "alert_delay_min": 30,
                    "elapsed_min": 95,
                    "never_synced": False,
                    "last_refreshed_at": NOON,
                    "syncs_today": 0,
                    "syncs_with_rejects": 0,
                    "anomaly_started_at": anomaly_started_at,
                    "epoch": 1,
                }
            )
        )


def draft(key: str = "k1", *recipients: str, **changes: Any) -> MailDraft:
    """An alert about dossier 998 as the supervision composes it."""
    composed = compose_alert(
        ALERT,
        VALUES,
        dossier_code=None,
        cause="interactions_alert",
        idempotency_key=key,
        recipients=recipients or ("ann@example.com",),
        on_uncertain=OnUncertain.RESEND,
        test_mode=False,
        settings=MailSettings(),
        now=NOON,
    )
    return replace(composed, **changes)


def put(engine: sa.Engine, *drafts: MailDraft, now: datetime = NOON) -> list[int]:
    with engine.begin() as connection:
        return outbox.enqueue(connection, drafts, now=now)


def deliver(engine: sa.Engine, clock: FixedClock) -> DeliveryReport:
    return deliver_due(engine, clock=clock, environment={})


def rows(engine: sa.Engine) -> list[sa.RowMapping]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(schema.mail).order_by(schema.mail.c.mail_id)).mappings())


def answers(engine: sa.Engine) -> dict[str, tuple[str, str | None]]:
    with engine.connect() as connection:
        found = connection.execute(sa.select(schema.mail_recipient)).all()
    return {row.address: (row.state, row.answer) for row in found}


def alert_mail_at(engine: sa.Engine, code: str = "998") -> datetime | None:
    column = schema.interaction_state.c.last_alert_mail_at
    with engine.connect() as connection:
        return connection.scalar(sa.select(column).where(schema.interaction_state.c.dossier_code == code))


def test_A25_an_alert_reaches_the_group_once_and_is_noted_in_the_interaction_state(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    add_dossier(engine)
    put(engine, draft("k1", "ann@example.com", "bob@example.com", dossier_code="998"))
    clock.at += timedelta(seconds=7)
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    assert deliver(engine, clock) == DeliveryReport()
    assert len(mailbox.received) == 1
    assert set(mailbox.received[0].recipients) == {"ann@example.com", "bob@example.com"}
    assert mailbox.subjects == ["Etat: Alerte > 30"]
    assert "sync_state_label: Alerte > 30" in mailbox.received[0].text
    assert [(row["state"], row["sent_at"], row["attempts"]) for row in rows(engine)] == [("SENT", clock.at, 1)]
    assert alert_mail_at(engine) == clock.at


def test_A32_a_mail_without_recipients_is_kept_as_skipped_with_its_reason(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    add_dossier(engine)
    put(engine, draft(dossier_code="998", recipients=()))
    assert deliver(engine, clock) == DeliveryReport()
    assert [(row["state"], row["last_error"]) for row in rows(engine)] == [("SKIPPED", "no recipients")]
    assert alert_mail_at(engine) is None


def test_A33_F37_a_server_that_is_down_leaves_the_mail_waiting_and_the_throttle_untouched(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox, port=str(free_port()))
    add_dossier(engine)
    put(engine, draft(dossier_code="998"))
    assert deliver(engine, clock) == DeliveryReport(retried=1)
    (row,) = rows(engine)
    assert (row["state"], row["attempts"], row["not_before"]) == ("PENDING", 1, NOON + timedelta(minutes=1))
    assert row["last_error"].startswith("E-MAIL-101 mail server 127.0.0.1:")
    assert row["last_error"].endswith("; check host, port and that it runs; the mails wait")
    assert alert_mail_at(engine) is None
    assert deliver(engine, clock) == DeliveryReport()
    set_up(engine, mailbox)
    clock.at += timedelta(minutes=1)
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    assert alert_mail_at(engine) == clock.at


def test_due_counts_what_a_delivery_would_handle(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox)
    put(engine, draft("k1"), draft("k2", not_before=NOON + timedelta(hours=1)))
    with engine.connect() as connection:
        assert (due(connection, NOON), due(connection, NOON + timedelta(hours=1))) == (1, 2)


def state_of(engine: sa.Engine) -> list[str]:
    return [str(row["state"]) for row in rows(engine)]


def test_F37_every_recipient_gets_its_own_answer_and_only_the_deferred_one_is_asked_again(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    add_dossier(engine)
    mailbox.answers = {"no@example.com": ["550 5.1.1 no such user"], "later@example.com": ["451 4.7.1 greylisted", "250 OK"]}
    put(engine, draft("k1", "yes@example.com", "no@example.com", "later@example.com", dossier_code="998"))
    assert deliver(engine, clock) == DeliveryReport(refused=1, retried=1)
    assert alert_mail_at(engine) == NOON
    assert answers(engine) == {
        "yes@example.com": ("ACCEPTED", "250 OK"),
        "no@example.com": ("REFUSED", "550 5.1.1 no such user"),
        "later@example.com": ("PENDING", "451 4.7.1 greylisted"),
    }
    assert rows(engine)[0]["last_error"] == "later@example.com: 451 4.7.1 greylisted"
    with engine.connect() as connection:
        assert outbox.has_open(connection, ["998"], "interactions_alert") == set()
    clock.at += timedelta(minutes=1)
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    assert [set(one.recipients) for one in mailbox.received] == [{"yes@example.com"}, {"later@example.com"}]
    assert {one.message["Message-ID"] for one in mailbox.received} == {mailbox.received[0].message["Message-ID"]}
    assert (rows(engine)[0]["state"], rows(engine)[0]["sent_at"]) == ("SENT", NOON)
    assert alert_mail_at(engine) == NOON


def test_F37_when_all_recipients_are_refused_the_mail_has_failed_with_the_servers_words(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    add_dossier(engine)
    mailbox.answers = {"ann@example.com": ["550 unknown"]}
    put(engine, draft("k1", dossier_code="998"), draft("k2", "bob@example.com"))
    assert deliver(engine, clock) == DeliveryReport(sent=1, refused=1, failed=1)
    assert (rows(engine)[0]["state"], rows(engine)[0]["last_error"]) == ("FAILED", "ann@example.com: 550 unknown")
    assert alert_mail_at(engine) is None
    assert mailbox.connections == 1


@pytest.mark.parametrize("answer", ["421 4.3.2 shutting down", "drop"])
def test_F37_a_connection_that_ends_before_the_message_was_handed_over_is_made_again(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox, answer: str
) -> None:
    set_up(engine, mailbox)
    mailbox.answers = {"ann@example.com": [answer, "250 OK"]}
    put(engine, draft("k1"), draft("k2", "bob@example.com"))
    assert deliver(engine, clock) == DeliveryReport(sent=1, retried=1)
    assert mailbox.connections == 2
    assert rows(engine)[0]["last_error"].startswith("connection lost before the message was handed over: ")
    clock.at += timedelta(minutes=1)
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    assert len(mailbox.received) == 2


@pytest.mark.parametrize(
    ("answer", "report", "state", "words"),
    [
        (
            "554 5.7.1 looks like spam",
            DeliveryReport(refused=1, failed=1),
            "FAILED",
            "message refused: 554 5.7.1 looks like spam",
        ),
        ("452 4.2.2 mailbox full", DeliveryReport(retried=1), "PENDING", "message refused: 452 4.2.2 mailbox full"),
        ("421 4.4.2 timeout", DeliveryReport(retried=1), "PENDING", "message refused: 421 4.4.2 timeout"),
    ],
)
def test_F37_a_message_that_is_refused_as_a_whole_is_retried_for_4xx_and_given_up_for_5xx(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox, answer: str, report: DeliveryReport, state: str, words: str
) -> None:
    set_up(engine, mailbox)
    mailbox.data_answers = [answer]
    put(engine, draft())
    assert deliver(engine, clock) == report
    assert (rows(engine)[0]["state"], rows(engine)[0]["last_error"]) == (state, words)


def test_F37_the_command_DATA_may_be_refused_too(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox)
    mailbox.data_refusal = "451 4.3.1 no space"
    put(engine, draft())
    assert deliver(engine, clock) == DeliveryReport(retried=1)
    assert rows(engine)[0]["last_error"] == "DATA refused: 451 4.3.1 no space"


def test_F37_a_connection_that_ends_at_DATA_leaves_nothing_uncertain(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    mailbox.drop_before_data = 1
    put(engine, draft(on_uncertain=OnUncertain.HOLD))
    assert deliver(engine, clock) == DeliveryReport(retried=1)
    assert (state_of(engine), mailbox.received) == (["PENDING"], [])
    clock.at += timedelta(minutes=1)
    assert deliver(engine, clock) == DeliveryReport(sent=1)


def test_F37_a_sender_that_is_refused_is_said_for_each_mail_and_stops_nothing(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    mailbox.sender_answer = "550 5.7.1 not you"
    put(engine, draft("k1"), draft("k2"))
    assert deliver(engine, clock) == DeliveryReport(refused=2, failed=2)
    assert {row["last_error"] for row in rows(engine)} == {"sender refused: 550 5.7.1 not you"}


@pytest.mark.parametrize("policy", list(OnUncertain))
def test_F7_a_lost_answer_makes_the_mail_uncertain_and_its_policy_decides(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox, policy: OnUncertain
) -> None:
    set_up(engine, mailbox)
    add_dossier(engine)
    mailbox.drop_after_data = 1
    put(engine, draft("k1", dossier_code="998", on_uncertain=policy))
    assert deliver(engine, clock) == DeliveryReport(uncertain=1)
    (row,) = rows(engine)
    assert row["state"] == "UNCERTAIN"
    assert row["last_error"].startswith("the whole message was handed over, and the answer was lost: ")
    assert alert_mail_at(engine) is None
    with engine.connect() as connection:
        assert outbox.has_open(connection, ["998"], "interactions_alert") == ({"998"} if policy == "resend" else set())
    clock.at += timedelta(days=1)
    again = deliver(engine, clock)
    if policy is OnUncertain.HOLD:
        assert (again, len(mailbox.received), state_of(engine)) == (DeliveryReport(), 1, ["UNCERTAIN"])
    else:
        assert (again, len(mailbox.received), state_of(engine)) == (DeliveryReport(sent=1), 2, ["SENT"])
        assert len({one.message["Message-ID"] for one in mailbox.received}) == 1
        assert alert_mail_at(engine) == clock.at


def test_F7_answers_that_are_lost_again_and_again_cost_one_extra_mail_at_most(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    mailbox.drop_after_data = 99
    put(engine, draft())
    for _ in range(10):
        deliver(engine, clock)
        clock.at += timedelta(hours=1)
    assert len(mailbox.received) == 2
    assert (state_of(engine), rows(engine)[0]["uncertain_attempts"]) == (["UNCERTAIN"], 2)


def test_F37_a_server_that_never_answers_costs_the_timeout_and_leaves_the_mail_uncertain(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox, timeout_s=1)
    mailbox.silent_after_data = True
    put(engine, draft())
    assert deliver(engine, clock) == DeliveryReport(uncertain=1)


def test_F37_a_server_that_drips_its_greeting_costs_the_timeout_and_not_an_hour(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    with dripping_server() as port:
        set_up(engine, mailbox, port=str(port), timeout_s=1)
        put(engine, draft())
        began = monotonic()
        assert deliver(engine, clock) == DeliveryReport(retried=1)
        assert monotonic() - began < 5
    assert rows(engine)[0]["last_error"].startswith(f"E-MAIL-101 mail server 127.0.0.1:{port}: cannot be reached (")


def test_a_slow_server_holds_nobody_up_longer_than_allowed(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox)
    put(engine, *(draft(f"k{number}") for number in range(5)))
    assert deliver_due(engine, clock=clock, environment={}, longest_s=0) == DeliveryReport()
    assert state_of(engine) == ["PENDING"] * 5


def test_A43_in_the_evening_an_alert_is_spooled_and_leaves_once_in_the_morning(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    calendar = {"days": [1, 2, 3, 4, 5], "opens": "08:00", "closes": "18:00", "holidays_of": "FR"}
    set_up(engine, mailbox, calendar=calendar)
    friday_20h = datetime(2026, 11, 20, 19, tzinfo=UTC)
    monday_8h = datetime(2026, 11, 23, 7, tzinfo=UTC)
    clock.at = friday_20h
    with engine.connect() as connection:
        settings = load_general(connection).mail
    spooled = compose_alert(
        ALERT,
        VALUES,
        dossier_code=None,
        cause="interactions_alert",
        idempotency_key="k1",
        recipients=["ann@example.com"],
        on_uncertain=OnUncertain.RESEND,
        test_mode=False,
        settings=settings,
        now=friday_20h,
    )
    assert spooled.not_before == monday_8h
    put(engine, spooled, draft("left over from the afternoon"), now=friday_20h)
    assert deliver(engine, clock) == DeliveryReport(spooled=1)
    clock.at = monday_8h - timedelta(seconds=1)
    assert deliver(engine, clock) == DeliveryReport()
    assert mailbox.received == []
    clock.at = monday_8h
    assert deliver(engine, clock) == DeliveryReport(sent=2)
    assert deliver(engine, clock) == DeliveryReport()
    assert len(mailbox.received) == 2


def test_A42_the_mail_of_a_process_in_test_mode_reaches_the_administrator_alone(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    settings = MailSettings(administrator="admin@example.com")
    composed = compose_alert(
        ALERT,
        VALUES,
        dossier_code=None,
        cause="interactions_alert",
        idempotency_key="t",
        recipients=["ann@example.com"],
        on_uncertain=OnUncertain.RESEND,
        test_mode=True,
        settings=settings,
        now=NOON,
    )
    put(engine, composed)
    deliver(engine, clock)
    assert [(one.recipients, one.subject) for one in mailbox.received] == [(("admin@example.com",), "[TEST] Etat: Alerte > 30")]
    assert rows(engine)[0]["test_mode"]


def test_F38_a_draft_with_a_key_that_is_known_is_not_stored_again(engine: sa.Engine) -> None:
    assert len(put(engine, draft("k1"), draft("k1", "bob@example.com"), draft("k2"))) == 2
    assert put(engine, draft("k1"), draft("k2")) == []
    assert len(rows(engine)) == 2
    assert list(answers(engine)) == ["ann@example.com", "ann@example.com"][:1]


def test_F38_two_evaluators_that_queue_the_same_alert_at_once_make_one_mail(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    with ThreadPoolExecutor(8) as pool:
        ids = [one for made in pool.map(lambda _: put(engine, draft("k1")), range(8)) for one in made]
        assert len(ids) == 1
        reports = list(pool.map(lambda _: deliver(engine, clock), range(8)))
    assert sum(report.sent for report in reports) == 1
    assert len(mailbox.received) == 1


def test_F38_two_deliveries_at_once_send_every_mail_once(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox)
    put(engine, *(draft(f"k{number:03}", f"p{number:03}@example.com") for number in range(60)))
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: deliver(engine, clock), range(4)))
    assert sum(report.sent for report in reports) == 60
    assert sorted(one.recipients[0] for one in mailbox.received) == [f"p{number:03}@example.com" for number in range(60)]


def test_A28_a_mail_about_an_anomaly_that_is_over_starts_no_throttle_of_the_next_one(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    add_dossier(engine, anomaly_started_at=NOON + timedelta(minutes=5))
    add_dossier(engine, "001", anomaly_started_at=None)
    put(engine, draft("k1", dossier_code="998"), draft("k2", dossier_code="001"))
    clock.at += timedelta(minutes=10)
    assert deliver(engine, clock) == DeliveryReport(sent=2)
    assert (alert_mail_at(engine), alert_mail_at(engine, "001")) == (None, None)


def test_a_large_group_is_asked_a_hundred_at_a_time_without_waiting(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    add_dossier(engine)
    people = tuple(f"p{number:03}@example.com" for number in range(250))
    mailbox.answers = {"p007@example.com": ["550 gone"], "p199@example.com": ["451 later", "250 OK"]}
    put(engine, draft("k1", *people, dossier_code="998"))
    assert deliver(engine, clock) == DeliveryReport(refused=1, retried=1)
    clock.at += timedelta(minutes=5)
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    assert [len(one.recipients) for one in mailbox.received] == [99, 99, 51]
    assert Counter(person for one in mailbox.received for person in one.recipients) == Counter(people) - Counter(
        ["p007@example.com"]
    )
    assert alert_mail_at(engine) == NOON


def test_a_mail_of_another_cause_starts_no_throttle(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox)
    add_dossier(engine)
    put(engine, draft("k1", dossier_code="998", cause="ticks_missed"))
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    assert alert_mail_at(engine) is None


def test_a_mail_that_cannot_be_built_fails_alone(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox)
    put(engine, draft("k1", subject="two\nlines"), draft("k2"))
    assert deliver(engine, clock) == DeliveryReport(sent=1, refused=1, failed=1)
    assert rows(engine)[0]["last_error"].startswith("cannot be built: ")


def test_case_80_81_addresses_that_reached_the_outbox_unchecked_are_refused_alone(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    put(engine, draft("k1", recipients=("Ann@EXAMPLE.com", "nobody", "a@b.c, evil@x.y")))
    assert deliver(engine, clock) == DeliveryReport(sent=1, refused=2)
    assert [set(one.recipients) for one in mailbox.received] == [{"Ann@example.com"}]
    assert answers(engine)["Ann@EXAMPLE.com"] == ("ACCEPTED", "250 OK")
    assert answers(engine)["a@b.c, evil@x.y"][1] == "E-MAIL-080 recipient: more than one address; write one address per field"


def test_case_81_a_draft_with_nothing_but_refused_addresses_has_failed(engine: sa.Engine) -> None:
    assert put(engine) == []
    put(engine, draft("k1", recipients=(), refused=(Answer("nobody", RecipientState.REFUSED, "E-MAIL-081 no address"),)))
    (row,) = rows(engine)
    assert (row["state"], row["last_error"]) == ("FAILED", "no recipient left: E-MAIL-081 no address")


def test_case_81_a_mail_whose_stored_addresses_are_none_asks_no_server(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox)
    (mail_id,) = put(engine, draft("k1", recipients=("nobody",)))
    assert deliver(engine, clock) == DeliveryReport(refused=1, failed=1)
    with engine.begin() as connection:
        connection.execute(sa.update(schema.mail_recipient).values(state="ACCEPTED"))
        with pytest.raises(InputError) as caught:
            outbox.release(connection, mail_id, now=NOON, actor="ann")
    assert str(caught.value) == f"E-MAIL-093 mail {mail_id}: has nobody left to be sent to; correct the group for the next one"


def test_case_82_addresses_outside_ascii_need_a_server_that_takes_them(engine: sa.Engine, clock: FixedClock) -> None:
    people = ("почта@пример.рф", "zoe@exämple.de")
    for utf8, accepted in (
        (True, {"почта@xn--e1afmkfd.xn--p1ai", "zoe@xn--exmple-cua.de"}),
        (False, {"zoe@xn--exmple-cua.de"}),
    ):
        with running_mailbox(utf8=utf8) as box:
            set_up(engine, box)
            put(engine, draft(f"utf8 {utf8}", *people))
            deliver(engine, clock)
            assert {one for received in box.received for one in received.recipients} == accepted
    assert answers(engine)["почта@пример.рф"] == ("REFUSED", "the server takes no addresses outside ASCII (no SMTPUTF8)")


def test_case_88_a_held_mail_waits_for_a_person(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox)
    (mail_id,) = put(engine, draft("k1", held="E-MAIL-088 too many"))
    assert deliver(engine, clock) == DeliveryReport()
    assert (rows(engine)[0]["state"], rows(engine)[0]["last_error"]) == ("FAILED", "E-MAIL-088 too many")
    with engine.begin() as connection:
        outbox.release(connection, mail_id, now=NOON, actor="ann")
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    with engine.connect() as connection:
        (change,) = connection.execute(sa.select(schema.change)).mappings()
    assert (change["actor"], change["object_kind"], change["object_code"], change["action"]) == (
        "ann",
        "mail",
        str(mail_id),
        "release",
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"recipients": ()}, "E-MAIL-092 mail 1: is SKIPPED; only FAILED and UNCERTAIN mails are released"),
        ({}, "E-MAIL-092 mail 1: is PENDING; only FAILED and UNCERTAIN mails are released"),
    ],
)
def test_what_does_not_wait_for_a_person_cannot_be_released(engine: sa.Engine, changes: dict[str, Any], expected: str) -> None:
    put(engine, draft(**changes))
    with engine.begin() as connection, pytest.raises(InputError) as caught:
        outbox.release(connection, 1, now=NOON, actor="ann")
    assert str(caught.value) == expected


def test_a_mail_that_does_not_exist_is_said_with_its_number(engine: sa.Engine) -> None:
    with engine.begin() as connection, pytest.raises(InputError) as caught:
        outbox.release(connection, 7, now=NOON, actor="ann")
    assert str(caught.value) == "E-MAIL-091 mail 7: there is none of this number; see `erpcrm mails list`"


def test_after_two_days_without_a_server_a_mail_is_given_up_and_says_so(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox, port=str(free_port()))
    put(engine, draft())
    totals = DeliveryReport()
    for _ in range(60):
        report = deliver(engine, clock)
        totals = replace(totals, retried=totals.retried + report.retried, failed=totals.failed + report.failed)
        clock.at += timedelta(hours=1)
    assert totals == DeliveryReport(retried=53, failed=1)
    assert rows(engine)[0]["last_error"].startswith("gave up after 54 attempts: E-MAIL-101 ")
    assert answers(engine)["ann@example.com"][0] == "REFUSED"


def test_a_secret_that_is_not_set_leaves_the_mails_waiting_with_the_name_of_the_variable(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox, user="u", password=REFERENCE)
    put(engine, draft())
    assert deliver(engine, clock) == DeliveryReport(retried=1)
    assert rows(engine)[0]["last_error"] == (
        "E-CFG-046 general.mail.password: environment variable MAIL_PASSWORD is not set or empty;"
        " set MAIL_PASSWORD where this process starts"
    )


def test_a_login_is_given_and_a_refused_one_never_shows_the_password(engine: sa.Engine, clock: FixedClock) -> None:
    secret = " ".join(["correct", "horse", "battery"])
    with running_mailbox(login=("robot", secret)) as box:
        set_up(engine, box, user="robot", password=REFERENCE)
        put(engine, draft("k1"))
        assert deliver_due(engine, clock=clock, environment={"MAIL_PASSWORD": "wrong " + secret}) == DeliveryReport(retried=1)
        error = rows(engine)[0]["last_error"]
        assert error.startswith(f"E-MAIL-103 mail server 127.0.0.1:{box.port}: the login is refused (535 ")
        assert secret not in error
        clock.at += timedelta(minutes=1)
        assert deliver_due(engine, clock=clock, environment={"MAIL_PASSWORD": secret}) == DeliveryReport(sent=1)
        assert box.logins[-1] == ("robot", secret)


def test_a_login_at_a_server_that_knows_none_is_an_error_of_its_own(
    engine: sa.Engine, clock: FixedClock, mailbox: Mailbox
) -> None:
    set_up(engine, mailbox, user="robot", password=REFERENCE)
    put(engine, draft())
    assert deliver_due(engine, clock=clock, environment={"MAIL_PASSWORD": "x"}) == DeliveryReport(retried=1)
    assert rows(engine)[0]["last_error"].startswith("E-MAIL-103 mail server")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_F37_a_certificate_is_always_verified(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    certificate, context = own_certificate(tmp_path)
    with running_mailbox(**{security: context}) as box:  # type: ignore[arg-type]
        set_up(engine, box, security=security)
        put(engine, draft())
        assert deliver(engine, clock) == DeliveryReport(retried=1)
        error = rows(engine)[0]["last_error"]
        assert error.startswith(f"E-MAIL-102 mail server 127.0.0.1:{box.port}: {security} failed (")
        assert "certificate verify failed" in error
        assert box.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        clock.at += timedelta(minutes=1)
        assert deliver(engine, clock) == DeliveryReport(sent=1)


def test_F37_without_STARTTLS_nothing_is_sent_in_clear(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> None:
    set_up(engine, mailbox, security="starttls")
    put(engine, draft())
    assert deliver(engine, clock) == DeliveryReport(retried=1)
    assert rows(engine)[0]["last_error"].startswith("E-MAIL-102 mail server")
    assert mailbox.received == []


@pytest.mark.parametrize("text", [".", "..", ".\n.\n.", "a\r\n.\r\nb", "x" * 5000, "\n\n", "é" * 2000, "From x\n>y"])
def test_a_text_arrives_as_it_was_written(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox, text: str) -> None:
    set_up(engine, mailbox)
    put(engine, draft(text=text))
    assert deliver(engine, clock) == DeliveryReport(sent=1)
    assert mailbox.received[0].text.splitlines() == text.splitlines()
    html = mailbox.received[0].message.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Alerte &gt; 30</p>"


@contextmanager
def dripping_server() -> Iterator[int]:
    """A server whose greeting never ends, a byte at a time."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            taken, _ = listening.accept()
            with taken:
                while not over.wait(0.05):
                    try:
                        taken.sendall(b"2")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


def own_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that no authority of this machine knows."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=mail.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            certificate,
            *subject,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return certificate, context
