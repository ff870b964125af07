"""Signing in by an identity provider: a real one on loopback, which also does what a wrong or hostile one would."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from erpcrm_orchestration.board.settings import OidcSettings, settings_from
from erpcrm_orchestration.cli.up import running
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.sign_in import accept, invitation_token, sign_in
from erpcrm_orchestration.store import board_schema
from erpcrm_orchestration.store import person as people
from erpcrm_orchestration.store.schema import change
from tests.board_house import House, running_board, text_of
from tests.company import Company

CLIENT, SECRET = "board", "a-secret-of-the-board"
KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
OTHER_KEY = RSAKey.generate_key(2048, {"kid": KEY.kid})


@dataclass
class Provider:
    """An OpenID provider at which somebody is signed in; `claims` changes its tokens, `sign` how they are signed."""

    issuer: str
    clock: FixedClock
    claims: dict[str, Any] = field(default_factory=lambda: {"email": "ann@example.com", "email_verified": True})
    sign: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode({"alg": "RS256", "kid": KEY.kid}, claims, KEY)
    metadata: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def discovery(self, _request: Request) -> Response:
        """Tell the addresses."""
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        return answer(found | self.metadata)

    def jwks(self, _request: Request) -> Response:
        """Tell the public key."""
        return answer(dict(KeySet([KEY]).as_dict(private=False)))

    def authorize(self, request: Request) -> Response:
        """Send the browser back with a code."""
        asked = {name: values[0] for name, values in parse_qs(request.query_string.decode()).items()}
        self.asked.append(asked)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return Response(status=302, headers={"location": back(asked["redirect_uri"], code=code, state=asked["state"])})

    def token(self, request: Request) -> Response:
        """Give a token for a code, once, to the board alone, with the verifier of the challenge."""
        login = request.authorization
        asked = self.codes.pop(request.form["code"], None)
        if login is None or (login.username, login.password) != (CLIENT, SECRET):
            return answer({"error": "invalid_client"}, 401)
        verifier = hashlib.sha256(request.form["code_verifier"].encode()).digest()
        if asked is None or base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != asked["code_challenge"]:
            return answer({"error": "invalid_grant"}, 400)
        now = int(self.clock.now().timestamp())
        claims = {"iss": self.issuer, "sub": "4711", "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        token = self.sign({name: value for name, value in (claims | self.claims).items() if value is not None})
        return answer({"access_token": "unused", "token_type": "Bearer", "expires_in": 300, "id_token": token})


def answer(content: dict[str, Any], status: int = 200) -> Response:
    """Return JSON."""
    return Response(json.dumps(content), status, content_type="application/json")


def back(address: str, **query: str) -> str:
    """Return an address with its parameters."""
    return f"{address}?{urlencode(query)}"


@pytest.fixture
def provider(httpserver: HTTPServer, clock: FixedClock) -> Provider:
    """The provider, listening."""
    made = Provider(httpserver.url_for("").rstrip("/"), clock)
    httpserver.expect_request("/.well-known/openid-configuration").respond_with_handler(made.discovery)
    for path, handler in (("/jwks", made.jwks), ("/authorize", made.authorize), ("/token", made.token)):
        httpserver.expect_request(path).respond_with_handler(handler)
    return made


@pytest.fixture
def house(engine: sa.Engine, clock: FixedClock, provider: Provider) -> Iterator[House]:
    """The board that knows this provider."""
    with running_board(engine, clock, oidc=OidcSettings(provider.issuer, CLIENT, SECRET, "Example")) as running:
        yield running


def invite(company: Company, login: str = "ann", **columns: object) -> int:
    """Add somebody who cannot sign in yet; return the number."""
    values = {"login": login, "display_name": login, "email": "Ann@Example.com", **columns}
    with company.engine.begin() as connection:
        return people.add_person(connection, now=company.clock.now(), **values)


def subjects(company: Company) -> list[str | None]:
    """Return the identity of every person."""
    return [row.oidc_subject for row in company.rows(board_schema.person)]


def failures(company: Company) -> list[str]:
    """Return by whom a sign-in failed."""
    events = company.rows(board_schema.event)
    return [row.actor for row in events if (row.action, row.outcome) == ("sign_in", "failed")]


def begin(house: House, client: httpx.Client, target: str = "/") -> str:
    """Go to the provider as a browser would; return the address at which it sends back."""
    there = client.get(back(f"{house.url}/sign-in/oidc", next=target))
    assert there.status_code == 303
    return client.get(there.headers["location"]).headers["location"]


def come_back(house: House, client: httpx.Client | None = None) -> httpx.Response:
    """Go to the provider and back."""
    client = client or house.client()
    return client.get(begin(house, client))


def refused(found: httpx.Response, code: str, status: int = 403) -> bool:
    """True when nobody was let in, for this reason, in one line."""
    assert "erpcrm" not in {cookie.name for cookie in found.cookies.jar}
    return found.status_code == status and code in text_of(found)


def test_an_invited_person_is_linked_at_the_first_sign_in_and_known_again_by_the_subject(
    company: Company, house: House, provider: Provider
) -> None:
    invite(company)
    client = house.client()
    found = client.get(begin(house, client, "/records?dossier=998"))
    assert (found.status_code, found.headers["location"]) == (303, "/records?dossier=998")
    assert client.get(f"{house.url}/api/v1/me").json()["login"] == "ann"
    assert subjects(company) == [f"{provider.issuer} 4711"]
    assert [(row.action, row.actor) for row in company.rows(change)] == [("link", "ann")]
    provider.claims = {"email": "somebody.else@example.com", "email_verified": False}
    assert come_back(house).status_code == 303
    assert failures(company) == []


def test_the_provider_is_asked_with_state_nonce_and_the_challenge_of_a_verifier(house: House, provider: Provider) -> None:
    for _ in range(2):
        begin(house, house.client())
    cookie = house.client().get(f"{house.url}/sign-in/oidc").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Max-Age=600", "Path=/"} <= set(cookie.split("; "))
    assert "domain" not in cookie.lower()
    first, second = provider.asked
    assert first["redirect_uri"] == f"{house.url}/sign-in/oidc/callback"
    assert (first["response_type"], first["code_challenge_method"], first["client_id"]) == ("code", "S256", CLIENT)
    assert "openid" in first["scope"].split()
    secret = ("state", "nonce", "code_challenge")
    assert all(len(first[name]) >= 43 and first[name] != second[name] for name in secret)


def test_a_stranger_is_refused_noted_and_never_created(company: Company, house: House) -> None:
    assert refused(come_back(house), "E-WEB-032")
    assert failures(company) == ["ann@example.com"]
    assert company.rows(board_schema.person) == []
    assert company.rows(board_schema.session) == []


def test_an_address_that_is_not_verified_links_nobody(company: Company, house: House, provider: Provider) -> None:
    invite(company)
    for verified in (False, None, "false", 0):
        provider.claims["email_verified"] = verified
        assert refused(come_back(house), "E-WEB-032"), verified
    assert subjects(company) == [None]


def test_an_address_of_two_accounts_links_nobody(company: Company, house: House) -> None:
    invite(company)
    invite(company, "ann@example.com", email=None)
    assert refused(come_back(house), "E-WEB-032")
    assert subjects(company) == [None, None]


def test_an_identity_does_not_take_over_the_account_of_another_one(company: Company, house: House) -> None:
    invite(company, oidc_subject="https://login.example.com 1")
    assert refused(come_back(house), "E-WEB-032")
    assert subjects(company) == ["https://login.example.com 1"]


def test_a_closed_account_is_refused_linked_or_not(company: Company, house: House) -> None:
    number = invite(company, active=False)
    assert refused(come_back(house), "E-WEB-032")
    assert subjects(company) == [None]
    for active, expected in ((True, 303), (False, 403)):
        with company.engine.begin() as connection:
            people.change_person(connection, number, now=company.clock.now(), active=active)
        assert come_back(house).status_code == expected


FOREIGN: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": None},
    {"aud": "another-client"},
    {"aud": [CLIENT, "another-client"]},
    {"azp": "another-client"},
    {"iss": "https://another.example.com"},
    {"exp": 1_700_000_000},
    {"exp": None},
    {"iat": 4_000_000_000},
    {"sub": None},
]


def test_a_token_for_another_sign_in_client_issuer_or_time_is_refused(
    company: Company, house: House, provider: Provider
) -> None:
    invite(company)
    for claims in FOREIGN:
        provider.claims = {"email": "ann@example.com", "email_verified": True, **claims}
        assert refused(come_back(house), "E-WEB-031"), claims
    assert failures(company) == ["oidc"] * len(FOREIGN)


def unsigned(claims: dict[str, Any]) -> str:
    """Return a token with `alg: none`."""
    parts = [json.dumps({"alg": "none", "typ": "JWT"}).encode(), json.dumps(claims).encode()]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def signed_by_another(claims: dict[str, Any]) -> str:
    """Return a token that names the provider's key and is signed by another one."""
    return jwt.encode({"alg": "RS256", "kid": KEY.kid}, claims, OTHER_KEY)


