"""What the board is told at its start: where people reach it, and where Dagster listens behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from erpcrm_orchestration.clients.identity_provider import is_protected
from erpcrm_orchestration.domain.errors import InputError

OIDC = ("ERPCRM_OIDC_ISSUER", "ERPCRM_OIDC_CLIENT_ID", "ERPCRM_OIDC_CLIENT_SECRET")


@dataclass(frozen=True)
class OidcSettings:
    """The identity provider: its issuer as it writes it, and what the board is there; `name` stands on the button."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str

    def __post_init__(self) -> None:
        if not is_protected(self.issuer):
            found = "no address, or identities would cross the network unprotected"
            raise InputError("E-WEB-004", "ERPCRM_OIDC_ISSUER", found, "write https://login.example.com")


@dataclass(frozen=True)
class BoardSettings:
    """`public_url` is what people type, without a slash at its end; the Dagster addresses are None where none runs.

    `dagster_url` may do everything, `dagster_read_url` only read.
    """

    public_url: str
    dagster_url: str | None = None
    dagster_read_url: str | None = None
    oidc: OidcSettings | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or parts.username:
            raise InputError("E-WEB-001", "ERPCRM_BOARD_URL", "no address", "write https://board.example.com")
        if not is_protected(self.public_url):
            found = "passwords would cross the network unencrypted"
            raise InputError("E-WEB-002", "ERPCRM_BOARD_URL", found, "put a proxy with TLS before it and write https://")

    @property
    def host(self) -> str:
        """Return host and port as a browser sends them."""
        return urlsplit(self.public_url).netloc

    @property
    def is_secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        """Return the name of the session's cookie: only a secure origin may set one that belongs to this host alone."""
        return "__Host-erpcrm" if self.is_secure else "erpcrm"


def settings_from(environment: Mapping[str, str], *, default_url: str) -> BoardSettings:
    """Return the settings that the environment gives: ERPCRM_BOARD_URL, ERPCRM_OIDC_*, and what `erpcrm up` says of Dagster.

    Raises InputError E-WEB-001 to 004.
    """
    return BoardSettings(
        public_url=(environment.get("ERPCRM_BOARD_URL") or default_url).rstrip("/"),
        dagster_url=environment.get("ERPCRM_DAGSTER_URL") or None,
        dagster_read_url=environment.get("ERPCRM_DAGSTER_READ_URL") or None,
        oidc=_oidc(environment),
    )


def _oidc(environment: Mapping[str, str]) -> OidcSettings | None:
    missing = [name for name in OIDC if not environment.get(name)]
    if len(missing) == len(OIDC):
        return None
    if missing:
        raise InputError("E-WEB-003", missing[0], "not set, while others of ERPCRM_OIDC are", "set all three of them, or none")
    issuer, client_id, client_secret = (environment[name] for name in OIDC)
    return OidcSettings(issuer, client_id, client_secret, name=environment.get("ERPCRM_OIDC_NAME") or _host(issuer))


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or address
    except ValueError:
        return address
