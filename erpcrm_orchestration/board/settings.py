"""What the board is told at its start: where people reach it, and where Dagster listens behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from erpcrm_orchestration.domain.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class BoardSettings:
    """`public_url` is what people type, without a slash at its end; the Dagster addresses are None where none runs.

    `dagster_url` may do everything, `dagster_read_url` only read.
    """

    public_url: str
    dagster_url: str | None = None
    dagster_read_url: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or parts.username:
            raise InputError("E-WEB-001", "ERPCRM_BOARD_URL", "no address", "write https://board.example.com")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
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
    """Return the settings that the environment gives: ERPCRM_BOARD_URL, and what `erpcrm up` says of Dagster."""
    return BoardSettings(
        public_url=(environment.get("ERPCRM_BOARD_URL") or default_url).rstrip("/"),
        dagster_url=environment.get("ERPCRM_DAGSTER_URL") or None,
        dagster_read_url=environment.get("ERPCRM_DAGSTER_READ_URL") or None,
    )
