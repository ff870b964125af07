"""Bring the schema to the version this program knows, and say when the two do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.store.engine import place_of
from erpcrm_orchestration.store.retention import ensure_partitions

VERSION_TABLE = "schema_version"
VERSION_SCHEMA = "audit"
MIGRATION_LOCK = 0x45525043
"""Key of the advisory lock that lets one process migrate at a time ("ERPC")."""


@dataclass(frozen=True)
class SchemaVersion:
    """`found` is None for an empty database; `known` is what this program migrates to."""

    found: str | None
    known: str

    @property
    def is_current(self) -> bool:
        return self.found == self.known


def migrate(engine: sa.Engine, *, now: datetime) -> SchemaVersion:
    """Migrate to the newest schema and create the time partitions around `now`; doing it again changes nothing.

    Returns the version that was found. Raises StoreError E-DB-020 when the database is newer than the program.
    """
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
        connection.commit()
        try:
            version = _version(connection)
            _refuse_newer(connection, version)
            connection.execute(sa.schema.CreateSchema(VERSION_SCHEMA, if_not_exists=True))
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            ensure_partitions(connection, now)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
            connection.commit()
    return version


def schema_version(engine: sa.Engine) -> SchemaVersion:
    """Return the version of the database and of this program."""
    with engine.connect() as connection:
        return _version(connection)


def require_current(engine: sa.Engine) -> None:
    """Raise StoreError when the schema is missing, older (E-DB-021) or newer (E-DB-020) than the program."""
    with engine.connect() as connection:
        version = _version(connection)
        _refuse_newer(connection, version)
        if not version.is_current:
            raise StoreError(
                "E-DB-021",
                place_of(engine.url),
                f"schema {version.found or 'missing'} is older than this program's {version.known}",
                "run `erpcrm migrate`",
            )


def _refuse_newer(connection: sa.Connection, version: SchemaVersion) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if version.found is not None and version.found not in known:
        raise StoreError(
            "E-DB-020",
            place_of(connection.engine.url),
            f"schema {version.found} is newer than this program's {version.known}",
            "install the newer program; nothing was changed",
        )


def _version(connection: sa.Connection) -> SchemaVersion:
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA}
    )
    found = context.get_current_revision()
    connection.rollback()
    known = ScriptDirectory.from_config(_config()).get_current_head()
    if known is None:
        raise StoreError("E-DB-022", "migrations", "none are installed", "reinstall the program")
    return SchemaVersion(found, known)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "erpcrm_orchestration.store:migrations")
    return config
