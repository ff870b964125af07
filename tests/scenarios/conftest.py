"""A company that mails to a real SMTP server, and one whose deployment really runs."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import MailSettings
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from tests.company import Company
from tests.integrated_company import CREDENTIALS
from tests.mailbox import Mailbox, running_mailbox
from tests.scenarios.deployed_company import PASSWORD, found_company
from tests.scenarios.running_deployment import RunningDeployment, clean_environment

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


@pytest.fixture(scope="module")
def deployed(server: EmbeddedServer, migrated_template: str, request: pytest.FixtureRequest) -> Iterator[Company]:
    """The company of the deployment that the tests of a file share."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    with psycopg.connect(server.url(driver="postgresql").render_as_string(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{migrated_template}"')
    engine = create_engine(server.url(name))
    yield found_company(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def deployment(deployed: Company, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDeployment]:
    """`erpcrm up` on a server that is named by a URL with a password."""
    url = deployed.engine.url.set(password=PASSWORD).render_as_string(hide_password=False)
    home = tmp_path_factory.mktemp("deployment") / "home"
    running = RunningDeployment(home, clean_environment(home, ERPCRM_DATABASE_URL=url, **CREDENTIALS))
    try:
        running.start()
        yield running
    finally:
        running.clean_up()
