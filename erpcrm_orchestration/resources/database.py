"""Our database as a Dagster resource: one engine for as long as a run, a tick or a test needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import sqlalchemy as sa
from pydantic import Field, PrivateAttr

from erpcrm_orchestration.store.engine import create_engine, reported
from erpcrm_orchestration.store.version import require_current


class Database(dg.ConfigurableResource["Database"]):
    """`url` is ERPCRM_DATABASE_URL; it is read when a run or a tick begins, not when the definitions load."""

    url: str = Field(description="postgresql+psycopg://user@host:5432/database")
    _engine: sa.Engine | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Database]:
        """Open the engine for one run or tick; a database that is down or has another schema is said in one line."""
        self._engine = create_engine(self.url, application_name="erpcrm dagster")
        try:
            with reported(self._engine):
                require_current(self._engine)
            yield self
        finally:
            self._engine.dispose()
            self._engine = None

    @property
    def engine(self) -> sa.Engine:
        if self._engine is None:
            raise RuntimeError("the database resource is used outside of a run or tick")
        return self._engine
