"""People at the board: what they do with mouse and keyboard in a real browser, with JavaScript and without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.data_hub import advance, take_pivot_files
from erpcrm_orchestration.services.ledger import take_refresh_requests
from erpcrm_orchestration.services.sign_in import setup_token
from erpcrm_orchestration.store import schema
from tests.board_browser import PATIENCE_MS, seat, started_chromium
from tests.board_house import House
from tests.company import Company, ago
from tests.integrated_company import IntegratedCompany
from tests.postgres import intake_company
from tests.routine_company import RoutineCompany

PASSWORD = "correct horse battery"  # noqa: S105  nobody else has it
REASON = "asked the customer"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this file."""
    expect.set_options(timeout=PATIENCE_MS)
    with started_chromium() as started:
        yield started


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop."""
    return Shop(clock=clock)


@pytest.fixture
def integrated(engine: sa.Engine, clock: FixedClock, shop: Shop) -> Iterator[IntegratedCompany]:
    """Dossier 998 with the shop connected and evaluated once."""
    made = IntegratedCompany(engine, clock)
    made.dossier()
    server = WebServer(shop)
    server.start()
    made.connect_shop(server.url)
    yield made
    server.stop()


@pytest.fixture
def refused(integrated: IntegratedCompany, shop: Shop) -> dict[str, Any]:
    """The message of an order whose total is a word."""
    product = shop.add_product("Lamp", "12.50")
    order = shop.add_order([(product["id"], 2)])
    integrated.round()
    integrated.pass_time()
    shop.change("orders", order["id"], total="twelve", status="completed")
    integrated.round()
    return dict(integrated.rows("flow.inbox", entity="order")[-1])


def number_on_widget(page: Page, name: str) -> Any:
    """Return the number of the only widget of the page."""
    return page.locator(f".card .{name} dd > a")


def correct_total(page: Page, typed: str) -> None:
    """Type a total into the form of the record and ask for the difference."""
    page.get_by_label("total", exact=True).fill(typed)
    page.get_by_role("button", name="Look at the difference").click()


def confirm(page: Page) -> None:
    """Give the reason and write the correction that is shown."""
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Correct and relaunch").click()


def come_back(page: Page) -> None:
    """Turn to the page again, as somebody does who had another one before them: it looks at once what is new."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def sign_in(page: Page, login: str) -> None:
    """Fill the form of the door."""
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("javascript", [True, False])
def test_the_first_administrator_comes_by_the_link_leaves_and_comes_again(
    browser: Browser, company: Company, house: House, javascript: bool
) -> None:
    token = setup_token(company.engine, clock=company.clock)
    with seat(browser, house, java_script_enabled=javascript) as one:
        page = one.page
        one.goto(f"/link/{token}")
        page.get_by_label("Login").fill("Ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="Dossiers")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        one.goto("/records")
        sign_in(page, "ann")
        expect(page).to_have_url(f"{house.url}/records")
        assert one.complaints == []


def test_an_erroneous_order_is_found_by_its_reason_corrected_and_seen_to_be_integrated(
    browser: Browser, integrated: IntegratedCompany, refused: dict[str, Any], house: House
) -> None:
    guest = house.guest({"998": "operate"})
    with seat(browser, house, guest) as one:
        page = one.page
        one.goto("/")
        page.get_by_role("link", name="Records").click()
        page.get_by_role("link", name="$.total").click()
        expect(page).to_have_url(re.compile("error_class="))
        page.get_by_role("link", name=str(refused["message_id"]), exact=True).click()
        wrong = page.locator("[aria-invalid=true]")
        expect(wrong).to_have_count(1)
        expect(wrong).to_have_accessible_name("total")
        expect(wrong).to_have_accessible_description(re.compile("twelve"))
        expect(wrong).to_be_focused()
        correct_total(page, "36.00")
        expect(page.locator(".difference")).to_contain_text("twelve")
        expect(page.locator(".difference ins")).to_have_text('"36.00"')
        confirm(page)
        living = page.locator("[data-live]")
        expect(living).to_contain_text("new")
        unloaded = page.evaluate("globalThis.sameDocument = true")
        integrated.round()
        expect(living).to_contain_text("integrated")
        assert page.evaluate("globalThis.sameDocument") == unloaded
        assert one.complaints == []


def test_A13_a_time_is_corrected_relaunched_and_the_number_on_the_widget_falls_without_reload(
    browser: Browser, company: Company, house: House, tmp_path: Path
) -> None:
    number = erroneous_time(company, tmp_path)
    with seat(browser, house, house.guest({"001": "operate"})) as one:
        page = one.page
        widgets = one.context.new_page()
        widgets.goto(house.url)
        shown = number_on_widget(widgets, "times_not_ok")
        expect(shown).to_have_text("1")
        widgets.evaluate("globalThis.sameDocument = true")
        one.goto(f"/datasets/{number}")
        expect(page.locator("[aria-invalid=true]")).to_be_focused()
        page.get_by_label("Jour").fill("20261118")
        page.locator("form.payload").get_by_label("Reason").fill(REASON)
        page.get_by_role("button", name="Correct").click()
        expect(page.get_by_label("Jour")).to_have_value("20261118")
        relaunch = page.locator("form", has_text="Enter at state")
        relaunch.get_by_label("Reason").fill(REASON)
        relaunch.get_by_role("button", name="Relaunch").click()
        expect(page.locator("[data-live]")).to_contain_text("100 received")
        advance(company.engine, ["001"], clock=company.clock, run_id=None)
        come_back(page)
        expect(page.locator("[data-live]")).to_contain_text("900 closed, OK")
        company.refresh("001")
        come_back(widgets)
        expect(shown).to_have_text("0")
        assert widgets.evaluate("globalThis.sameDocument")
        assert one.complaints == []


def erroneous_time(company: Company, folder: Path) -> int:
    """Take in a time whose day is a word, for dossier 001; return the number of its dataset."""
    company.dossier("001", hub_folder=str(folder))
    company.log("001", ago(company, minutes=5))
    intake_company.company(company.engine, dossiers={})
    fields = "<TimeId>7</TimeId><Jour>yesterday</Jour><Valide>1</Valide>"
    (folder / "bad.DHUB").write_text(f'<DataHub DataSetType="TPSAFF">{fields}</DataHub>')
    take_pivot_files(company.engine, ["001"], clock=company.clock, environment={}, run_id=None)
    advance(company.engine, ["001"], clock=company.clock, run_id=None)
    company.refresh("001")
    ((number,),) = intake_company.table(company.engine, schema.hub_dataset, "dataset_number")
    return int(number)


@pytest.fixture
def evaluated(company: Company) -> Company:
    """Dossiers 001 and 998, evaluated."""
    for code in ("001", "998"):
        company.dossier(code)
        company.log(code, ago(company, minutes=5))
    company.refresh("001", "998")
    return company


def test_a_double_click_asks_once_and_the_progress_is_seen_without_reload(
    browser: Browser, evaluated: Company, house: House
) -> None:
    asked: list[str] = []
    with seat(browser, house, house.guest({"*": "refresh"})) as one:
        page = one.page
        page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
        one.goto("/interactions")
        page.get_by_role("button", name="Refresh data").dblclick()
        living = page.locator("[data-live]")
        expect(living).to_contain_text("waits for its run")
        assert asked == [f"{house.url}/refresh"]
        assert evaluated.count(schema.refresh_request) == 2
        page.evaluate("globalThis.sameDocument = true")
        wanted = take_refresh_requests(evaluated.engine)
        assert wanted is not None
        expect(living).to_contain_text("is being refreshed")
        evaluated.refresh(*wanted.dossier_codes, notify=False)
        expect(living).to_contain_text("Done")
        assert page.evaluate("globalThis.sameDocument")
        assert one.complaints == []


def test_of_two_who_correct_the_same_record_the_second_is_refused_and_keeps_what_was_typed(
    browser: Browser, refused: dict[str, Any], house: House
) -> None:
    path = f"/records/998/{refused['message_id']}"
    with (
        seat(browser, house, house.guest({"998": "operate"})) as first,
        seat(browser, house, house.guest({"998": "operate"})) as second,
    ):
        for one, typed in ((first, "36.00"), (second, "37.00")):
            one.goto(path)
            correct_total(one.page, typed)
            expect(one.page.locator(".difference ins")).to_have_text(f'"{typed}"')
        confirm(first.page)
        expect(first.page.locator("[data-live]")).to_contain_text("new")
        confirm(second.page)
        expect(second.page.get_by_role("alert")).to_contain_text("E-COR-002")
        expect(second.page.get_by_label("total", exact=True)).to_have_value("37.00")
        expect(second.page.locator("[data-live]")).to_contain_text("superseded")


def test_a_page_that_answers_a_refused_form_goes_on_living(
    browser: Browser, integrated: IntegratedCompany, refused: dict[str, Any], house: House
) -> None:
    """Its address takes forms alone; what lives on it is asked for at the address of the record."""
    with seat(browser, house, house.guest({"998": "operate"})) as one:
        one.goto(f"/records/998/{refused['message_id']}")
        with one.page.expect_response("**/correct"):
            correct_total(one.page, "thirteen")
        expect(one.page.get_by_role("alert")).to_contain_text("E-COR-006")
        with one.page.expect_response(f"**/records/998/{refused['message_id']}") as answer:
            come_back(one.page)
        assert answer.value.ok
        expect(one.page.locator("#offline")).to_be_hidden()


def test_a_mail_template_is_shown_filled_while_it_is_written(browser: Browser, company: Company, house: House) -> None:
    company.mail_group("anna@example.com")
    company.template("Etat: FORM.etatsynchro", "FORM.TOUT\n")
    company.dossier("998")
    company.log("998", ago(company, minutes=95))
    company.refresh("998", notify=False)
    guest = house.guest({"*": "admin"}, default_dossier_code="998")
    with seat(browser, house, guest) as one:
        page = one.page
        one.goto("/settings/mail_templates/interactions_alert")
        expect(page.locator("#preview-subject")).to_have_text("Etat: Alerte > 30")
        page.get_by_label("subject").fill("FORM.dossier_code is late")
        expect(page.locator("#preview-subject")).to_have_text("998 is late")
        page.locator("textarea[name=text]").fill("FORM.xyz")
        expect(page.locator("#preview-faults")).to_contain_text("E-MAIL-083")
        assert one.complaints == []


def test_everything_works_without_javascript(
    browser: Browser, integrated: IntegratedCompany, refused: dict[str, Any], house: House
) -> None:
    Company(integrated.engine, integrated.clock).refresh("998")
    with seat(browser, house, house.guest({"998": "operate"}), java_script_enabled=False) as one:
        page = one.page
        one.goto("/records")
        page.get_by_label("State").select_option("REJECTED")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name=str(refused["message_id"]), exact=True).click()
        correct_total(page, "36.00")
        confirm(page)
        expect(page.locator("[data-live]")).to_contain_text("new")
        one.goto("/interactions")
        page.get_by_role("button", name="Refresh data").click()
        expect(page.locator("[data-live]")).to_contain_text("waits for its run")


