"""People at the board with a real browser: the system's Chromium, driven by Playwright, and what its pages complain about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from docs.pictures import ARGUMENTS, CHROMIUM
from tests.board_house import Guest, House

PATIENCE_MS = 15_000
DESK = (1440, 900)
PHONE = (390, 844)
TOLD = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
"""A violation of the policy becomes a line of the console, where the test reads it."""


@contextmanager
def started_chromium() -> Iterator[Browser]:
    """Start the system's Chromium for the block; skip the test where there is none."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"none of {', '.join(CHROMIUM)} is installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Seat:
    """Somebody's browser at the board; `complaints` are the errors of the console and of the content policy."""

    house: House
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def goto(self, path: str) -> None:
        """Open a page of the board."""
        self.page.goto(self.house.url + path)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def listen(self) -> None:
        """Note what the pages complain about from now on."""
        self.context.add_init_script(TOLD)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))


@contextmanager
def seat(
    browser: Browser, house: House, guest: Guest | None = None, *, size: tuple[int, int] = DESK, **settings: Any
) -> Iterator[Seat]:
    """Sit somebody before a browser of their own, signed in when a guest is given."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", **settings)
    context.set_default_timeout(PATIENCE_MS)
    if guest is not None:
        context.add_cookies([{"name": house.desk.settings.cookie, "value": guest.token, "url": house.url}])
    made = Seat(house, context, context.new_page())
    made.listen()
    try:
        yield made
    finally:
        context.close()
