"""Ten thousand dossiers are read, compared and applied in seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.config.folder import read_folder
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.configuration import apply, plan
from erpcrm_orchestration.store import schema

COUNT = 10_000
HEAD = """
mail_groups: {dest_erp_crm: {}}
mail_templates: {interactions_alert: {subject: FORM.etatsynchro, text: FORM.TOUT}}
"""


def write_folder(folder: Path, *, delay: int) -> Path:
    """A folder of ten thousand dossiers in ten files."""
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
def test_ten_thousand_dossiers_are_applied_in_seconds(engine: sa.Engine, clock: FixedClock, tmp_path: Path) -> None:
    took: dict[str, float] = {}

    def timed(name: str, delay: int) -> int:
        started = time.perf_counter()
        reading = read_folder(write_folder(tmp_path / "config", delay=delay))
        took[f"{name}: read"] = time.perf_counter() - started
        outcome = apply(engine, reading, clock=clock, actor="test")
        took[name] = time.perf_counter() - started
        return len(outcome.plan.changes)

    assert timed("first apply", 30) == COUNT + 2
    assert timed("nothing to do", 30) == 0
    assert timed("every dossier changed", 45) == COUNT
    started = time.perf_counter()
    assert plan(engine, read_folder(tmp_path / "config")).plan.changes == ()
    took["plan"] = time.perf_counter() - started
    for name, seconds in took.items():
        print(f"{COUNT} dossiers, {name}: {seconds:.2f} s")  # noqa: T201 - shown by pytest -s
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.process)) == COUNT
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.change)) == 2 * COUNT + 2
    assert max(took.values()) < 60