def test_the_keyboard_alone_reaches_everything_and_enter_sends(browser: Browser, evaluated: Company, house: House) -> None:
    with seat(browser, house, house.guest({"*": "refresh"})) as one:
        page = one.page
        one.goto("/interactions")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        reached = tab_through(page, 24)
        assert reached[:5] == ["Refresh data", "q", "state", "sort", "Show"]
        assert reached[5:8] == ["Interactions ERP-CRM", "001", "1"]
        assert "Refresh dossier 998" in reached
        page.get_by_role("searchbox").focus()
        page.keyboard.type("998")
        page.keyboard.press("Enter")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page).to_have_url(re.compile("q=998"))


def tab_through(page: Page, steps: int) -> list[str]:
    """Press Tab so often; return what had the focus: its name, or its text."""
    found = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        node = "document.activeElement"
        found.append(page.evaluate(f"{node}.getAttribute('aria-label') || {node}.name || {node}.textContent.trim()"))
    return found


def test_the_focus_stays_on_the_line_where_it_was_when_the_living_part_is_replaced(
    browser: Browser, evaluated: Company, house: House
) -> None:
    """A line that moves meanwhile is found where it is now."""
    with seat(browser, house, house.guest({"*": "refresh"})) as one:
        page = one.page
        one.goto("/interactions?sort=not_ok")
        button = page.get_by_role("button", name="Refresh dossier 001")
        button.focus()
        expect(page.locator("tbody tr").first).to_contain_text("001")
        evaluated.dataset("998", "TIME", "ERROR", evaluated.clock.now())
        evaluated.refresh("998")
        come_back(page)
        expect(page.locator("tbody tr").first).to_contain_text("998")
        expect(button).to_be_focused()


