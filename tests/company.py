"""A small company in the tables: dossiers, logbook lines, datasets, and refreshes at given instants."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import GeneralParameters, MailSettings, Source
from erpcrm_orchestration.domain.supervision import Evaluations
from erpcrm_orchestration.services.supervision import Refresh, refresh
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.configuration import adapter

FOUNDED = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = "dest_erp_crm"
TEMPLATE = "interactions_alert"


@dataclass
class Company:
    """Writes rows as intake would; `refresh` runs the real use case."""

    engine: sa.Engine
    clock: FixedClock
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    _keys: Any = field(default_factory=itertools.count)

    def general(self, *, mail: MailSettings | None = None, **changes: Any) -> None:
        """Store the general parameters."""
        value = GeneralParameters(mail=mail or MailSettings(), **changes)
        definition = adapter(GeneralParameters).dump_python(value, mode="json")
        with self.engine.begin() as connection:
            connection.execute(sa.delete(schema.general_parameters))
            connection.execute(sa.insert(schema.general_parameters).values(definition=definition, updated_at=FOUNDED))

    def mail_group(self, *addresses: str, code: str = GROUP, aliases: tuple[str, ...] = ("dest_interact_erpcrm",)) -> None:
        """Store a mail group with these members."""
        with self.engine.begin() as connection:
            connection.execute(sa.insert(schema.mail_group).values(group_code=code, aliases=list(aliases), updated_at=FOUNDED))
            for position, address in enumerate(addresses):
                connection.execute(
                    sa.insert(schema.mail_group_member).values(group_code=code, address=address, position=position)
                )

    def template(self, subject: str, text: str, *, code: str = TEMPLATE) -> None:
        """Store a mail template."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(schema.mail_template).values(template_code=code, subject=subject, text=text, updated_at=FOUNDED)
            )

    def source(self, source: Source) -> None:
        """Store a source."""
        definition = adapter(Source).dump_python(source, mode="json")
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(schema.source).values(source_code=source.source_code, definition=definition, updated_at=FOUNDED)
            )

    def dossier(
        self,
        code: str,
        *,
        delay: int = 30,
        interval: int = 60,
        activated_at: datetime = FOUNDED,
        process: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Store a dossier with its process."""
        row = {
            "dossier_code": code,
            "crm_project_code": f"CRM-{code}",
            "alert_delay_min": delay,
            "alert_mail_interval_min": interval,
            "activated_at": activated_at,
            "created_at": FOUNDED,
            "updated_at": FOUNDED,
        } | columns
        automatic = {
            "dossier_code": code,
            "process_code": "interactions_erpcrm",
            "state": "ACTIVE",
            "days": [1, 2, 3, 4, 5],
            "start": time(8, 20),
            "duration_min": 600,
            "frequency_min": 15,
            "missed_ticks": "last",
            "missed_max": 1,
            "mail_group": GROUP,
            "mail_template": TEMPLATE,
            "on_uncertain": "resend",
            "considered_until": self.clock.now(),
            "updated_at": FOUNDED,
        } | dict(process or {})
        with self.engine.begin() as connection:
            connection.execute(sa.insert(schema.dossier).values(**row))
            connection.execute(sa.insert(schema.process).values(**automatic))

    def log(self, code: str, at: datetime, action: str = "WEAVY_URL_FILE", **columns: Any) -> None:
        """Store a logbook line."""
        key = str(next(self._keys))
        row = {
            "dossier_code": code,
            "at": at,
            "origin": "source:erp",
            "entry_key": key,
            "sync_id": f"S{key}",
            "action": action,
            "outcome": "OK",
            "recorded_at": at,
        } | columns
        with self.engine.begin() as connection:
            connection.execute(sa.insert(schema.logbook_entry).values(**row))

    def dataset(self, code: str, category: str, state_group: str, created_at: datetime, **columns: Any) -> int:
        """Store a dataset; return its number."""
        row = {
            "dossier_code": code,
            "type_code": category,
            "category": category,
            "origin": "CRM",
            "intake": "data_hub",
            "source_key": f"D{next(self._keys)}",
            "state_number": 900,
            "state_group": state_group,
            "created_at": created_at,
            "updated_at": created_at,
            "last_error": "E-TEST" if state_group == "ERROR" else None,
            "content_hash": "h",
        } | columns
        with self.engine.begin() as connection:
            inserted = connection.execute(
                sa.insert(schema.hub_dataset).values(**row).returning(schema.hub_dataset.c.dataset_number)
            )
            number: int = inserted.scalar_one()
        return number

    def refresh(self, *codes: str, at: datetime | None = None, notify: bool = True) -> Evaluations:
        """Refresh these dossiers at this instant, as a run would."""
        if at is not None:
            self.clock.at = at
        return refresh(self.engine, codes, Refresh(self.clock, self.environment, notify=notify))

    def state(self, code: str) -> Any:
        """Return the stored row, or None."""
        with self.engine.connect() as connection:
            table = schema.interaction_state
            return connection.execute(sa.select(table).where(table.c.dossier_code == code)).one_or_none()

    def count(self, table: sa.Table) -> int:
        """Return how many rows a table has."""
        with self.engine.connect() as connection:
            found: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        return found

    def rows(self, table: sa.Table) -> list[Any]:
        """Return the rows of a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)))


def ago(company: Company, **distance: float) -> datetime:
    """Return an instant before the company's now."""
    return company.clock.now() - timedelta(**distance)