def signed_with_the_public_key(claims: dict[str, Any]) -> str:
    """Return a token whose shared secret is what everybody can read at the provider."""
    head = {"alg": "HS256", "kid": KEY.kid}
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (head, claims)]
    digest = hashlib.sha256(KEY.as_pem(private=False) + b".".join(parts)).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=")]).decode()


def test_a_token_that_the_provider_has_not_signed_is_refused(company: Company, house: House, provider: Provider) -> None:
    invite(company)
    for sign in (unsigned, signed_by_another, signed_with_the_public_key, lambda _: "", lambda _: "a.b.c"):
        provider.sign = sign
        assert refused(come_back(house), "E-WEB-031"), sign


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(company: Company, house: House) -> None:
    invite(company)
    mine, other = house.client(), house.client()
    forged = begin(house, other)
    assert refused(mine.get(forged), "E-WEB-030")
    begin(house, mine)
    assert refused(mine.get(forged), "E-WEB-030")
    for query in ({}, {"code": "x"}, {"state": "", "code": "x"}):
        assert refused(mine.get(back(f"{house.url}/sign-in/oidc/callback", **query)), "E-WEB-030")
    assert set(failures(company)) == {"oidc"}


def test_an_attempt_is_over_after_ten_minutes(company: Company, house: House) -> None:
    invite(company)
    client = house.client()
    address = begin(house, client)
    company.clock.at += timedelta(minutes=11)
    assert refused(client.get(address), "E-WEB-030")


