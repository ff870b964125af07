"""The widgets and the zoom: stored values in the order of the original, for those who may see them; nothing is written."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.widget import WIDGET_FIELDS
from erpcrm_orchestration.store import schema
from tests.board_house import Guest, House, text_of
from tests.company import Company, ago


@pytest.fixture
def three(company: Company) -> Company:
    """Dossier 001 normal, 998 in alert with something not OK, 999 never evaluated."""
    for code in ("001", "998", "999"):
        company.dossier(code, name={"001": "Nord", "998": "Guided tour", "999": "Common"}[code])
    company.log("001", ago(company, minutes=5))
    company.log("998", ago(company, minutes=95))
    company.dataset("998", "INTERVENTION", "ERROR", ago(company, hours=1))
    company.dataset("998", "DOCUMENT", "PENDING", ago(company, hours=1))
    company.refresh("001", "998", at=company.clock.now())
    return company


def test_A18_the_widget_shows_the_ten_values_in_their_order_and_writes_nothing(three: Company, house: House) -> None:
    guest = house.guest({"998": "view"})
    answer = guest.get("/")
    assert answer.status_code == 200
    assert any(_only_reads(three.engine, guest) for _ in range(5)), "autovacuum takes a number now and then, not every time"
    shown = [answer.text.index(f'class="{name}') for name in WIDGET_FIELDS]
    assert shown == sorted(shown)
    words = text_of(answer)
    assert "998 Guided tour" in words
    assert "Alert > 30" in words
    assert "001" not in words


def test_A19_a_change_at_the_source_is_not_shown_before_the_next_refresh(three: Company, house: House) -> None:
    guest = house.guest({"*": "view"})
    before = guest.get("/api/v1/dossiers").json()
    three.log("998", ago(three, minutes=1))
    assert guest.get("/api/v1/dossiers").json() == before


def test_P7_the_age_is_that_of_the_moment_of_reading(three: Company, house: House) -> None:
    guest = house.guest({"*": "view"})
    three.clock.at += timedelta(minutes=7, seconds=59)
    assert {one["age_min"] for one in guest.get("/api/v1/dossiers").json()["dossiers"]} == {7}
    assert "7 minutes ago" in text_of(guest.get("/dossiers/998"))


def test_A20_the_default_dossier_of_the_person_comes_first_and_an_administrator_sees_all(three: Company, house: House) -> None:
    person = house.guest({"*": "admin"}, default_dossier_code="998")
    page = person.get("/").text
    assert page.index('id="d-998"') < page.index('id="d-001"')


def test_A21_an_unknown_dossier_and_one_of_others_read_the_same_and_no_row_is_created(three: Company, house: House) -> None:
    guest = house.guest({"998": "view"})
    unknown, foreign = guest.get("/api/v1/dossiers/nope"), guest.get("/api/v1/dossiers/001")
    assert (unknown.status_code, foreign.status_code) == (404, 404)
    assert unknown.text == foreign.text
    everyone = house.guest({"*": "view"})
    answer = everyone.get("/dossiers/999")
    assert answer.status_code == 404
    assert "no data for dossier 999" in text_of(answer)
    assert three.state("999") is None


def test_search_filter_sort_and_pages_are_done_by_the_database(three: Company, house: House) -> None:
    guest = house.guest({"*": "view"})

    def codes(query: str) -> list[str]:
        answer = guest.get(f"/api/v1/dossiers?{query}")
        assert answer.status_code == 200, answer.text
        return [one["dossier_code"] for one in answer.json()["dossiers"]]

    assert codes("q=guided") == ["998"]
    assert codes("q=CRM-001") == ["001"]
    assert codes("q=%25") == []
    assert codes("state=alert") == ["998"]
    assert codes("state=normal") == ["001"]
    assert codes("state=not_ok") == ["998"]
    assert codes("sort=not_ok") == ["998", "001"]
    assert codes("size=1&page=2") == ["998"]
    assert guest.get("/api/v1/dossiers?size=1").json()["pages"] == 2


@pytest.mark.parametrize(
    "query", ["page=-1", "page=0", "size=1000000000", "sort=name;drop", "state=x", "q=" + "a" * 10_000, "other=1", "q=a&q=b"]
)
def test_catalogue_101_values_out_of_bounds_are_refused(house: House, query: str) -> None:
    guest = house.guest({"*": "view"})
    assert guest.get(f"/api/v1/dossiers?{query}").status_code == 422
    assert guest.get(f"/?{query}").status_code == 422


def test_the_living_part_is_sent_again_only_when_it_changed(three: Company, house: House) -> None:
    guest = house.guest({"*": "view"})
    first = guest.get("/interactions", headers={"x-live": "1"})
    assert "<html" not in first.text
    same = {"x-live": "1", "if-none-match": first.headers["etag"]}
    assert guest.get("/interactions", headers=same).status_code == 304
    three.log("998", ago(three, minutes=1))
    three.refresh("998", at=three.clock.now() + timedelta(minutes=1))
    assert guest.get("/interactions", headers=same).status_code == 200


def test_the_course_of_a_counter_is_that_of_its_history(three: Company, house: House) -> None:
    guest = house.guest({"998": "view"})
    for minute in range(1, 4):
        three.dataset("998", "INTERVENTION", "ERROR", three.clock.now())
        three.refresh("998", at=three.clock.now() + timedelta(minutes=minute))
    history = guest.get("/api/v1/dossiers/998/history").json()
    assert history["interventions_not_ok"] == [1, 2, 3, 4]
    assert "<polyline" in guest.get("/dossiers/998").text


@pytest.mark.parametrize("language", ["en", "es", "fr", "pt", "ru"])
def test_every_language_shows_every_page(three: Company, house: House, language: str) -> None:
    guest = house.guest({"*": "admin"}, language=language)
    for path in ("/", "/interactions", "/dossiers/998", "/me"):
        answer = guest.get(path)
        assert answer.status_code == 200
        assert f'<html lang="{language}"' in answer.text


def _only_reads(engine: sa.Engine, guest: Guest) -> bool:
    before = _written(engine)
    guest.get("/")
    return _written(engine) == before


def _written(engine: sa.Engine) -> int:
    """Return the number of the next transaction: it stays as long as nothing is written anywhere."""
    with engine.connect() as connection:
        return int(connection.scalar(sa.text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")) or 0)


def test_a_refresh_is_asked_for_in_the_tables_alone(three: Company, house: House) -> None:
    guest = house.guest({"998": "refresh", "001": "view"})
    answer = guest.call("/api/v1/refreshes", {"dossiers": ["998"]})
    assert answer.status_code == 202
    first = answer.json()["requests"][0]
    assert (first["state"], first["requested_by"]) == ("REQUESTED", guest.login)
    again = guest.call("/api/v1/refreshes", {}).json()["requests"]
    assert [one["request_id"] for one in again] == [first["request_id"]]
    assert guest.call("/api/v1/refreshes", {"dossiers": ["001"]}).status_code == 404
    assert three.count(schema.refresh_request) == 1
