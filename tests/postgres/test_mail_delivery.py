"""The outbox against a real SMTP server: sent once, answered per recipient, tried again, and never lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailSettings, MailTemplate, OnUncertain
from erpcrm_orchestration.domain.mail import DeliveryReport, MailDraft
from erpcrm_orchestration.services.mail import compose_alert, deliver_due, due
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store import schema
from tests.conftest import NOON
from tests.mailbox import Mailbox, free_port, running_mailbox

ALERT = MailTemplate("interactions_alert", "Etat: FORM.etatsynchro", "FORM.TOUT", "<p>FORM.etatsynchro</p>")
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


def draft(key: str = "k1", *recipients: str, **changes: Any) -> MailDraft:  # noqa: ANN401 - any field of a draft
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
