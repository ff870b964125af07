"""What nothing refers to any more: the only things that may be removed."""

from __future__ import annotations

import sqlalchemy as sa

from erpcrm_orchestration.domain.configuration import Configuration
from erpcrm_orchestration.store.engine import load_sql

_SECTIONS = {
    "mail_groups": "group_code",
    "mail_templates": "template_code",
    "call_targets": "target_code",
    "dataset_types": "type_code",
    "sources": "source_code",
}


def unreferenced(connection: sa.Connection, wanted: Configuration) -> set[tuple[str, str]]:
    """Return (section, code) of all that stands in the tables, not in `wanted`, and that nothing refers to.

    Dossiers are never among them. What a dossier, a source, a dataset or a call still names stays.
    """
    wanted_codes = {(section, getattr(one, code)) for section, code in _SECTIONS.items() for one in getattr(wanted, section)}
    rows = connection.execute(load_sql("unreferenced_configuration"))
    return {(row.section, row.code) for row in rows} - wanted_codes
