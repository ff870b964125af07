"""An OpenID Connect provider: where people are sent to sign in, and who comes back.

Authorization code flow with PKCE (S256). The provider's addresses and keys are read anew at each sign-in: a key that was
changed there is no old one here. No redirect is followed, no proxy of the environment is used, certificates are verified.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from erpcrm_orchestration.domain.errors import ErpcrmError, SourceError

SIGNATURES = JWSRegistry(
    algorithms=["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"], strict_check_header=False
)
"""Signatures with a key that the provider alone has: neither `none` nor those with a shared secret."""
KEY_TYPES = frozenset({"RSA", "EC"})
LEEWAY_S = 60
"""So much the provider's clock may differ from ours."""
TIMEOUTS_S = (5, 10)
"""For the connection, and for silence after it."""
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
WHERE = "identity provider"


class IdentityRefused(ErpcrmError):
    """What came back from the provider does not prove who somebody is."""


@dataclass(frozen=True)
class Attempt:
    """Secrets of one sign-in: they bind the provider's answer to the browser that asked for it."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> Attempt:
        """Return new ones, of 256 bits each."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32))


@dataclass(frozen=True)
class Identity:
    """`subject` is issuer and subject, with a space between; `email` an address that the provider has verified, else None."""

    subject: str
    email: str | None


@dataclass(frozen=True)
class IdentityProvider:
    """One provider, as it knows this board: `client_id`, `client_secret` and the address to which people come back."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str

    def address(self, attempt: Attempt) -> str:
        """Return where the browser is sent; raise SourceError E-WEB-034 when the provider is away."""
        with self._session() as session:
            endpoint = self._metadata(session)["authorization_endpoint"]
            where, _ = session.create_authorization_url(
                endpoint, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
            )
            return str(where)

    def identify(self, code: str, attempt: Attempt, *, now: datetime) -> Identity:
        """Return who came back with this code.

        Raises IdentityRefused E-WEB-031 for a code or token that will not do, SourceError E-WEB-034 when the provider is away.
        """
        with self._session() as session:
            metadata = self._metadata(session)
            token = self._token(session, metadata["token_endpoint"], code, attempt)
            keys = self._read(session, metadata["jwks_uri"])
        claims = self._claims(token, keys, attempt, now)
        verified = claims.get("email_verified") in (True, "true")
        return Identity(f"{self.issuer} {claims['sub']}", str(claims.get("email") or "") or None if verified else None)

    def _session(self) -> OAuth2Session:
        session = OAuth2Session(
            self.client_id,
            self.client_secret,
            scope="openid email profile",
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            default_timeout=TIMEOUTS_S,
        )
        session.trust_env = False
        session.max_redirects = 0
        return session

    def _metadata(self, session: OAuth2Session) -> Mapping[str, Any]:
        found = self._read(session, f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise _away("it says that it is another issuer", "correct ERPCRM_OIDC_ISSUER, to the last slash")
        if not all(is_protected(str(found.get(name, ""))) for name in ENDPOINTS):
            raise _away("an address of it is missing or not https", "correct the provider")
        return found

    def _read(self, session: OAuth2Session, address: str) -> Mapping[str, Any]:
        try:
            answer = session.get(address, withhold_token=True)
            found = answer.json() if answer.status_code == requests.codes.ok else None
        except (requests.RequestException, ValueError) as error:
            raise _away(f"it does not answer ({type(error).__name__})") from None
        if not isinstance(found, dict):
            raise _away(f"its answer, status {answer.status_code}, cannot be used")
        return found

    def _token(self, session: OAuth2Session, endpoint: str, code: str, attempt: Attempt) -> str:
        try:
            answer = session.fetch_token(endpoint, code=code, code_verifier=attempt.verifier)
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise _refused("its code was used or is too old") from None
            raise _away(f"it refuses the board: {error.error}", "correct ERPCRM_OIDC_CLIENT_ID and its secret") from None
        except (requests.RequestException, ValueError, TypeError) as error:
            raise _away(f"it does not answer ({type(error).__name__})") from None
        return str(answer.get("id_token") or "")

    def _claims(self, token: str, keys: Mapping[str, Any], attempt: Attempt, now: datetime) -> Mapping[str, Any]:
        rules = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": attempt.nonce},
        )
        try:
            usable = [key for key in keys.get("keys", []) if key.get("kty") in KEY_TYPES]
            claims = jwt.decode(token, KeySet.import_key_set({"keys": usable}), registry=SIGNATURES).claims
            rules.validate(claims)
        except (JoseError, ValueError, TypeError, AttributeError) as error:
            raise _refused(f"its token is not accepted ({type(error).__name__})") from None
        if claims["aud"] not in (self.client_id, [self.client_id]) or claims.get("azp", self.client_id) != self.client_id:
            raise _refused("its token is for others too")
        return claims


def is_protected(address: str) -> bool:
    """True for https, and for http on this machine."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))
    except ValueError:
        return False


def _away(found: str, remedy: str = "sign in with a password, or try again later") -> SourceError:
    return SourceError("E-WEB-034", WHERE, found, remedy)


def _refused(found: str) -> IdentityRefused:
    return IdentityRefused("E-WEB-031", WHERE, found, "sign in again")
