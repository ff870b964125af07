"""Pivot files become datasets, each once, and the automaton moves them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.pivot import HubResult
from erpcrm_orchestration.services.data_hub import advance, has_new_files, take_pivot_files
from erpcrm_orchestration.store.schema import hub_dataset
from tests.postgres.intake_company import company, table


@pytest.fixture
def folder(tmp_path: Path, engine: sa.Engine) -> Path:
    """The hub folder of dossier 001."""
    made = tmp_path / "hub"
    made.mkdir()
    company(engine, dossiers={"001": {"hub_folder": "${env:HUB}"}})
    return made


def drop(folder: Path, name: str, fields: str, kind: str = "TPSAFF") -> None:
    (folder / name).write_text(f'<DataHub DataSetType="{kind}">{fields}</DataHub>', encoding="utf-8")


def test_a_pivot_file_becomes_a_dataset_that_the_automaton_closes(engine: sa.Engine, clock: FixedClock, folder: Path) -> None:
    drop(folder, "t1.DHUB", "<TimeId>7</TimeId><Jour>20261118</Jour><Valide>1</Valide>")
    environment = {"HUB": str(folder)}
    assert has_new_files(engine, environment) == ["001"]
    result = take_pivot_files(engine, ["001"], clock=clock, environment=environment, run_id=None)
    assert result == {"001": HubResult("001", datasets=1)}
    assert advance(engine, ["001"], clock=clock, run_id=None) == {"001": 2}
    assert table(engine, hub_dataset, "pivot_name", "state_number", "state_group") == [("t1.DHUB", 900, "CLOSED_OK")]
    assert [path.name for path in folder.iterdir()] == ["taken"]
    assert has_new_files(engine, environment) == []
