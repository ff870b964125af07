"""The door of the board: sign-in, sessions, links, people and their rights; nobody gets in by anything else."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.board.settings import BoardSettings
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.sign_in import setup_token
from erpcrm_orchestration.store import board_schema
from erpcrm_orchestration.store.schema import change
from tests.board_house import Guest, House, text_of
from tests.company import Company

PASSWORD = "correct horse battery"  # noqa: S105  nobody else has it


def events(company: Company) -> list[tuple[str, str, str]]:
    """Return actor, action and outcome of everything that happened."""
    return [(row.actor, row.action, row.outcome) for row in company.rows(board_schema.event)]


def sign_in(house: House, login: str, password: str, **changes: str) -> tuple[int, str | None]:
    """Return status and cookie of an attempt."""
    form = {"login": login, "password": password, **changes}
    answer = house.client().post(f"{house.url}/sign-in", data=form, headers={"origin": house.url})
    return answer.status_code, answer.cookies.get("erpcrm")


def with_password(house: House, login: str = "ann", **grants: str) -> int:
    """Add somebody who can sign in with PASSWORD; return the number."""
    admin = house.guest({"*": "admin"})
    made = admin.call("/api/v1/people", {"login": login, "grants": grants}).json()
    path = made["link"].removeprefix(house.url)
    answer = house.client().post(house.url + path, data={"password": PASSWORD}, headers={"origin": house.url})
    assert answer.status_code == 303
    return int(made["person_id"])


def test_the_first_start_gives_a_link_that_makes_one_administrator_once(company: Company, house: House) -> None:
    token = setup_token(company.engine, clock=company.clock)
    again = setup_token(company.engine, clock=company.clock)
    client, address = house.client(), f"{house.url}/link/{again}"
    assert client.get(f"{house.url}/link/{token}").status_code == 404
    form = {"login": "Ann", "password": PASSWORD}
    assert client.post(address, data={**form, "password": "short"}, headers={"origin": house.url}).status_code == 422
    answer = client.post(address, data=form, headers={"origin": house.url})
    assert answer.status_code == 303
    assert client.get(f"{house.url}/api/v1/me").json()["grants"] == {"*": "admin"}
    assert client.post(address, data={**form, "login": "eve"}, headers={"origin": house.url}).status_code == 404
    assert setup_token(company.engine, clock=company.clock) is None


def test_a_wrong_password_an_unknown_login_and_a_closed_account_read_the_same(company: Company, house: House) -> None:
    number = with_password(house)
    assert sign_in(house, "ANN", PASSWORD)[0] == 303
    wrong = sign_in(house, "ann", "wrong horse battery")
    unknown = sign_in(house, "nobody", PASSWORD)
    with company.engine.begin() as connection:
        person = board_schema.person
        connection.execute(sa.update(person).where(person.c.person_id == number).values(active=False))
    closed = sign_in(house, "ann", PASSWORD)
    assert wrong == unknown == closed == (401, None)
    assert [one for one in events(company) if one[2] == "failed"] == [
        ("ann", "sign_in", "failed"),
        ("nobody", "sign_in", "failed"),
        ("ann", "sign_in", "failed"),
    ]


def test_only_the_hash_of_a_token_and_of_a_password_is_stored(company: Company, house: House) -> None:
    with_password(house)
    _, cookie = sign_in(house, "ann", PASSWORD)
    assert cookie is not None
    stored = repr([company.rows(table) for table in (board_schema.session, board_schema.person, board_schema.invitation)])
    assert cookie not in stored
    assert PASSWORD not in stored
    assert "$argon2id$" in stored


def test_a_session_ends_by_rest_by_age_by_signing_out_and_by_a_change_of_rights(company: Company, house: House) -> None:
    with_password(house)

    def session() -> Guest:
        return house.guest({"998": "view"})

    rested = session()
    company.clock.at += timedelta(minutes=29)
    assert rested.get("/api/v1/me").status_code == 200
    company.clock.at += timedelta(minutes=31)
    assert rested.get("/api/v1/me").status_code == 401
    busy = session()
    for _ in range(25):
        company.clock.at += timedelta(minutes=29)
        last = busy.get("/api/v1/me").status_code
    assert last == 401
    leaving = session()
    assert leaving.post("/sign-out").status_code == 303
    assert leaving.get("/api/v1/me").status_code == 401
    changed, admin = session(), house.guest({"*": "admin"})
    assert admin.call(f"/api/v1/people/{changed.person_id}", {"grants": {}}).status_code == 204
    assert changed.get("/api/v1/me").status_code == 401


def test_nobody_is_sent_to_another_site_after_signing_in(house: House) -> None:
    with_password(house)
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb"):
        form = {"login": "ann", "password": PASSWORD, "next": target}
        answer = house.client().post(f"{house.url}/sign-in", data=form, headers={"origin": house.url})
        assert answer.headers["location"] == "/"
    form = {"login": "ann", "password": PASSWORD, "next": "/records?dossier=998"}
    answer = house.client().post(f"{house.url}/sign-in", data=form, headers={"origin": house.url})
    assert answer.headers["location"] == "/records?dossier=998"


def test_attempts_to_sign_in_are_limited_for_each_login(house: House) -> None:
    found = [sign_in(house, "ann", "wrong")[0] for _ in range(11)]
    assert found == [401] * 10 + [429]
    assert sign_in(house, "bob", "wrong")[0] == 401


def test_a_page_without_a_session_leads_to_the_door_and_back_and_the_api_says_401(house: House) -> None:
    answer = house.client().get(f"{house.url}/records?dossier=998")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Frecords%3Fdossier%3D998")
    api = house.client().get(f"{house.url}/api/v1/dossiers")
    assert (api.status_code, api.json()["errors"][0][:9]) == (401, "E-WEB-401")


def test_people_are_added_changed_and_invited_by_administrators_alone(company: Company, house: House) -> None:
    company.dossier("998")
    admin = house.guest({"*": "admin"})
    form = {"login": "Eve", "display_name": "Eve", "email": "eve@example.com", "grants": "998 operate\n"}
    shown = admin.post("/people", form)
    link = re.search(r"/link/[\w-]+", shown.text)
    assert link
    assert "You are eve." in text_of(house.client().get(house.url + link[0]))
    (eve,) = [one for one in admin.get("/api/v1/people").json() if one["login"] == "eve"]
    assert (eve["grants"], eve["can_sign_in"]) == ({"998": "operate"}, False)
    path = f"/people/{eve['person_id']}"
    assert admin.post(path, {**form, "grants": "998 view", "active": "true"}).status_code == 303
    for grants, code in (("nowhere view", "E-WEB-023"), ("998 rule", "E-WEB-023"), ("998", "E-WEB-023")):
        answer = admin.post(path, {**form, "grants": grants, "active": "true"})
        assert (answer.status_code, code in text_of(answer)) == (422, True)
    assert "E-WEB-024" in text_of(admin.post(path, {**form, "email": "a@b, c@d", "active": "true"}))
    assert "E-WEB-021" in text_of(admin.post("/people", {**form, "login": "EVE"}))
    operator = house.guest({"998": "admin", "*": "operate"})
    assert operator.get("/people").status_code == 404
    assert operator.post(path, form).status_code == 404
    kinds = [(row.action, row.object_code) for row in company.rows(change) if row.object_kind == "person"]
    assert kinds == [("add", "eve"), ("change", "eve")]


def test_the_last_administrator_stays_one(company: Company, house: House) -> None:
    number = with_password(house, **{"*": "admin"})
    with company.engine.begin() as connection:
        person = board_schema.person
        connection.execute(sa.update(person).where(person.c.person_id != number).values(active=False))
    _, cookie = sign_in(house, "ann", PASSWORD)
    assert cookie is not None
    ann = Guest(house, "ann", number, cookie, house.client(cookie=cookie))
    answer = ann.call(f"/api/v1/people/{number}", {"grants": {"*": "view"}})
    assert (answer.status_code, answer.json()["errors"][0][:9]) == (422, "E-WEB-026")
    assert ann.get("/api/v1/me").json()["grants"] == {"*": "admin"}


def test_a_denial_is_noted_and_reads_like_what_is_not_there(company: Company, house: House) -> None:
    guest = house.guest({"001": "view"})
    denied, missing = guest.get("/api/v1/records?dossier=998"), guest.get("/api/v1/nowhere")
    assert (denied.status_code, denied.text) == (missing.status_code, missing.text)
    assert (guest.login, "needs_view", "denied") in events(company)


def test_what_people_chose_for_themselves_is_kept(company: Company, house: House) -> None:
    company.dossier("998")
    guest = house.guest({"998": "view"})
    form = {"language": "pt", "theme": "dark", "default_dossier": "998"}
    assert guest.post("/me", form).status_code == 303
    page = guest.get("/me").text
    assert '<html lang="pt" data-theme="dark">' in page
    assert guest.post("/me", {**form, "default_dossier": "001"}).status_code == 404
    assert guest.post("/me", {**form, "theme": "pink"}).status_code == 422


@pytest.mark.parametrize(
    ("address", "code"),
    [("board.example.com", "E-WEB-001"), ("https://a/b", "E-WEB-001"), ("http://board.example.com", "E-WEB-002")],
)
def test_an_address_over_which_passwords_would_be_read_is_refused(address: str, code: str) -> None:
    with pytest.raises(InputError, match=code):
        BoardSettings(address)
    assert BoardSettings("https://board.example.com").cookie == "__Host-erpcrm"


def test_rights_contain_the_ones_before_them() -> None:
    order = list(Access)
    for place, access in enumerate(order):
        assert [access.includes(other) for other in order] == [other in order[: place + 1] for other in order]
