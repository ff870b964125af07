"""`erpcrm demo`: the simulated company, everything running, until Ctrl-C."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.status import Status

from erpcrm_orchestration.cli.deployment import Deployment
from erpcrm_orchestration.cli.languages import Language, Translator
from erpcrm_orchestration.cli.processes import Group
from erpcrm_orchestration.cli.session import home
from erpcrm_orchestration.cli.status import show_all
from erpcrm_orchestration.cli.up import PORT, running, stop_on_signals, tend_until
from erpcrm_orchestration.config.folder import read_folder
from erpcrm_orchestration.demo.erp import DATABASE, SimulatedErp
from erpcrm_orchestration.demo.mailbox import MailboxFolder, mail_server
from erpcrm_orchestration.demo.pivots import PivotFolder
from erpcrm_orchestration.demo.round import Milestone, milestones
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError, StoreError
from erpcrm_orchestration.services.configuration import apply
from erpcrm_orchestration.store.databases import ensure_database
from erpcrm_orchestration.store.dossier import dossier_codes
from erpcrm_orchestration.store.engine import VARIABLE, create_engine
from erpcrm_orchestration.store.status import read_widgets

CODES = ("998", "001", "210", "340", "450")
REACHABLE = CODES[:-1]
DOWN = "450"
NOBODY = "postgresql+psycopg://nobody@127.0.0.1:9/none"
"""Port 9 is the discard service: on loopback nobody listens there."""
ROUND_PATIENCE_S = 300
MOMENT_S = 20
CATCH_UP_AFTER = 18
"""So many moments after the start the late agent runs again, and the recovery is mailed."""


def demo_command(
    folder: Annotated[Path, typer.Argument(help="The company's configuration folder.")] = Path("config"),
    once: Annotated[bool, typer.Option("--once", help="End after the first full round.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the Dagster UI; 0 takes a free one.")] = PORT,
) -> None:
    """Run the simulated company Meridian Pro on the embedded database, until Ctrl-C.

    Example: erpcrm demo --once
    """
    os.environ.pop(VARIABLE, None)
    console = Console(soft_wrap=True)
    stop = stop_on_signals()
    company = Company(console)
    with mail_server(home() / "demo" / "mailbox") as mailbox, console.status("starting") as progress:

        def begin(deployment: Deployment) -> dict[str, str]:
            return company.begin(deployment, folder, mailbox)

        with running(port, say=progress.update, extra=begin) as (deployment, group), company.living(stop):
            company.wait_for_round(stop, group, mailbox, progress)
            progress.stop()
            company.show(deployment, mailbox)
            if not once:
                console.print("The company lives on. [bold]Ctrl-C[/] stops everything.")
                tend_until(stop, group, say=console.print)
    console.print("stopped")


class Company:
    """The simulated company around one deployment."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._engine: sa.Engine | None = None
        self._erp: SimulatedErp | None = None
        self._pivots = PivotFolder(home() / "demo" / "hub")

    @property
    def engine(self) -> sa.Engine:
        if self._engine is None:
            raise RuntimeError("the company has not begun")
        return self._engine

    def begin(self, deployment: Deployment, folder: Path, mailbox: MailboxFolder) -> dict[str, str]:
        """Make ERP, folders and configuration; return the environment that the programs need."""
        erp_url = deployment.database.set(database=DATABASE)
        ensure_database(erp_url)
        added = {
            "ERPCRM_DEMO_ERP_URL": erp_url.render_as_string(hide_password=False),
            "ERPCRM_DEMO_DOWN_URL": NOBODY,
            "ERPCRM_HUB_FOLDER": str(self._pivots.folder),
            "ERPCRM_SMTP_HOST": "127.0.0.1",
            "ERPCRM_SMTP_PORT": str(mailbox.port),
        }
        os.environ.update(added)
        self._engine = create_engine(deployment.database)
        self._refuse_another_company()
        now = datetime.now(UTC)
        self._erp = SimulatedErp(create_engine(erp_url))
        self._erp.found(now)
        self._pivots.found(CODES, now)
        apply(self.engine, read_folder(folder), clock=SystemClock(), actor="demo")
        return added

    @contextmanager
    def living(self, stop: threading.Event) -> Iterator[None]:
        """Let the company work in the background for the block."""
        done = threading.Event()
        thread = threading.Thread(target=self._live, args=(stop, done), name="meridian", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def wait_for_round(self, stop: threading.Event, group: Group, mailbox: MailboxFolder, progress: Status) -> None:
        """Wait until everything has happened once; raise StoreError naming what has not."""
        limit = time.monotonic() + ROUND_PATIENCE_S
        while not stop.wait(1):
            group.tend()
            found = milestones(self.engine, mailbox, reachable=REACHABLE, down=DOWN)
            missing = [one.name for one in found if not one.is_reached]
            if not missing:
                return
            progress.update(_progress(found, missing))
            if time.monotonic() > limit:
                raise StoreError(
                    "E-RUN-006", "demo", f"not reached: {', '.join(missing)}", f"read the logs in {home() / 'logs'}"
                )

    def show(self, deployment: Deployment, mailbox: MailboxFolder) -> None:
        """Print the state table, the mails and the addresses."""
        with self.engine.connect() as connection:
            widgets = read_widgets(connection)
        show_all(widgets, Translator(Language.EN), SystemClock().now())
        self._console.print(
            f"\nDossier {DOWN} has no state: its source is down, and its check [bold]source_is_reachable[/] fails.\n"
        )
        for heading in mailbox.headings():
            self._console.print(f"mail  {heading}")
        self._console.print(f"\nDagster UI    {deployment.url}")
        self._console.print(f"mailbox       {mailbox.folder}")
        self._console.print(f"pivot folder  {self._pivots.folder}")
        self._console.print(f"logs          {deployment.home / 'logs'}\n")

    def _refuse_another_company(self) -> None:
        with self.engine.connect() as connection:
            foreign = sorted(set(dossier_codes(connection)) - {*CODES, "999"})
        if foreign:
            raise InputError(
                "E-RUN-005",
                f"{home()}",
                f"it holds dossiers of another company: {', '.join(foreign[:5])}",
                "set ERPCRM_HOME to a new folder",
            )

    def _live(self, stop: threading.Event, done: threading.Event) -> None:
        if self._erp is None:
            return
        moment = 0
        while not (done.wait(MOMENT_S) or stop.is_set()):
            moment += 1
            now = datetime.now(UTC)
            self._erp.live(now)
            self._pivots.intervention("998", now)
            if moment >= CATCH_UP_AFTER and moment % CATCH_UP_AFTER == 0:
                self._erp.catch_up(now)


def _progress(found: list[Milestone], missing: list[str]) -> str:
    return f"{len(found) - len(missing)} of {len(found)}: waiting until {missing[0]}"
