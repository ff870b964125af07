"""`erpcrm demo`: the simulated company, everything running, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.status import Status

from erpcrm_orchestration.cli.deployment import Deployment, free_port
from erpcrm_orchestration.cli.processes import Group
from erpcrm_orchestration.cli.session import home
from erpcrm_orchestration.cli.status import show_all
from erpcrm_orchestration.cli.up import PORT, addresses, running, stop_on_signals, tend_until
from erpcrm_orchestration.config.folder import read_folder
from erpcrm_orchestration.demo.erp import DATABASE, SimulatedErp
from erpcrm_orchestration.demo.life import WRONG
from erpcrm_orchestration.demo.mailbox import MailboxFolder, mail_server
from erpcrm_orchestration.demo.orders import executed, has_accounts, schedule_orders
from erpcrm_orchestration.demo.pivots import PivotFolder
from erpcrm_orchestration.demo.round import (
    Milestone,
    forget_the_systems,
    integration_milestones,
    milestones,
    refused,
    routine_milestones,
)
from erpcrm_orchestration.demo.systems import Journey, Systems, write_environment
from erpcrm_orchestration.domain.clock import SystemClock
from erpcrm_orchestration.domain.errors import InputError, StoreError
from erpcrm_orchestration.languages import Language, Translator
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
ROUND_PATIENCE_S = 480
MOMENT_S = 20
TRADE_S = 8
"""Seconds between two orders of a shop."""
SHOWN = 3
CATCH_UP_AFTER = 18
"""So many moments after the start the late agent runs again, and the recovery is mailed."""


def demo_command(
    folder: Annotated[Path, typer.Argument(help="The company's configuration folder.")] = Path("config"),
    once: Annotated[bool, typer.Option("--once", help="End after the first full round.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the board; 0 takes a free one.")] = PORT,
) -> None:
    """Run the simulated company Meridian Pro on the embedded database, until Ctrl-C.

    Example: erpcrm demo --once
    """
    os.environ.pop(VARIABLE, None)
    console = Console(soft_wrap=True)
    stop = stop_on_signals()
    company = Company(console)
    with ExitStack() as stack:
        mailbox = stack.enter_context(mail_server(home() / "demo" / "mailbox"))
        variables = stack.enter_context(company.systems.serving())
        progress = stack.enter_context(console.status("starting"))
        receiver = free_port(0)

        def begin(deployment: Deployment) -> dict[str, str]:
            return company.begin(deployment, folder, mailbox, variables, f"http://127.0.0.1:{receiver}")

        with (
            running(port, say=progress.update, extra=begin, webhook_port=receiver) as (deployment, group),
            company.living(stop),
        ):
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
        self.systems = Systems()

    @property
    def engine(self) -> sa.Engine:
        if self._engine is None:
            raise RuntimeError("the company has not begun")
        return self._engine

    def begin(
        self, deployment: Deployment, folder: Path, mailbox: MailboxFolder, variables: dict[str, str], receiver: str
    ) -> dict[str, str]:
        """Make systems, folders and configuration; return the environment that the programs need.

        `variables` are those of shop, CRM and ERP; the shop sends its webhooks to `receiver`.
        """
        erp_url = deployment.database.set(database=DATABASE)
        ensure_database(erp_url)
        added = {
            "ERPCRM_DEMO_ERP_URL": erp_url.render_as_string(hide_password=False),
            "ERPCRM_DEMO_DOWN_URL": NOBODY,
            "ERPCRM_HUB_FOLDER": str(self._pivots.folder),
            "ERPCRM_SMTP_HOST": "127.0.0.1",
            "ERPCRM_SMTP_PORT": str(mailbox.port),
            **variables,
        }
        os.environ.update(added)
        write_environment(environment_file(), added)
        self._engine = create_engine(deployment.database)
        self._refuse_another_company()
        now = datetime.now(UTC)
        self._erp = SimulatedErp(create_engine(erp_url))
        self._erp.found(now)
        self._pivots.found(CODES, now)
        forget_the_systems(self.engine)
        self.systems.found(receiver)
        apply(self.engine, read_folder(folder), clock=SystemClock(), actor="demo")
        return added

    @contextmanager
    def living(self, stop: threading.Event) -> Iterator[None]:
        """Let the company work in the background for the block."""
        done = threading.Event()
        threads = [threading.Thread(target=one, args=(stop, done), daemon=True) for one in (self._live, self._trade)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def wait_for_round(self, stop: threading.Event, group: Group, mailbox: MailboxFolder, progress: Status) -> None:
        """Wait until everything has happened once; raise StoreError naming what has not."""
        limit = time.monotonic() + ROUND_PATIENCE_S
        ordered = False
        while not stop.wait(1):
            group.tend()
            if not ordered and has_accounts(self.engine):
                schedule_orders(self.engine, clock=SystemClock())
                ordered = True
            found = [
                *milestones(self.engine, mailbox, reachable=REACHABLE, down=DOWN),
                *integration_milestones(self.engine, self.systems),
                *routine_milestones(self.engine),
            ]
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
        self._show_orders()
        self._show_wrong_order()
        self._show_routines()
        self._console.print()
        for line in addresses(deployment):
            self._console.print(line, markup=False, highlight=False)
        self._console.print(f"mailbox     {mailbox.folder}")
        self._console.print(f"pivot files {self._pivots.folder}")
        self._console.print()

    def _show_orders(self) -> None:
        """Print how many orders went the whole way, and the times of the last ones."""
        journeys, shop, erp = self.systems.journeys(), self.systems.shop, self.systems.erp
        self._console.print(f"\nDossier 998: {len(shop.orders)} orders in the shop, {len(erp.orders)} of them in the ERP.")
        self._console.print(f"{len(journeys)} went shop -> ERP -> shipped -> completed in the shop, the last of them:")
        for one in journeys[-SHOWN:]:
            self._console.print(f"order {one.order_id}  {_told(one)}")

    def _show_wrong_order(self) -> None:
        """Print what waits for a correction, and the commands that correct it."""
        wrong = self.systems.wrong
        waits = refused(self.engine, wrong.order_id) if wrong else None
        if wrong is None or waits is None:
            return
        self._console.print(f"\nOrder {waits.source_id} waits to be corrected ({WRONG[wrong.name]}):", highlight=False)
        self._console.print(f"  {waits.error}", markup=False, highlight=False)
        fix = f"erpcrm inbox fix {waits.message_id} --dossier 998 --set {wrong.assignment} --reason 'asked the customer'"
        for line in (
            f". {shlex.quote(str(environment_file()))}",
            "erpcrm inbox list --dossier 998 --state REJECTED",
            fix,
            f"erpcrm inbox journey {waits.source_id} --dossier 998 --entity order --system shop",
        ):
            self._console.print(f"  {line}", markup=False, highlight=False)

    def _show_routines(self) -> None:
        """Print how the execution orders stand."""
        states = ", ".join(f"{count} {state.value}" for state, count in sorted(executed(self.engine).items()))
        self._console.print(f"\nExecution orders of routines: {states}; `erpcrm order list --dossier 998`", highlight=False)

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

    def _trade(self, stop: threading.Event, done: threading.Event) -> None:
        while not (done.wait(TRADE_S) or stop.is_set()):
            self.systems.live()


def environment_file() -> Path:
    """Return the file of the variables that the demo's configuration names, for the shell of another terminal."""
    return home() / "demo" / "environment"


def _told(one: Journey) -> str:
    steps = (("placed", one.placed_at), (f"{one.sale} in the ERP", one.sold_at), ("shipped", one.shipped_at))
    return ", ".join(f"{name} {at:%H:%M:%S}" for name, at in (*steps, ("completed in the shop", one.completed_at)))


def _progress(found: list[Milestone], missing: list[str]) -> str:
    return f"{len(found) - len(missing)} of {len(found)}: waiting until {missing[0]}"
