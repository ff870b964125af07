"""Thousands of dossiers are read, compared and applied; what ten thousand cost stands in docs/performance.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.config.folder import read_folder
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.configuration import apply, plan
from erpcrm_orchestration.store import schema

COUNT = 2_000
HEAD = """
mail_groups: {dest_erp_crm: {}}
mail_templates: {interactions_alert: {subject: FORM.etatsynchro, text: FORM.TOUT}}
"""


def write_folder(folder: Path, *, delay: int) -> Path:
    """A folder of all dossiers in ten files."""
    folder.mkdir(exist_ok=True)
    (folder / "head.yaml").write_text(HEAD + f"dossier_defaults: {{alert_delay_min: {delay}, import_frequency_min: 15}}\n")
    for part in range(10):
        lines = [
            f'  "D{part}{number:04}": {{name: Firm {number}, crm_project_code: CRM-{part}-{number}, time_zone: Europe/Lisbon}}'
            for number in range(COUNT // 10)
        ]
        (folder / f"dossiers{part}.yaml").write_text("dossiers:\n" + "\n".join(lines) + "\n")
    return folder


@pytest.mark.slow
def test_thousands_of_dossiers_are_applied_whole_and_compared_without_a_difference(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path
) -> None:
    def applied(delay: int) -> int:
        reading = read_folder(write_folder(tmp_path / "config", delay=delay))
        return len(apply(engine, reading, clock=clock, actor="test").plan.changes)

    assert applied(30) == COUNT + 2
    assert applied(30) == 0
    assert applied(45) == COUNT
    assert plan(engine, read_folder(tmp_path / "config")).plan.changes == ()
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.process)) == COUNT
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.change)) == 2 * COUNT + 2
