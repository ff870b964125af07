"""Every page of the board before axe-core and a ruler: light and dark, on a desk and on a phone, in five languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.sign_in import setup_token
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from tests.board_browser import DESK, PHONE, Seat, seat, started_chromium
from tests.board_house import House, running_board
from tests.busy_company import Busy, busy_company
from tests.conftest import NOON

LOOKS: tuple[tuple[tuple[int, int], Literal["light", "dark"]], ...] = ((DESK, "light"), (PHONE, "dark"))
"""What every page is looked at as: contrast depends on the scheme and everything else on the size, so two looks are enough."""
WIDEST = "[document.documentElement.scrollWidth, innerWidth]"
RUN = "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)"
MAIN = ("widgets", "interactions", "records", "record", "datasets", "alerts", "mails", "refreshes")
LANGUAGES = ("en", "es", "fr", "pt", "ru")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this file."""
    with started_chromium() as started:
        yield started


@pytest.fixture(scope="module")
def busy(
    browser: Browser, server: EmbeddedServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, Busy, str]]:
    """A board of a busy company, with its pages and the token of a link that nobody has used."""
    with psycopg.connect(server.url(driver="postgresql").render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "accessible" TEMPLATE "{migrated_template}"')
    engine, clock = create_engine(server.url("accessible")), FixedClock(NOON)
    shop = Shop(clock=clock)
    web = WebServer(shop)
    web.start()
    folder: Path = tmp_path_factory.mktemp("hub")
    token = setup_token(engine, clock=clock)
    assert token
    found = busy_company(engine, clock, folder, web.url, shop)
    web.stop()
    with running_board(engine, clock) as house:
        yield house, found, token
    engine.dispose()


@pytest.fixture(scope="module")
def away(busy: tuple[House, Busy, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A board whose database does not answer."""
    nowhere = create_engine(f"postgresql://erpcrm@/erpcrm?host={tmp_path_factory.mktemp('nowhere')}")
    with running_board(nowhere, FixedClock(NOON)) as house:
        yield house


def faults_of(one: Seat, name: str) -> list[str]:
    """Return what axe and the ruler find on the page that is open, on both devices and in both schemes."""
    page, found = one.page, []
    page.evaluate(Axe().axe_script)
    for (width, height), scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        found += [f"{name} {width} {scheme} {told(one)}" for one in page.evaluate(RUN)]
        needed, given = page.evaluate(WIDEST)
        if needed > given:
            found.append(f"{name}: {needed} px wide in {given}")
    return found


def told(violation: dict[str, Any]) -> str:
    """Return a violation as one line with the first elements that it is about."""
    nodes = [f"{node['html'][:120]} {json.dumps(node['any'][:1])[:200]}" for node in violation["nodes"][:2]]
    return f"{violation['id']}: {violation['help']}: {nodes}"


def test_every_page_is_accessible_on_a_desk_and_on_a_phone_in_light_and_dark(
    browser: Browser, busy: tuple[House, Busy, str]
) -> None:
    house, found, _ = busy
    guest = house.guest({"*": "admin"}, default_dossier_code="998")
    faults = []
    with seat(browser, house, guest, bypass_csp=True, reduced_motion="reduce") as one:
        for name, path in found.pages().items():
            one.goto(path)
            faults += faults_of(one, name)
        one.goto(found.pages()["record"])
        one.page.fill('[name="v:total"]', "36.00")
        one.page.locator(".payload button").click()
        one.page.wait_for_url("**/correct")
        faults += faults_of(one, "correction")
        for name, path in (("404", "/nowhere"), ("404 dossier", "/dossiers/nope"), ("422", "/?page=0")):
            one.goto(path)
            faults += faults_of(one, name)
    assert faults == []


def test_the_pages_before_the_door_and_while_the_database_is_away_are_accessible(
    browser: Browser, busy: tuple[House, Busy, str], away: House
) -> None:
    house, _, token = busy
    faults = []
    with seat(browser, house, bypass_csp=True, reduced_motion="reduce") as one:
        for name, path in (("sign-in", "/sign-in"), ("link", f"/link/{token}")):
            one.goto(path)
            faults += faults_of(one, name)
    with seat(browser, away, bypass_csp=True, reduced_motion="reduce") as one:
        one.context.add_cookies([{"name": "erpcrm", "value": "any", "url": away.url}])
        one.goto("/")
        assert "E-DB-001" in one.page.inner_text("main")
        faults += faults_of(one, "503")
    assert faults == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_language_is_wider_than_a_phone(browser: Browser, busy: tuple[House, Busy, str], language: str) -> None:
    house, found, _ = busy
    guest = house.guest({"*": "admin"}, language=language)
    too_wide = []
    with seat(browser, house, guest, size=PHONE) as one:
        for name in MAIN:
            one.goto(found.pages()[name])
            needed, given = one.page.evaluate(WIDEST)
            if needed > given:
                too_wide.append(f"{name}: {needed} px")
    assert too_wide == []


def test_no_page_complains_in_the_console_nor_against_the_content_policy(
    browser: Browser, busy: tuple[House, Busy, str]
) -> None:
    house, found, token = busy
    with seat(browser, house, house.guest({"*": "admin"}, default_dossier_code="998")) as one:
        for path in (*found.pages().values(), "/sign-in", f"/link/{token}"):
            one.goto(path)
        assert one.complaints == []
