"""kill -9 of the delivering process between any two of its side effects: no mail is lost, and one extra at most."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import OnUncertain
from erpcrm_orchestration.domain.mail import DeliveryReport, MailDraft
from erpcrm_orchestration.services.mail import deliver_due, due
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store import schema
from tests.conftest import NOON
from tests.mailbox import Mailbox, running_mailbox
from tests.postgres.child_work import run, start
from tests.scenarios.child_round import go_on, wait_until_stopped

TIMEOUT_S = 5

BEFORE_THE_SERVER = ("mail_after_claim_commit", "mail_before_send")
AFTER_THE_SERVER = ("mail_after_send", "mail_before_result_commit")


@pytest.fixture
def mailbox(engine: sa.Engine) -> Iterator[Mailbox]:
    """A running server that the configuration names."""
    with running_mailbox() as running:
        definition = {"mail": {"host": "127.0.0.1", "port": str(running.port), "timeout_s": TIMEOUT_S}}
        with engine.begin() as connection:
            connection.execute(sa.insert(schema.general_parameters).values(definition=definition, updated_at=NOON))
        yield running


def put(engine: sa.Engine, *keys: str, policy: OnUncertain = OnUncertain.RESEND) -> None:
    drafts = [MailDraft(None, "test", key, key, "text", None, ("ann@example.com",), policy, False, NOON) for key in keys]
    with engine.begin() as connection:
        outbox.enqueue(connection, drafts, now=NOON)


def killed(url: sa.URL, failpoint: str) -> None:
    """Deliver in a process that ends itself with SIGKILL at the failpoint."""
    assert run("mails", url, f"{failpoint}:kill") == -signal.SIGKILL


def later() -> FixedClock:
    """A clock at which every claim that a process made until now is dead, and every waiting is over."""
    return FixedClock(datetime.now(UTC) + timedelta(hours=2))


def states(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(schema.mail.c.state).order_by(schema.mail.c.mail_id)))


@pytest.mark.parametrize("policy", list(OnUncertain))
@pytest.mark.parametrize("failpoint", ["mail_before_claim_commit", "mail_after_result_commit"])
def test_F7_killed_outside_the_uncertain_stretch_every_mail_leaves_exactly_once(
    engine: sa.Engine, database_url: sa.URL, mailbox: Mailbox, failpoint: str, policy: OnUncertain
) -> None:
    put(engine, "k1", "k2", policy=policy)
    killed(database_url, failpoint)
    deliver_due(engine, clock=later(), environment={})
    assert sorted(mailbox.subjects) == ["k1", "k2"]
    assert states(engine) == ["SENT", "SENT"]


@pytest.mark.parametrize("failpoint", [*BEFORE_THE_SERVER, *AFTER_THE_SERVER])
def test_F7_killed_in_the_uncertain_stretch_a_mail_that_is_resent_is_never_lost_and_one_extra_at_most(
    engine: sa.Engine, database_url: sa.URL, mailbox: Mailbox, failpoint: str
) -> None:
    put(engine, "k1", "k2")
    killed(database_url, failpoint)
    assert states(engine) == ["SENDING", "PENDING"]
    assert deliver_due(engine, clock=later(), environment={}) == DeliveryReport(sent=2, uncertain=1)
    copies = 2 if failpoint in AFTER_THE_SERVER else 1
    assert Counter(mailbox.subjects) == {"k1": copies, "k2": 1}
    assert len({one.message["Message-ID"] for one in mailbox.received}) == 2
    assert states(engine) == ["SENT", "SENT"]


@pytest.mark.parametrize("failpoint", [*BEFORE_THE_SERVER, *AFTER_THE_SERVER])
def test_F7_killed_in_the_uncertain_stretch_a_mail_that_is_held_waits_for_a_person(
    engine: sa.Engine, database_url: sa.URL, mailbox: Mailbox, failpoint: str
) -> None:
    put(engine, "k1", policy=OnUncertain.HOLD)
    killed(database_url, failpoint)
    copies = 1 if failpoint in AFTER_THE_SERVER else 0
    for _ in range(3):
        deliver_due(engine, clock=later(), environment={})
        assert (states(engine), len(mailbox.received)) == (["UNCERTAIN"], copies)
    with engine.begin() as connection:
        outbox.release(connection, 1, now=NOON, actor="ann")
    assert deliver_due(engine, clock=later(), environment={}) == DeliveryReport(sent=1)
    assert len(mailbox.received) == copies + 1


def test_F7_a_resend_that_is_killed_too_is_held_so_that_one_extra_stays_one(
    engine: sa.Engine, database_url: sa.URL, mailbox: Mailbox
) -> None:
    put(engine, "k1")
    killed(database_url, "mail_after_send")
    with engine.begin() as connection:
        connection.execute(sa.update(schema.mail).values(claimed_at=NOON))
    killed(database_url, "mail_after_send")
    for _ in range(3):
        deliver_due(engine, clock=later(), environment={})
    assert (states(engine), len(mailbox.received)) == (["UNCERTAIN"], 2)


def test_F7_a_claim_counts_as_dead_after_twice_the_timeout_and_not_before(
    engine: sa.Engine, database_url: sa.URL, mailbox: Mailbox
) -> None:
    put(engine, "k1")
    killed(database_url, "mail_before_send")
    with engine.connect() as connection:
        claimed_at = connection.scalar(sa.select(schema.mail.c.claimed_at))
    assert claimed_at is not None
    clock = FixedClock(claimed_at + timedelta(seconds=2 * TIMEOUT_S))
    with engine.connect() as connection:
        assert due(connection, clock.at) == 0
    assert deliver_due(engine, clock=clock, environment={}) == DeliveryReport()
    assert mailbox.received == []
    clock.at += timedelta(milliseconds=1)
    with engine.connect() as connection:
        assert due(connection, clock.at) == 1
    assert deliver_due(engine, clock=clock, environment={}) == DeliveryReport(sent=1, uncertain=1)


def test_F10_a_sender_that_was_stopped_and_wakes_up_late_does_not_overwrite_the_one_that_took_over(
    engine: sa.Engine, database_url: sa.URL, mailbox: Mailbox
) -> None:
    put(engine, "k1")
    process = start("mails", database_url, "mail_after_send:stop")
    wait_until_stopped(process)
    assert mailbox.taken.is_set()
    clock = later()
    assert deliver_due(engine, clock=clock, environment={}) == DeliveryReport(sent=1, uncertain=1)
    assert go_on(process) == 0
    assert len(mailbox.received) == 2
    with engine.connect() as connection:
        row = connection.execute(sa.select(schema.mail)).mappings().one()
    assert (row["state"], row["sent_at"], row["attempts"]) == ("SENT", clock.at, 2)


@pytest.mark.slow
def test_F7_killed_at_random_instants_no_mail_is_lost_and_none_comes_more_than_twice(
    engine: sa.Engine, database_url: sa.URL, mailbox: Mailbox
) -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    keys = [f"k{number:03}" for number in range(60)]
    put(engine, *keys)
    kills = 0
    for _ in range(8):
        mailbox.taken.clear()
        process = start("mails", database_url)
        while process.is_alive() and not mailbox.taken.wait(0.1):
            continue
        process.join(chance.uniform(0, 0.05))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        with engine.begin() as connection:
            dead = sa.update(schema.mail).where(schema.mail.c.state == "SENDING")
            connection.execute(dead.values(claimed_at=NOON))
    deliver_due(engine, clock=later(), environment={})
    deliver_due(engine, clock=later(), environment={})
    copies = Counter(mailbox.subjects)
    assert kills >= 5
    assert sorted(copies) == keys
    assert max(copies.values()) <= 2
    assert len(mailbox.received) - len(keys) <= kills
    assert set(states(engine)) == {"SENT"}
