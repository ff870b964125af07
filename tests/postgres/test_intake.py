"""Lines, datasets and tasks of an ERP database arrive in the tables: incrementally, completely, once."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.intake import IntakeResult
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.store.schema import hub_dataset, logbook_entry
from tests.postgres.intake_company import company, source, sqlite_erp, table, write_dataset, write_line


@pytest.fixture
def erp(tmp_path: Path) -> Path:
    return sqlite_erp(tmp_path / "erp.sqlite")


def take(engine: sa.Engine, clock: FixedClock, *codes: str) -> dict[str, IntakeResult]:
    return take_in(engine, codes or ("001",), clock=clock, environment={}, run_id="run-1")


def test_lines_and_datasets_of_a_sqlite_erp_arrive_once(engine: sa.Engine, clock: FixedClock, erp: Path) -> None:
    company(engine, dossiers={"001": {"source_code": "erp"}, "002": {}}, sources=[source(f"sqlite:///{erp}")])
    for number in range(7):
        write_line(erp, number, f"2026-11-18 11:0{number}:00")
    write_dataset(erp, "D1", "2026-11-18 11:00:00")
    result = take(engine, clock, "001", "002")
    assert result == {"001": IntakeResult("001", 7, 1), "002": IntakeResult("002")}
    assert take(engine, clock)["001"] == IntakeResult("001")
    assert len(table(engine, logbook_entry, "entry_key")) == 7
    assert table(engine, hub_dataset, "source_key", "category", "state_group", "state_number", "intake") == [
        ("D1", "INTERVENTION", "PENDING", 1, "source:erp/pieces")
    ]