def test_what_somebody_writes_into_a_living_part_is_not_taken_away(browser: Browser, evaluated: Company, house: House) -> None:
    evaluated.log("998", ago(evaluated, minutes=95))
    evaluated.dataset("998", "TIME", "ERROR", evaluated.clock.now())
    evaluated.refresh("998", notify=False)
    with seat(browser, house, house.guest({"*": "operate"})) as one:
        page = one.page
        one.goto("/alerts")
        first = page.locator(".alerts > li", has_text="998").first
        first.get_by_text("Take care of it").click()
        first.get_by_label("Note").fill("agent restarts")
        first.get_by_label("Note").press("Tab")
        evaluated.dataset("001", "TIME", "ERROR", evaluated.clock.now())
        evaluated.refresh("001", notify=False)
        with page.expect_response(lambda answer: answer.request.headers.get("x-live") == "1"):
            come_back(page)
        expect(first.get_by_label("Note")).to_have_value("agent restarts")
        first.get_by_role("button", name="Take care").click()
        expect(page.locator(".alerts")).to_contain_text("agent restarts")


def test_E2_E46_an_order_is_configured_seen_to_be_done_and_another_is_cancelled(
    browser: Browser, engine: sa.Engine, clock: FixedClock, house: House
) -> None:
    """A double click makes one order; its page follows it to its end without a reload."""
    routines = RoutineCompany(engine, clock).founded()
    routines.account("K1", company="Nord SA")
    routines.static_audience("vip", "K1")
    with seat(browser, house, house.guest({"998": "operate"})) as one:
        page = one.page
        one.goto("/orders")
        page.get_by_role("link", name="Configure execution").click()
        expect(page.locator("[name='p:monitor']")).to_be_hidden()
        page.locator("[name=program]").select_option("account_monitor")
        expect(page.locator("[name='p:monitor']")).to_be_visible()
        page.locator("[name=program]").select_option("account_complement")
        page.locator("[name=audience]").select_option("vip")
        expect(page.locator("#audience")).to_contain_text("Accounts now: 1")
        expect(page.locator("#audience")).to_contain_text("Nord SA")
        page.get_by_role("button", name="Schedule").dblclick()
        living = page.locator("[data-live]")
        expect(living).to_contain_text("waiting")
        (order,) = routines.orders()
        page.evaluate("globalThis.sameDocument = true")
        routines.started()
        come_back(page)
        expect(living).to_contain_text("done")
        assert page.evaluate("globalThis.sameDocument")
        other = routines.order("account_status", at=clock.at + timedelta(hours=1))
        one.goto(f"/orders/{other}")
        page.get_by_role("button", name="Cancel the order").click()
        expect(page.locator("main")).to_contain_text("cancelled")
        assert (routines.state(order.order_number).value, routines.state(other).value) == ("DONE", "CANCELLED")
        one.goto("/orders/new")
        page.get_by_role("link", name="Cancel", exact=True).click()
        expect(page).to_have_url(f"{house.url}/orders")
        assert len(routines.orders()) == 2
        assert one.complaints == []


def test_an_order_is_configured_without_javascript(
    browser: Browser, engine: sa.Engine, clock: FixedClock, house: House
) -> None:
    routines = RoutineCompany(engine, clock).founded()
    routines.account("K1", company="Nord SA")
    routines.static_audience("vip", "K1")
    with seat(browser, house, house.guest({"998": "operate"}), java_script_enabled=False) as one:
        page = one.page
        one.goto("/orders/new")
        page.locator("[name=program]").select_option("account_complement")
        page.locator("[name=audience]").select_option("vip")
        page.get_by_role("button", name="Look at the accounts").click()
        expect(page.locator("#audience")).to_contain_text("Nord SA")
        page.get_by_role("button", name="Schedule").click()
        expect(page.locator("main")).to_contain_text("waiting")
        (order,) = routines.orders()
        assert order.audience_code == "vip"
