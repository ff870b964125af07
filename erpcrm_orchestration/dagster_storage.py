"""Dagster's storage in PostgreSQL, with connections that are kept: by itself it opens one for every statement or two.

A deployment with nothing to do asks its storage some thirty-five times a second, and every tick of a sensor or schedule makes
an instance of its own. To begin those sessions cost PostgreSQL a quarter of a core; now a process shares one pool.
Written against dagster-postgres 0.29.27: tests/dagster/test_dagster_internals.py fails when a newer one behaves differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config

from erpcrm_orchestration.domain.errors import InputError

KEPT = 4
MORE = 40
"""Connections beyond those that are kept are closed as soon as they are given back."""
RECYCLE_S = 3600


class PooledPostgresStorage(DagsterPostgresStorage):
    """Takes the configuration of Dagster's own storage: https://docs.dagster.io/deployment/oss/dagster-yaml."""

    def __init__(
        self, postgres_url: str, should_autocreate_tables: bool = True, inst_data: ConfigurableClassData | None = None
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables and postgres_url not in _prepared, inst_data)
        if should_autocreate_tables:
            _prepared.add(postgres_url)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = pool(postgres_url)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresStorage:
        """Return the storage that dagster.yaml describes; a database with tokens instead of a password needs Dagster's own."""
        if "auth_provider" in config_value:
            raise InputError(
                "E-RUN-009", "dagster.yaml storage", "auth_provider", "name Dagster's own storage `postgres` with it instead"
            )
        return cls(pg_url_from_config(config_value), config_value.get("should_autocreate_tables", True), inst_data)


_prepared: set[str] = set()
"""The databases in which this process has found or made Dagster's tables: looking again costs each tick three sessions."""


@cache
def pool(postgres_url: str) -> sa.Engine:
    """Return what the storages of this process share; a session that a restart has ended is replaced before it is used."""
    return sa.create_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=KEPT,
        max_overflow=MORE,
        pool_recycle=RECYCLE_S,
        pool_pre_ping=True,
    )
