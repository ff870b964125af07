"""What stands before every route: hosts, origins, tokens, sizes, odd addresses; and the headers of every answer."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.board.guard import csrf_token
from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.services.ledger import take_refresh_requests
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.migrate import migrate
from tests.board_house import House, running_board, text_of
from tests.company import Company


def raw(house: House, request: bytes) -> bytes:
    """Return what the server answers to these very bytes."""
    host, _, port = house.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


def ask(house: House, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> int:
    """Return the status of a request whose headers are these."""
    connection = http.client.HTTPConnection(house.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def test_every_answer_has_the_headers_that_keep_a_browser_safe(house: House) -> None:
    guest = house.guest({"*": "admin"})
    for path in ("/", "/api/v1/me", "/sign-in", "/nowhere", "/static/board.css", "/healthz"):
        headers = guest.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert "server" not in headers
    assert "no-store" in guest.get("/").headers["cache-control"]
    assert "immutable" in guest.get("/static/board.css").headers["cache-control"]


def test_no_page_has_inline_code_or_style_or_an_address_elsewhere(company: Company, house: House) -> None:
    company.dossier("998")
    company.refresh("998")
    guest = house.guest({"*": "admin"})
    for path in ("/", "/interactions", "/dossiers/998", "/records", "/alerts", "/settings/dossiers/998", "/people", "/me"):
        page = guest.get(path).text
        assert " style=" not in page
        assert "<style" not in page
        assert " onclick=" not in page
        assert page.count("<script") == page.count("<script src=") == 1
        assert "https://" not in page.replace("https://board", "")


def test_catalogue_100_a_dossier_twice_or_of_others_reads_like_an_unknown_one(company: Company, house: House) -> None:
    for code in ("001", "998"):
        company.dossier(code)
    guest = house.guest({"998": "view"})
    answers = [
        guest.get(f"/api/v1/records?{query}")
        for query in ("dossier=998&dossier=001", "dossier=001", "dossier=nope", "dossier=998&dossier=998")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert guest.get("/api/v1/records?dossier[]=998").status_code == 422


def test_catalogue_102_what_changes_something_needs_method_origin_token_and_type(company: Company, house: House) -> None:
    company.dossier("998")
    guest = house.guest({"998": "operate"})
    cookie, token = f"erpcrm={guest.token}", csrf_token(guest.token)
    form = {"cookie": cookie, "origin": house.url, "content-type": "application/x-www-form-urlencoded"}
    good = f"csrf={token}&dossier=998".encode()
    assert ask(house, "POST", "/refresh", form, good) == 303
    assert ask(house, "GET", "/refresh", form) == 405
    refused = {
        "no token": (form, b"dossier=998"),
        "a token of another session": (form, f"csrf={csrf_token('other')}&dossier=998".encode()),
        "another origin": ({**form, "origin": "https://evil.example"}, good),
        "no origin": ({name: value for name, value in form.items() if name != "origin"}, good),
        "another site": ({**form, "sec-fetch-site": "cross-site"}, good),
        "null origin": ({**form, "origin": "null"}, good),
    }
    for what, (headers, body) in refused.items():
        assert ask(house, "POST", "/refresh", headers, body) == 403, what
    for kind in ("text/plain", "application/json", ""):
        assert ask(house, "POST", "/refresh", {**form, "content-type": kind}, good) == 415
    api = {"cookie": cookie, "origin": house.url, "x-csrf-token": token}
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert ask(house, "POST", "/api/v1/refreshes", {**api, "content-type": kind}, b"{}") == 415
    api["content-type"] = "application/json"
    assert ask(house, "POST", "/api/v1/refreshes", {**api, "x-csrf-token": "x"}, b"{}") == 403
    assert ask(house, "POST", "/api/v1/refreshes", api, b"{}") == 202
    assert ask(house, "POST", "/api/v1/refreshes", api, b"[" * 100_000) in {400, 422}


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: {host}", 400),
        ("GET /static/%2e%2e/app.py HTTP/1.1\r\nHost: {host}", 400),
        ("GET /records/a%00b/1 HTTP/1.1\r\nHost: {host}", 400),
        ("GET /records/%ff%fe/1 HTTP/1.1\r\nHost: {host}", 400),
        ("GET / HTTP/1.1\r\nHost: evil.example", 400),
        ("GET / HTTP/1.1\r\nX-Nothing: 1", 400),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX-Long: {long}", 431),
        ("POST /sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999", 413),
        ("POST /sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: many", 400),
    ],
)
def test_catalogue_103_odd_addresses_hosts_and_sizes_are_refused(house: House, line: str, status: int) -> None:
    host = house.url.removeprefix("http://")
    request = line.format(host=host, long="x" * 64_000) + "\r\nConnection: close\r\n\r\n"
    answer = raw(house, request.encode())
    assert answer.split()[1] in {str(status).encode(), b"400"}


def test_a_body_that_is_longer_than_it_says_is_cut(house: House) -> None:
    host = house.url.removeprefix("http://")
    guest = house.guest({"*": "admin"})
    head = f"POST /me HTTP/1.1\r\nHost: {host}\r\nOrigin: {house.url}\r\nCookie: erpcrm={guest.token}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunk = b"186A0\r\n" + b"a" * 100_000 + b"\r\n"
    answer = raw(house, head.encode() + chunk * 12 + b"0\r\n\r\n")
    assert answer.split()[1] in {b"400", b"413"}


def test_an_error_of_ours_is_a_number_and_nothing_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = house.guest({"*": "admin"})

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the machine")

    monkeypatch.setattr("erpcrm_orchestration.board.dossiers.read_page", broken)
    answer = guest.get("/api/v1/dossiers")
    assert answer.status_code == 500
    assert "E-WEB-500" in answer.text
    assert "secret" not in answer.text
    assert "Traceback" not in guest.get("/").text


def test_F41_fifty_people_who_refresh_twenty_times_at_once_get_one_run_each_round(company: Company, house: House) -> None:
    company.dossier("998")
    guests = [house.guest({"998": "refresh"}) for _ in range(50)]
    for _ in range(20):
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda guest: guest.call("/api/v1/refreshes", {"dossiers": ["998"]}), guests))
        assert {answer.status_code for answer in answers} == {202}
        assert len({one["request_id"] for answer in answers for one in answer.json()["requests"]}) == 1
        taken = take_refresh_requests(company.engine)
        assert taken is not None
        assert taken.dossier_codes == ("998",)
        assert take_refresh_requests(company.engine) is None
        company.refresh("998")
    assert company.count(schema.refresh_request) == 20


def test_refreshes_of_one_person_are_limited(company: Company, house: House) -> None:
    company.dossier("998")
    guest = house.guest({"998": "refresh"})
    statuses = [guest.call("/api/v1/refreshes", {}).status_code for _ in range(31)]
    assert statuses == [202] * 30 + [429]


def test_F41_an_unknown_dossier_is_created_by_who_may_and_refreshed(company: Company, house: House) -> None:
    company.mail_group("anna@example.com")
    company.template("FORM.dossier_code", "FORM.TOUT")
    form = {"dossier": "777", "crm_project_code": "CRM-777"}
    assert house.guest({"998": "admin", "*": "operate"}).post("/dossiers", form).status_code == 404
    assert company.count(schema.dossier) == 0
    owner = house.guest({"777": "admin"})
    assert owner.post("/dossiers", {**form, "dossier": "7 7"}).status_code == 422
    assert owner.post("/dossiers", form).status_code == 303
    assert take_refresh_requests(company.engine) is not None
    company.refresh("777")
    assert owner.get("/api/v1/dossiers/777").json()["crm_project_code"] == "CRM-777"


def test_F13_while_the_database_is_away_a_page_says_so_and_the_board_comes_back_by_itself(
    tmp_path_factory: pytest.TempPathFactory, clock: FixedClock
) -> None:
    server = EmbeddedServer(tmp_path_factory.mktemp("pg-away") / "data", durable=False)
    server.start()
    try:
        engine = create_engine(server.url("postgres"))
        migrate(engine, now=clock.now())
        with running_board(engine, clock) as house:
            guest = house.guest({"*": "admin"})
            assert guest.get("/").status_code == 200
            server.stop("immediate")
            away, api = guest.get("/"), guest.get("/api/v1/dossiers")
            assert (away.status_code, api.status_code) == (503, 503)
            assert "The database is away" in text_of(away)
            assert api.json()["errors"][0].startswith("E-DB-001")
            assert "Traceback" not in away.text
            assert guest.get("/healthz").status_code == 503
            server.start()
            assert guest.get("/").status_code == 200
            assert guest.get("/healthz").status_code == 200
        engine.dispose()
    finally:
        server.stop("immediate")


def test_dagster_that_is_away_takes_nothing_of_the_board_with_it(engine: sa.Engine) -> None:
    nobody = socket.create_server(("127.0.0.1", 0))
    port = nobody.getsockname()[1]
    nobody.close()
    address = f"http://127.0.0.1:{port}"
    with running_board(engine, SystemClock(), dagster_url=address, dagster_read_url=address) as house:
        guest = house.guest({"*": "admin"})
        answer = guest.get("/dagster/")
        assert answer.status_code == 502
        assert "E-WEB-502" in text_of(answer)
        assert guest.get("/").status_code == 200
        assert "Nothing is refreshed at the moment" in text_of(guest.get("/"))
        assert house.guest({"998": "admin"}).get("/dagster/").status_code == 404
