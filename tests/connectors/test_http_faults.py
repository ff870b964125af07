"""What a system does wrong on the wire, and what becomes of it: F17 to F21, F42 and the catalogue of bad answers."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from erpcrm_orchestration.clients.http import AnswerLost, HttpSession, Limits, Request, retry_after
from erpcrm_orchestration.clients.http_watch import is_link_local
from erpcrm_orchestration.domain.errors import CredentialsRefused, PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.received import Span
from tests.connectors.flavours import CURSOR, NOW, StandStill, client_of
from tests.connectors.rest_system import (
    API_KEY,
    Fault,
    Reply,
    RestSystem,
    bomb,
    cut_by_close,
    cut_by_length,
    cut_chunked,
    drip,
    drip_head,
    lost,
    raw,
    silence,
    status,
)

LOGIN_PAGE = b"<!doctype html><html><form action=/login></form></html>"


def failure_of(system: RestSystem, *faults: Fault, time: StandStill | None = None, **of_connector: object) -> SourceError:
    """Return what reading the orders raises when the next requests end in these faults."""
    system.faults.extend(faults)
    with client_of(system, time=time, **of_connector) as client, pytest.raises(SourceError) as raised:
        list(client.pages(CURSOR, Span()))
    return raised.value


def ids(system: RestSystem, time: StandStill | None = None, **of_connector: object) -> list[str]:
    with client_of(system, time=time, **of_connector) as client:
        return [one.source_id for page in client.pages(CURSOR, Span()) for one in page.records]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_f18_a_status_that_passes_is_tried_three_times(rest: RestSystem, code: int) -> None:
    order, standing = rest.add("orders"), StandStill()
    rest.faults.extend([status(code), status(code)])
    assert ids(rest, standing) == [str(order)]
    assert standing.pauses[:2] == [pytest.approx(1.0), pytest.approx(2.0)]


def test_f18_five_failures_in_a_row_end_the_reading_after_three(rest: RestSystem) -> None:
    failure = failure_of(rest, *[status(503)] * 5)
    assert isinstance(failure, TransientFailure)
    assert str(failure).startswith("E-SRC-047 connection small-998: GET /orders: status 503")
    assert len(rest.seen) == 3


@pytest.mark.parametrize(
    ("code", "number"), [(400, "048"), (404, "048"), (409, "048"), (422, "048"), (301, "041"), (302, "041")]
)
def test_a_status_that_stays_is_not_tried_again(rest: RestSystem, code: int, number: str) -> None:
    failure = failure_of(rest, status(code))
    assert isinstance(failure, PermanentFailure)
    assert failure.code == f"E-SRC-{number}"
    assert len(rest.seen) == 1


@pytest.mark.parametrize("code", [401, 403])
def test_b29_refused_credentials_are_a_failure_of_their_own(rest: RestSystem, code: int) -> None:
    assert isinstance(failure_of(rest, status(code)), CredentialsRefused)
    assert len(rest.seen) == 1


@pytest.mark.parametrize(
    ("header", "wished"),
    [
        ("7", 7),
        ("0", 0),
        ("1000000000", 900),
        ("9" * 30, 900),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ],
)
def test_f17_the_wish_of_a_429_is_understood_and_capped(header: str | None, wished: int | None) -> None:
    assert retry_after(header, NOW) == wished


@pytest.mark.parametrize(("ahead", "wished"), [(60, 60), (-60, 0), (86_400, 900)])
def test_f17_a_date_as_wish_is_counted_from_the_clock_of_the_system(rest: RestSystem, ahead: int, wished: int) -> None:
    theirs = datetime(2031, 1, 1, tzinfo=UTC)
    named = {"Retry_After": format_datetime(theirs + timedelta(seconds=ahead), usegmt=True)}
    # The server sends its own Date too; the client's clock stands in 2026, and neither may be mixed with the other.
    assert retry_after(named["Retry_After"], theirs) == wished
    failure = failure_of(rest, *[status(429, **named)] * 3)
    assert isinstance(failure, TransientFailure)
    assert failure.retry_after_s == 900


def test_f17_a_short_wish_is_waited_for_and_a_long_one_left_to_the_queue(rest: RestSystem) -> None:
    rest.add("orders")
    rest.faults.append(status(429, Retry_After="7"))
    standing = StandStill()
    assert len(ids(rest, standing)) == 1
    assert 7 in standing.pauses
    failure = failure_of(rest, status(429, Retry_After="120"))
    assert isinstance(failure, TransientFailure)
    assert failure.retry_after_s == 120
    assert len(rest.seen) == 3


@pytest.mark.parametrize("fault", [drip, drip_head, silence])
def test_f19_an_answer_that_does_not_end_is_ended_in_time(rest: RestSystem, fault: Fault) -> None:
    url = rest.url + "/orders"
    rest.faults.append(fault)
    began = time.monotonic()
    with HttpSession(url, "connection x", limits=Limits(0.3)) as session, pytest.raises(AnswerLost, match="E-SRC-045"):
        session.send(Request("GET", ""))
    assert time.monotonic() - began < 3


def test_f19_nobody_there_is_no_doubt(rest: RestSystem) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with HttpSession(url, "connection x") as session, pytest.raises(TransientFailure, match="E-SRC-044") as raised:
            session.send(Request("POST", "/orders", body=b"{}"))
    assert not isinstance(raised.value, AnswerLost)


def test_a_credential_that_cannot_stand_in_a_header_is_refused_without_showing_it(rest: RestSystem) -> None:
    with client_of(rest, key="canary\r\nX-Other: 1") as client, pytest.raises(PermanentFailure, match="E-SRC-051") as raised:
        list(client.pages(CURSOR, Span()))
    assert "canary" not in str(raised.value)
    assert rest.seen == []


def test_f19_a_host_without_address_is_no_connection() -> None:
    with HttpSession("http://nobody.invalid", "connection x") as session, pytest.raises(TransientFailure, match="E-SRC-044"):
        session.send(Request("GET", "/orders"))


@pytest.mark.parametrize("fault", [cut_by_length, cut_chunked, cut_by_close, lost])
def test_f20_a_cut_answer_is_tried_again_and_nothing_of_it_kept(rest: RestSystem, fault: Fault) -> None:
    added = [str(rest.add("orders")) for _ in range(2)]
    rest.faults.extend([fault, fault])
    assert ids(rest) == added
    assert failure_of(rest, *[fault] * 3).code == "E-SRC-046"


def test_f21_catalogue_24_a_login_page_is_told_as_such(rest: RestSystem) -> None:
    failure = failure_of(rest, raw(LOGIN_PAGE, "text/html; charset=utf-8"))
    assert isinstance(failure, PermanentFailure)
    assert str(failure).startswith("E-SRC-040 connection small-998: GET /orders: text/html instead of JSON")


def test_f21_a_login_page_that_says_it_is_json_is_refused(rest: RestSystem) -> None:
    assert isinstance(failure_of(rest, raw(LOGIN_PAGE)), PermanentFailure)


def test_f21_an_empty_body_is_tried_again(rest: RestSystem) -> None:
    rest.add("orders")
    rest.faults.append(raw(b""))
    assert len(ids(rest)) == 1


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/hal+json", "text/json"])
def test_every_kind_of_json_is_read(rest: RestSystem, kind: str) -> None:
    rest.faults.append(raw(b"[]", kind))
    assert ids(rest) == []


def test_f42_catalogue_12_a_small_answer_that_unpacks_to_much_is_ended(rest: RestSystem) -> None:
    failure = failure_of(rest, bomb, max_answer_mb=2)
    assert isinstance(failure, PermanentFailure)
    assert str(failure).startswith("E-SRC-012 connection small-998: GET /orders: an answer of more than 2 MB")


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf[{"id": 1}]', '[{"id": 1}]'.encode("utf-16"), '[{"id": 1}]'.encode("utf-16-le")]
)
def test_catalogue_9_and_10_only_utf_8_without_mark_is_read(rest: RestSystem, body: bytes) -> None:
    assert failure_of(rest, raw(body)).code in {"E-SRC-009", "E-SRC-010"}


@pytest.mark.parametrize("body", [b'"text"', b"null", b"12", b'{"id": 1}', b"true", b'{"orders": []}'])
def test_catalogue_14_and_15_anything_but_a_list_is_refused(rest: RestSystem, body: bytes) -> None:
    failure = failure_of(rest, raw(body))
    assert isinstance(failure, PermanentFailure)
    assert failure.code == "E-SRC-015"


def test_catalogue_13_more_records_than_allowed_are_refused(rest: RestSystem) -> None:
    body = b"[" + b",".join(b'{"id": %d}' % number for number in range(11)) + b"]"
    assert failure_of(rest, raw(body), max_records_per_page=10).code == "E-SRC-013"


def test_catalogue_25_no_redirect_is_followed_and_no_key_sent_along(rest: RestSystem) -> None:
    with RestSystem() as other:
        failure = failure_of(rest, status(302, Location=f"{other.url}/orders"))
        assert failure.code == "E-SRC-041"
        assert other.seen == []


@pytest.mark.parametrize(
    "address",
    [
        "http://other.example/api/orders",
        "https://127.0.0.1/api/orders",
        "http://127.0.0.1:1/api/orders",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "//other.example/x",
        "http://127.0.0.1@other.example/",
        "http://user:word@127.0.0.1/",
        "http://127.0.0.1\\@other.example/",
        "gopher://127.0.0.1/",
        "http://[::1",
        "http://127.0.0.1:99999999/",
    ],
)
def test_catalogue_26_a_link_to_anywhere_else_is_refused(rest: RestSystem, address: str) -> None:
    with HttpSession(rest.url, "connection x") as session, pytest.raises(PermanentFailure, match="E-SRC-042"):
        session.address(address, seen_at=f"{rest.url}/orders")
    assert rest.seen == []


@pytest.mark.parametrize(
    ("link", "path"),
    [("?page=2", "/api/orders?page=2"), ("/api/x", "/api/x"), ("items/1", "/api/items/1"), ("", "/api/orders")],
)
def test_a_link_within_the_system_is_followed_as_a_browser_would(rest: RestSystem, link: str, path: str) -> None:
    with HttpSession(rest.url, "connection x") as session:
        assert session.address(link, seen_at=f"{rest.url}/orders").endswith(path)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/x", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "ftp://x/", "https://", "shop", ""],
)
def test_an_url_that_is_no_plain_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(PermanentFailure, match=r"E-SRC-(042|051)"):
        HttpSession(url, "connection x")


def test_a_link_local_address_is_known_in_every_form() -> None:
    assert is_link_local("169.254.1.1")
    assert is_link_local("[fe80::1%eth0]")
    assert not is_link_local("10.0.0.1")
    assert not is_link_local("shop.example")


def test_p8_no_failure_shows_a_credential_or_the_query(rest: RestSystem) -> None:
    said = raw(b'{"message": "key ' + API_KEY.encode() + b' is unknown"}', code=400)
    for fault in (said, status(500), lost, raw(LOGIN_PAGE, "text/html"), cut_by_length):
        failure = failure_of(rest, *[fault] * 3)
        rest.faults.clear()
        shown = "".join(traceback.format_exception(failure))
        assert API_KEY not in shown
        assert "?" not in str(failure)
        assert "\n" not in str(failure)


def test_what_the_system_says_about_a_refusal_is_passed_on(rest: RestSystem) -> None:
    failure = failure_of(rest, raw(b'{"code": "bad", "message": "Invalid parameter: page"}', code=400))
    assert "status 400 ('Invalid parameter: page')" in str(failure)


def test_requests_keep_the_pace_that_the_connector_allows(rest: RestSystem) -> None:
    for _ in range(10):
        rest.add("orders")
    standing = StandStill()
    ids(rest, standing, requests_per_s=4.0)
    assert len(rest.seen) == 4
    assert sum(standing.pauses) == pytest.approx(0.75)


def test_proxies_and_netrc_of_the_environment_are_not_used(rest: RestSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert ids(rest) == []


def test_the_clock_of_the_system_is_its_date_header(rest: RestSystem) -> None:
    rest.routes["GET /api/orders"] = lambda _: Reply(raw=b"[]")
    with client_of(rest) as client:
        (page,) = client.pages(CURSOR, Span())
    assert page.clock is not None
    assert abs(page.clock - datetime.now(UTC)) < timedelta(minutes=1)
    assert page.requests == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    file = tmp_path / "own.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", file, "-out", tmp_path / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes(file.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return file


def test_a_certificate_is_verified_always_and_an_own_authority_can_be_named(certificate: Path) -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            """Nothing is written to the terminal."""

    class Quiet(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that refuses the certificate is what the test is about."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Quiet(("127.0.0.1", 0), Hello) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"https://127.0.0.1:{server.server_address[1]}"
        with HttpSession(url, "connection x") as session, pytest.raises(PermanentFailure, match="E-SRC-058"):
            session.send(Request("GET", "/"))
        with HttpSession(url, "connection x", ca_file=str(certificate)) as session:
            assert session.send(Request("GET", "/")).body == b"[]"
        server.shutdown()
        thread.join()
