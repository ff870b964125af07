"""A company that mails to a real SMTP server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailSettings
from tests.company import Company
from tests.mailbox import Mailbox, running_mailbox

ADMINISTRATOR = "admin@meridian.example"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A running SMTP server."""
    with running_mailbox() as box:
        yield box


def settings(mailbox: Mailbox, **changes: object) -> MailSettings:
    """Return mail settings that point at the server."""
    return MailSettings(**{"host": "127.0.0.1", "port": str(mailbox.port), "administrator": ADMINISTRATOR, **changes})  # type: ignore[arg-type]


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, mailbox: Mailbox) -> Company:
    """A company with a mail group of two and an alert template; its dossiers are the test's."""
    made = Company(engine, clock)
    made.general(mail=settings(mailbox))
    made.mail_group("anne@meridian.example", "paul@meridian.example")
    made.template("Dossier FORM.dossier_code", "Etat: FORM.etatsynchro")
    return made
