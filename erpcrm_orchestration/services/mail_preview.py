"""A mail template as it would read for the stored state of a dossier; nothing is written or sent."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from erpcrm_orchestration.domain import template
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.supervision import shown_to_people
from erpcrm_orchestration.domain.template import PLACEHOLDERS, STATE_FIELDS
from erpcrm_orchestration.store.dossier import time_zone_of
from erpcrm_orchestration.store.schema import interaction_state


@dataclass(frozen=True)
class Preview:
    """The parts as they would read; what cannot be rendered is in `faults`, a line each."""

    subject: str | None
    text: str | None
    html: str | None
    faults: tuple[str, ...]


def preview(connection: sa.Connection, dossier_code: str, *, subject: str, text: str, html: str | None) -> Preview | None:
    """Return the template filled with the stored state of a dossier, None when it has none yet."""
    columns = [interaction_state.c[name] for name in STATE_FIELDS]
    statement = sa.select(*columns).where(interaction_state.c.dossier_code == dossier_code)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return None
    zone = ZoneInfo(time_zone_of(connection, dossier_code))
    # What mails to accounts put in is not of a dossier: it stays as it is written.
    values: dict[str, template.Value] = {name: f"{{{{{name}}}}}" for name in PLACEHOLDERS}
    values |= {name: shown_to_people(row[name], zone) for name in STATE_FIELDS}
    faults: list[str] = []
    rendered: dict[str, str | None] = {}
    parts: tuple[tuple[template.Part, str | None], ...] = (("subject", subject), ("text", text), ("html", html))
    for part, content in parts:
        try:
            rendered[part] = None if content is None else template.render(content, values, part=part, where=part)
        except InputError as error:
            rendered[part] = None
            faults.append(str(error))
    return Preview(rendered["subject"], rendered["text"], rendered["html"], tuple(faults))
