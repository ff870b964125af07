"""Alembic's entry: the connection is given by store.migrate; our version table has a schema and a name of its own."""

from __future__ import annotations

from alembic import context

from erpcrm_orchestration.store.tables import metadata
from erpcrm_orchestration.store.version import VERSION_SCHEMA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=True,
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
