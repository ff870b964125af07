"""The schema: migrations equal the declared tables, and programs and schemas that do not fit are refused."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from erpcrm_orchestration.domain.errors import StoreError
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.migrate import migrate, revisions
from erpcrm_orchestration.store.retention import PARTITIONED
from erpcrm_orchestration.store.schema import SCHEMAS
from erpcrm_orchestration.store.tables import metadata
from erpcrm_orchestration.store.version import REVISIONS, require_current, schema_version
from tests.conftest import NOON


def test_the_migrations_build_exactly_the_declared_tables(engine: sa.Engine) -> None:
    ours = set(SCHEMAS)
    parents = tuple(f"{table.table}_" for table in PARTITIONED)

    def include_name(name: str | None, kind: str, parent_names: object) -> bool:
        if kind == "schema":
            return name in ours
        return not (
            kind == "table" and ((str(name).startswith(parents) and name not in metadata_names) or name == "schema_version")
        )

    metadata_names = {table.name for table in metadata.tables.values()}
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_schemas": True, "include_name": include_name, "compare_type": True, "compare_server_default": True},
        )
        assert compare_metadata(context, metadata) == []


def test_every_check_constraint_is_in_the_database(engine: sa.Engine) -> None:
    declared = {
        (
            table.schema,
            table.name,
            str(metadata.naming_convention["ck"]) % {"table_name": table.name, "constraint_name": check.name}
            if not str(check.name).startswith(f"{table.name}_")
            else str(check.name),
        )
        for table in metadata.tables.values()
        for check in table.constraints
        if isinstance(check, sa.CheckConstraint) and check.name
    }
    with engine.connect() as connection:
        found = {
            tuple(row)
            for row in connection.execute(
                sa.text(
                    "SELECT n.nspname, c.relname, k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
                    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'c' AND NOT c.relispartition"
                )
            )
        }
    assert {name for name in declared if name not in found} == set()


def test_migrating_twice_changes_nothing(engine: sa.Engine) -> None:
    first = migrate(engine, now=NOON)
    second = migrate(engine, now=NOON)
    assert first == second
    assert schema_version(engine).is_current


def test_an_older_program_refuses_a_newer_schema_and_changes_nothing(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE audit.schema_version SET version_num = '9999'"))
    with pytest.raises(StoreError) as refused:
        migrate(engine, now=NOON)
    assert refused.value.code == "E-DB-020"
    assert "schema 9999 is newer than this program's" in str(refused.value)
    assert "nothing was changed" in str(refused.value)


def test_a_database_without_schema_says_run_migrate(server: EmbeddedServer) -> None:
    with psycopg.connect(server.url(driver="postgresql").render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
    bare = create_engine(server.url("bare"))
    try:
        with pytest.raises(
            StoreError, match=r"E-DB-021 .*/bare: schema missing is older than this program's \w+; run `erpcrm migrate`"
        ):
            require_current(bare)
    finally:
        bare.dispose()


def test_the_audit_trail_cannot_be_changed(engine: sa.Engine) -> None:
    insert = sa.text(
        "INSERT INTO audit.change (at, actor, object_kind, object_code, action) VALUES (now(), 'a', 'dossier', '998', 'add')"
    )
    with engine.begin() as connection:
        connection.execute(insert)
    for statement in ("UPDATE audit.change SET actor = 'b'", "DELETE FROM audit.change", "TRUNCATE audit.change"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_the_program_knows_exactly_the_revisions_of_its_migrations() -> None:
    assert revisions() == REVISIONS
