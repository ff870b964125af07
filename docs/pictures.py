"""The pictures of the README, taken of the running demo company: `python -m docs.pictures [folder]`, or `make pictures`.

The company runs on a home folder of its own and a free port, and is stopped at the end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Error, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1440, "height": 900}
TALL = {"width": 1440, "height": 1600}
ROW = {"width": 1720, "height": 660}
"""So wide that the widgets of the demo company stand in one row."""
WIDE = {"width": 2300, "height": 1300}
"""So wide that the names of the assets are shown with their states."""
LOCATION = "erpcrm_orchestration.definitions"
GROUPS = ("intake", "supervision", "outbox")
STATE = "/assets/supervision/interaction_state"
ORDERS = "/assets/hub/order_header"
ROUND_PATIENCE_S = 420
STOP_PATIENCE_S = 90
LOOK_PATIENCE_MS = 60_000
NOBODYS_PASSWORD = "a company of a few minutes"  # noqa: S105  it ends with the pictures
TICKS = 4
"""So many ticks of the schedule are waited for before its page is worth a picture."""


@dataclass(frozen=True)
class Demo:
    """Where the running demo company is looked at; `link` makes the first administrator of the board, once."""

    dagster: str
    board: str
    link: str


def main(folder: Path) -> None:
    """Take every picture into the folder; end with one line when a part is missing."""
    browser = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"E-PIC-001 pictures: none of {', '.join(CHROMIUM)} is installed; install Chromium, then repeat")
    folder.mkdir(parents=True, exist_ok=True)
    # An exit runs what stands in `finally`, a signal does not.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with demo_company() as demo:
        try:
            take(demo, browser, folder)
        except Error as error:
            sys.exit(f"E-PIC-003 pictures: {error.message.splitlines()[0]}; look at {demo.board} while `erpcrm demo` runs")


def take(demo: Demo, browser: str, folder: Path) -> None:
    """Drive the browser through board and UI; every picture is written when the page shows what it is about."""
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=ARGUMENTS)
        page = chromium.new_page(viewport=SIZE, timezone_id="Europe/Paris", locale="en-GB")  # type: ignore[arg-type]
        page.set_default_timeout(LOOK_PATIENCE_MS)
        sign_in(page, demo)
        places = [(name, show, demo.board) for name, show in OF_THE_BOARD.items()]
        places += [(name, show, demo.dagster) for name, show in OF_DAGSTER.items()]
        for name, show, address in places:
            page.set_viewport_size(SIZE)  # type: ignore[arg-type]
            show(page, address)
            # The pointer rests where nothing reacts, and what had opened under it closes.
            page.mouse.move(5, 655)
            page.wait_for_timeout(1500)
            target = folder / f"{name}.png"
            page.screenshot(path=target)
            sys.stdout.write(f"{target}  {target.stat().st_size // 1024} kB\n")
        chromium.close()


@contextmanager
def demo_company() -> Iterator[Demo]:
    """Run the demo company until its first round is over; yield where it is looked at."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as home, (Path(home) / "demo.log").open("w+", encoding="utf-8") as log:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ERPCRM_", "DAGSTER_"))}
        demo = subprocess.Popen(  # noqa: S603 - our own program, no shell
            [sys.executable, "-m", "erpcrm_orchestration.cli.main", "demo", str(ROOT / "config"), "--port", "0"],
            env={**environment, "ERPCRM_HOME": str(Path(home) / "erpcrm"), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield _places(demo, Path(log.name))
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(STOP_PATIENCE_S)


def _places(demo: subprocess.Popen[bytes], log: Path) -> Demo:
    limit = time.monotonic() + ROUND_PATIENCE_S
    while time.monotonic() < limit and demo.poll() is None:
        text = log.read_text(encoding="utf-8")
        found = [re.search(rf"{name}\s+(http://\S+)", text) for name in ("Dagster UI", "board", "once, within 24 hours:")]
        if all(found) and "The company lives on" in text:
            return Demo(*(one[1] for one in found if one))
        time.sleep(1)
    sys.exit(f"E-PIC-002 pictures: the demo company did not get through its first round; it said: {log.read_text()[-500:]}")


def visible(page: Page, text: str) -> Locator:
    """Return the first visible element with exactly this text; the UI keeps invisible copies to measure them."""
    return page.get_by_text(text, exact=True).locator("visible=true").first


def sign_in(page: Page, demo: Demo) -> None:
    """Become the first administrator of the board."""
    page.goto(demo.link)
    page.get_by_label("Login").fill("anna")
    page.get_by_label("Password").fill(NOBODYS_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="Dossiers").wait_for()


def board_widgets(page: Page, board: str) -> None:
    """The widgets of all dossiers, what is in alert first."""
    page.set_viewport_size(ROW)  # type: ignore[arg-type]
    page.goto(f"{board}/?sort=state")
    page.locator(".card").first.wait_for()


def board_correction(page: Page, board: str) -> None:
    """A refused record, with the field that is wrong."""
    page.goto(f"{board}/records?dossier=998&state=REJECTED&entity=order")
    page.locator("tbody th a[href^='/records/998/']").first.click()
    page.locator("[aria-invalid=true]").first.wait_for()


def asset_graph(page: Page, address: str) -> None:
    """All assets, their groups opened; when a moment comes in which nothing runs, at that moment."""
    page.set_viewport_size(TALL)  # type: ignore[arg-type]
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    page.goto(f"{address}/asset-groups?expanded={expanded}")
    visible(page, "interaction_state").wait_for()
    visible(page, "outbound_call").wait_for()
    page.wait_for_timeout(3000)
    with suppress(AssertionError):
        expect(page.get_by_text("Materializing...")).to_have_count(0, timeout=LOOK_PATIENCE_MS)


def interaction_state(page: Page, address: str) -> None:
    """The widget's values of dossier 998 as metadata of its materialisation."""
    page.goto(f"{address}{STATE}?view=partitions&partition=998")
    visible(page, "MERIDIAN-FR").wait_for()


def integration(page: Page, address: str) -> None:
    """The inboxes and the entities that are made from them."""
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    page.goto(f"{address}/locations/{LOCATION}/asset-groups/integration/lineage")
    visible(page, "order_header").wait_for()
    page.wait_for_timeout(3000)
    with suppress(AssertionError):
        expect(page.get_by_text("Materializing...")).to_have_count(0, timeout=LOOK_PATIENCE_MS)


def order_header(page: Page, address: str) -> None:
    """The orders of dossier 998: how many are integrated, rejected, waiting."""
    page.goto(f"{address}{ORDERS}?view=partitions&partition=998")
    visible(page, "rejected").wait_for()


def check(page: Page, address: str) -> None:
    """The dossiers' results of one check, and why dossier 001 fails."""
    page.goto(f"{address}{STATE}?view=checks&checkDetail=synchronisation_is_on_time")
    # The asset has a tab of this name too.
    page.get_by_text("Partitions", exact=True).locator("visible=true").nth(1).click()
    visible(page, "001").click()
    visible(page, "elapsed").wait_for()


def ticks(page: Page, address: str) -> None:
    """What the schedule did, minute by minute."""
    page.goto(f"{address}/locations/{LOCATION}/schedules/refresh_interaction_state_schedule")
    rows = page.get_by_text("View logs", exact=True)
    rows.nth(TICKS - 1).wait_for(timeout=60_000 * (TICKS + 1))


OF_THE_BOARD: dict[str, Callable[[Page, str], None]] = {"board_widgets": board_widgets, "board_correction": board_correction}
# The check first: the late dossier of the demo catches up after some minutes.
OF_DAGSTER: dict[str, Callable[[Page, str], None]] = {
    "synchronisation_is_on_time": check,
    "interaction_state": interaction_state,
    "order_header": order_header,
    "integration": integration,
    "asset_graph": asset_graph,
    "schedule_ticks": ticks,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures")