def test_code_and_state_serve_once(company: Company, house: House) -> None:
    invite(company)
    client = house.client()
    address = begin(house, client)
    kept = client.cookies["erpcrm-sign-in"]
    assert client.get(address).status_code == 303
    assert "erpcrm-sign-in" not in client.cookies
    again = house.client()
    assert refused(again.get(address), "E-WEB-030")
    again.cookies.set("erpcrm-sign-in", kept, domain="127.0.0.1")
    assert refused(again.get(address), "E-WEB-031")


def test_what_the_provider_refuses_is_told_in_one_line(house: House, provider: Provider) -> None:
    client = house.client()
    begin(house, client)
    said = {"state": provider.asked[0]["state"], "error": "access_denied\r\nX: y"}
    assert refused(client.get(back(f"{house.url}/sign-in/oidc/callback", **said)), "E-WEB-033")


def test_a_provider_that_says_it_is_another_or_is_unprotected_is_not_used(house: House, provider: Provider) -> None:
    for said in ({"issuer": "https://another.example.com"}, {"token_endpoint": "http://example.com/token"}, {"jwks_uri": None}):
        provider.metadata = said
        assert refused(house.client().get(f"{house.url}/sign-in/oidc"), "E-WEB-034", 502), said


def test_while_the_provider_is_away_passwords_go_on(engine: sa.Engine, company: Company) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    oidc = OidcSettings(f"http://127.0.0.1:{port}", CLIENT, SECRET, "Example")
    with running_board(engine, company.clock, oidc=oidc) as house:
        assert refused(house.client().get(f"{house.url}/sign-in/oidc"), "E-WEB-034", 502)
        page = house.client().get(f"{house.url}/sign-in")
        assert page.status_code == 200
        assert 'type="password"' in page.text
        assert house.guest({"*": "view"}).get("/").status_code == 200


def test_a_wrong_secret_is_a_fault_of_the_installation_not_of_the_person(
    engine: sa.Engine, company: Company, provider: Provider
) -> None:
    with running_board(engine, company.clock, oidc=OidcSettings(provider.issuer, CLIENT, "another", "Example")) as house:
        assert refused(come_back(house), "E-WEB-034", 502)


def test_the_sign_in_page_offers_the_provider_by_its_name_only_where_there_is_one(
    engine: sa.Engine, company: Company, house: House
) -> None:
    page = house.client().get(f"{house.url}/sign-in?next=/records")
    assert "Sign in with Example" in text_of(page)
    assert 'href="/sign-in/oidc?next=/records"' in page.text
    with running_board(engine, company.clock) as without:
        assert "Sign in with" not in text_of(without.client().get(f"{without.url}/sign-in"))
        assert without.client().get(f"{without.url}/sign-in/oidc").status_code == 404
        assert without.client().get(f"{without.url}/sign-in/oidc/callback").status_code == 404


def test_settings_of_the_provider_are_whole_and_protected_or_refused_at_the_start() -> None:
    whole = {
        "ERPCRM_OIDC_ISSUER": "https://login.example.com/tenant",
        "ERPCRM_OIDC_CLIENT_ID": CLIENT,
        "ERPCRM_OIDC_CLIENT_SECRET": SECRET,
    }
    made = settings_from(whole, default_url="http://127.0.0.1:1").oidc
    assert made is not None
    assert made.name == "login.example.com"
    assert SECRET not in repr(made)
    assert settings_from({}, default_url="http://127.0.0.1:1").oidc is None
    for name in whole:
        with pytest.raises(InputError, match=f"E-WEB-003 {name}"):
            settings_from(whole | {name: ""}, default_url="http://127.0.0.1:1")
    for issuer in ("http://login.example.com", "login.example.com", "https://[", "ftp://127.0.0.1"):
        with pytest.raises(InputError, match="E-WEB-004"):
            settings_from(whole | {"ERPCRM_OIDC_ISSUER": issuer}, default_url="http://127.0.0.1:1")


def test_a_deployment_does_not_start_with_half_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERPCRM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ERPCRM_OIDC_ISSUER", "https://login.example.com")
    with pytest.raises(InputError, match="E-WEB-003"), running(0, say=print):
        pass
    assert not (tmp_path / "home").exists()


def test_who_has_a_password_comes_in_by_an_identity_too(company: Company, house: House) -> None:
    number = invite(company)
    with company.engine.begin() as connection:
        token = invitation_token(connection, number, clock=company.clock)
    accept(company.engine, token, "correct horse battery", login=None, clock=company.clock, address=None)
    assert come_back(house).status_code == 303
    assert sign_in(company.engine, "ann", "correct horse battery", clock=company.clock, address=None).person.login == "ann"
