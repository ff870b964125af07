"""`erpcrm datasets` and `erpcrm tasks`: what people read, type and get told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import CallTarget
from erpcrm_orchestration.services.data_hub import advance, take_pivot_files
from erpcrm_orchestration.services.inbox_correction import verify
from erpcrm_orchestration.store.integration_schema import correction
from erpcrm_orchestration.store.schema import change, hub_dataset, inter_company_task
from tests.postgres.intake_company import ACTIVATED, company, table


@pytest.fixture
def numbers(
    engine: sa.Engine, database_url: sa.URL, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, int]:
    """Datasets: `good` is closed, `bad` is in error; the command line works on this database."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("LOGNAME", "ann")
    company(engine, dossiers={"001": {"hub_folder": str(tmp_path)}, "998": {}}, targets=[CallTarget("crm", folder="/nowhere")])
    for name, day in (("good", "20261118"), ("bad", "=1+1")):
        fields = f"<TimeId>7</TimeId><Jour>{day}</Jour><Valide>1</Valide>"
        (tmp_path / f"{name}.DHUB").write_text(f'<DataHub DataSetType="TPSAFF">{fields}</DataHub>')
    take_pivot_files(engine, ["001"], clock=clock, environment={}, run_id=None)
    advance(engine, ["001"], clock=clock, run_id=None)
    return {row[0].removesuffix(".DHUB"): row[1] for row in table(engine, hub_dataset, "source_key", "dataset_number")}


def add_task(engine: sa.Engine, key: str, state: str = "ACTIVE") -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(inter_company_task).values(
                dossier_code="001", intake="source:erp/tasks", task_key=key, recorded_at=ACTIVATED, at=ACTIVATED, kind="K",
                target_code="crm", payload={}, state=state, last_error="E" if state == "SUSPENDED" else None,
            )
        )  # fmt: skip


def test_the_list_shows_what_is_not_ok_and_names_the_reason(
    numbers: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["datasets", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["dataset_number", "dossier_code", "type_code"]
    assert len(rows) == 1
    assert rows[0].split()[:2] == [str(numbers["bad"]), "001"]
    assert rows[0].endswith("bad.DHUB    state 100: Jour is '=1+1', not a date YYYYMMDD")


def test_the_list_is_filtered_and_written_for_programs_and_spreadsheets(
    numbers: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["datasets", "list", "--state", "CLOSED_OK", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["dataset_number"], row["state_group"], row["created_at"]) == (
        numbers["good"],
        "CLOSED_OK",
        "2026-11-18T12:00:00+00:00",
    )
    assert run(["datasets", "list", "--dossier", "001", "--category", "TIME", "--csv"]) == 0
    head, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert dict(zip(head, row, strict=True))["state_group"] == "ERROR"
    assert run(["datasets", "list", "--category", "DOCUMENT"]) == 0
    assert capsys.readouterr().out == "no datasets\n"


def test_a_dataset_is_shown_corrected_and_relaunched(
    engine: sa.Engine, numbers: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = numbers["bad"]
    assert run(["datasets", "show", str(bad)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "field Jour: =1+1" in shown
    assert '| <DataHub DataSetType="TPSAFF"><TimeId>7</TimeId><Jour>=1+1</Jour><Valide>1</Valide></DataHub>' in shown
    assert run(["datasets", "fix", str(bad), "--set", "Jour=20261118", "--reason", "asked"]) == 0
    assert run(["datasets", "relaunch", str(bad), "--at", "100", "--reason", "corrected"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"dataset {bad} is corrected; `erpcrm datasets relaunch {bad} --at STATE --reason ...` runs it again",
        f"dataset {bad} is in state 900 (CLOSED_OK)",
    ]
    assert table(engine, correction, "actor", "action", "reason", "dataset_number") == [
        ("ann", "fix", "asked", bad),
        ("ann", "relaunch", "corrected", bad),
    ]
    assert verify(engine)[0] == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("datasets show 99", "E-CLI-065 erpcrm datasets: no dataset 99; see `erpcrm datasets list`"),
        (
            "datasets relaunch 99 --at 100 --reason x",
            "E-CLI-065 erpcrm datasets: no dataset 99; see `erpcrm datasets list`",
        ),
        (
            "datasets fix 99 --set Jour --reason x",
            "E-CLI-066 erpcrm datasets fix --set: 'Jour' is not FIELD=VALUE; write --set Jour=20261118",
        ),
        (
            "datasets fix 99 --set a=1 --set a=2 --reason x",
            "E-CLI-066 erpcrm datasets fix --set: field a is given twice; give it once",
        ),
        ("datasets list --dossier 999", "E-CLI-057 dossier: no dossier '999'; nearest: 998, 001"),
        ("datasets list --json --csv", "E-CLI-050 erpcrm: --json and --csv together; choose one of them"),
        ("tasks list --dossier 999", "E-CLI-057 dossier: no dossier '999'; nearest: 998, 001"),
        (
            "tasks reactivate --dossier 001 --reason x",
            "E-TASK-001 dossier 001: no task is suspended; see `erpcrm tasks list --state SUSPENDED`",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    numbers: dict[str, int], capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    assert run(command.split()) == 2
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", message + "\n")


def test_a_closed_dataset_is_not_relaunched(numbers: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    good = numbers["good"]
    assert run(["datasets", "relaunch", str(good), "--at", "100", "--reason", "x"]) == 2
    assert capsys.readouterr().err == f"E-HUB-022 dataset 001/{good}: it is closed (CLOSED_OK); send a new pivot file\n"


def test_A49_tasks_are_paused_listed_resumed_and_reactivated(
    engine: sa.Engine, numbers: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tasks", "list"]) == 0
    assert capsys.readouterr().out == "no tasks\n"
    add_task(engine, "T1")
    add_task(engine, "T2", "SUSPENDED")
    assert run(["tasks", "pause", "--reason", "upgrade"]) == 0
    assert run(["tasks", "list", "--state", "ACTIVE", "--json"]) == 0
    written = capsys.readouterr()
    assert written.err == "paused: tasks are recorded, none is executed\n"
    head, _, listed = written.out.partition("\n")
    assert head == "inter-company tasks are paused"
    assert [row["task_key"] for row in json.loads(listed)] == ["T1"]
    assert run(["tasks", "resume", "--reason", "done"]) == 0
    assert run(["tasks", "resume", "--reason", "done"]) == 0
    assert run(["tasks", "reactivate", "T2", "--dossier", "001", "--reason", "created"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "inter-company tasks go on",
        "inter-company tasks were not paused",
        "active again: T2",
    ]
    assert table(engine, inter_company_task, "task_key", "state") == [("T1", "ACTIVE"), ("T2", "ACTIVE")]
    assert [action for (action,) in table(engine, change, "action")] == ["pause", "reactivate", "resume"]


@pytest.mark.parametrize("command", [["datasets", verb] for verb in ("list", "show", "fix", "relaunch")])
def test_every_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert f"erpcrm {' '.join(command)}" in " ".join(capsys.readouterr().out.split())
