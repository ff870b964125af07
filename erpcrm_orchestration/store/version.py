"""Which schema this program needs, and whether the database has it: asked by every run and tick, so without Alembic."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.store.engine import place_of

VERSION_TABLE = "schema_version"
VERSION_SCHEMA = "audit"
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""Every revision this program knows, oldest first; a test compares it with the migrations."""


@dataclass(frozen=True)
class SchemaVersion:
    """`found` is None for an empty database; `known` is what this program migrates to."""

    found: str | None
    known: str = REVISIONS[-1]

    @property
    def is_current(self) -> bool:
        return self.found == self.known


def schema_version(engine: sa.Engine) -> SchemaVersion:
    """Return the version of the database and of this program."""
    with engine.connect() as connection:
        return read_version(connection)


def require_current(engine: sa.Engine) -> None:
    """Raise StoreError when the schema is missing, older (E-DB-021) or newer (E-DB-020) than the program."""
    with engine.connect() as connection:
        version = read_version(connection)
        refuse_newer(connection, version)
        if not version.is_current:
            raise StoreError(
                "E-DB-021",
                place_of(engine.url),
                f"schema {version.found or 'missing'} is older than this program's {version.known}",
                "run `erpcrm migrate`",
            )


def refuse_newer(connection: sa.Connection, version: SchemaVersion) -> None:
    """Raise StoreError E-DB-020 for a database that a newer program has migrated."""
    if version.found is not None and version.found not in REVISIONS:
        raise StoreError(
            "E-DB-020",
            place_of(connection.engine.url),
            f"schema {version.found} is newer than this program's {version.known}",
            "install the newer program; nothing was changed",
        )


def read_version(connection: sa.Connection) -> SchemaVersion:
    """Return the version that the database holds; its transaction is ended."""
    exists = sa.select(sa.func.to_regclass(f"{VERSION_SCHEMA}.{VERSION_TABLE}").is_not(None))
    found = None
    if connection.scalar(exists):
        versions = sa.table(VERSION_TABLE, sa.column("version_num", sa.Text), schema=VERSION_SCHEMA)
        found = connection.scalar(sa.select(versions.c.version_num))
    connection.rollback()
    return SchemaVersion(found)
