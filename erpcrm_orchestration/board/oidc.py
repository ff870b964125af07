"""Signing in by an identity provider: to it, and back with a proof of who somebody is."""

from __future__ import annotations

import hmac
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import SIGN_INS_OF_AN_ADDRESS, Desk, TheDesk
from erpcrm_orchestration.board.door import address_of, local, opened
from erpcrm_orchestration.board.faults import Denied, Refused
from erpcrm_orchestration.board.settings import OidcSettings
from erpcrm_orchestration.clients.identity_provider import Attempt, IdentityProvider, IdentityRefused
from erpcrm_orchestration.services.sign_in import SignInRefused, Visit, refuse_sign_in, sign_in_as

pages = APIRouter(include_in_schema=False)

LASTS = timedelta(minutes=10)
"""So long somebody may be at the provider."""
LONGEST_TARGET = 1500
"""Characters of an address that fit into the cookie."""
SIGNED_WITH = "HS256"

Said = Annotated[str, Query(max_length=4000)]


@pages.get("/sign-in/oidc", name="oidc_begin")
def begin_page(request: Request, desk: TheDesk, target: Annotated[str, Query(alias="next", max_length=2000)] = "/") -> Response:
    """Send the browser to the provider, with a cookie by which its answer is known again."""
    settings = _settings(desk)
    desk.require_rate(SIGN_INS_OF_AN_ADDRESS, "sign-in", address_of(request))
    attempt = Attempt.begin()
    answer = RedirectResponse(_provider(desk, settings).address(attempt), 303)
    answer.set_cookie(
        _cookie(desk),
        _sealed(desk, settings, attempt, local(target)),
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        secure=desk.settings.is_secure,
        samesite="lax",
        path="/",
    )
    return answer


@pages.get("/sign-in/oidc/callback", name="oidc_callback")
def callback_page(request: Request, desk: TheDesk, state: Said = "", code: Said = "", error: Said = "") -> Response:
    """Begin the session of whom the provider sent back; 403 when it proves nothing, or nobody has an account for it."""
    settings = _settings(desk)
    desk.require_rate(SIGN_INS_OF_AN_ADDRESS, "sign-in", address_of(request))
    try:
        attempt, target = _opened_seal(desk, settings, request.cookies.get(_cookie(desk), ""), state)
        if not code:
            raise IdentityRefused("E-WEB-033", "identity provider", f"it says {error or 'nothing'!a:.60}", "sign in again")
        visit = _visit(request, desk, settings, code, attempt)
    except IdentityRefused as refusal:
        refuse_sign_in(desk.engine, "oidc", clock=desk.clock, address=address_of(request))
        raise Refused(403, refusal.code, refusal.where, refusal.found, refusal.remedy) from None
    answer = opened(desk, visit, local(target))
    answer.delete_cookie(_cookie(desk), httponly=True, secure=desk.settings.is_secure, samesite="lax")
    return answer


def _visit(request: Request, desk: Desk, settings: OidcSettings, code: str, attempt: Attempt) -> Visit:
    identity = _provider(desk, settings).identify(code, attempt, now=desk.clock.now())
    try:
        return sign_in_as(desk.engine, identity.subject, email=identity.email, clock=desk.clock, address=address_of(request))
    except SignInRefused:
        raise Refused(403, "E-WEB-032", "sign-in", "nobody here has this identity", "ask an administrator") from None


def _settings(desk: Desk) -> OidcSettings:
    if desk.settings.oidc is None:
        raise Denied
    return desk.settings.oidc


def _provider(desk: Desk, settings: OidcSettings) -> IdentityProvider:
    callback = f"{desk.settings.public_url}/sign-in/oidc/callback"
    return IdentityProvider(settings.issuer, settings.client_id, settings.client_secret, callback)


def _cookie(desk: Desk) -> str:
    return f"{desk.settings.cookie}-sign-in"


def _key(settings: OidcSettings) -> OctKey:
    """Return a key that every process of the board has, and that tells nothing about the secret it is made from."""
    return OctKey.import_key(hmac.digest(settings.client_secret.encode(), b"sign-in", "sha256"))


def _sealed(desk: Desk, settings: OidcSettings, attempt: Attempt, target: str) -> str:
    kept = target if target.isascii() and len(target) <= LONGEST_TARGET else "/"
    claims = {**asdict(attempt), "target": kept, "exp": int((desk.clock.now() + LASTS).timestamp())}
    return jwt.encode({"alg": SIGNED_WITH}, claims, _key(settings), [SIGNED_WITH])


def _opened_seal(desk: Desk, settings: OidcSettings, sealed: str, state: str) -> tuple[Attempt, str]:
    """Return what the cookie keeps; raise IdentityRefused E-WEB-030 when this browser did not ask, or too long ago."""
    rules = jwt.JWTClaimsRegistry(now=int(desk.clock.now().timestamp()), exp={"essential": True})
    try:
        claims = jwt.decode(sealed, _key(settings), [SIGNED_WITH]).claims
        rules.validate(claims)
    except (JoseError, ValueError):
        claims = {}
    if not hmac.compare_digest(str(claims.get("state", "")).encode(), state.encode() or b"-"):
        found = f"this browser did not begin it, or more than {LASTS // timedelta(minutes=1)} minutes ago"
        raise IdentityRefused("E-WEB-030", "sign-in", found, "sign in again")
    return Attempt(claims["state"], claims["nonce"], claims["verifier"]), claims["target"]
