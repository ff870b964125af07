"""Bring the schema to the version this program knows."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from erpcrm_orchestration.store.retention import ensure_partitions
from erpcrm_orchestration.store.version import VERSION_SCHEMA, SchemaVersion, read_version, refuse_newer

MIGRATION_LOCK = 0x45525043
"""Key of the advisory lock that lets one process migrate at a time ("ERPC")."""


def migrate(engine: sa.Engine, *, now: datetime) -> SchemaVersion:
    """Migrate to the newest schema and create the time partitions around `now`; doing it again changes nothing.

    Returns the version that was found. Raises StoreError E-DB-020 when the database is newer than the program.
    """
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
        connection.commit()
        try:
            version = read_version(connection)
            refuse_newer(connection, version)
            connection.execute(sa.schema.CreateSchema(VERSION_SCHEMA, if_not_exists=True))
            connection.commit()
            settings = config()
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
            connection.commit()
            ensure_partitions(connection, now)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
            connection.commit()
    return version


def revisions() -> tuple[str, ...]:
    """Return the revisions of the migrations, oldest first."""
    return tuple(script.revision for script in reversed(list(ScriptDirectory.from_config(config()).walk_revisions())))


def config() -> Config:
    """Return Alembic's settings: the migrations of this package, no file."""
    settings = Config()
    settings.set_main_option("script_location", "erpcrm_orchestration.store:migrations")
    return settings
