"""Pivot files become datasets, each once, and the automaton moves them; people correct and relaunch them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.automaton import FUNCTIONS, DatasetView, Outcome, Parameters, StateFunction
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import DatasetCategory, DatasetType
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.pivot import HubResult
from erpcrm_orchestration.services.data_hub import advance, fix, has_new_files, relaunch, take_pivot_files
from erpcrm_orchestration.store.integration_schema import correction
from erpcrm_orchestration.store.schema import hub_dataset, intake_reject, logbook_entry
from tests.postgres.child_work import run
from tests.postgres.intake_company import company, state, table

GOOD = "<TimeId>7</TimeId><Jour>20261118</Jour><Valide>1</Valide>"
FAULTY = '<DataHub DataSetType="TPSAFF"><TimeId>7</TimeId>'


@pytest.fixture
def folder(tmp_path: Path, engine: sa.Engine) -> Path:
    """The hub folder of dossier 001."""
    made = tmp_path / "hub"
    made.mkdir()
    company(engine, dossiers={"001": {"hub_folder": str(made)}})
    return made


def drop(folder: Path, name: str, fields: str = GOOD, kind: str = "TPSAFF") -> Path:
    path = folder / name
    path.write_text(f'<DataHub DataSetType="{kind}">{fields}</DataHub>', encoding="utf-8")
    return path


def drop_raw(folder: Path, name: str, data: bytes, clock: FixedClock, age_s: float = 60) -> Path:
    path = folder / name
    path.write_bytes(data)
    written = clock.at.timestamp() - age_s
    os.utime(path, (written, written))
    return path


def take(engine: sa.Engine, clock: FixedClock) -> HubResult:
    return take_pivot_files(engine, ["001"], clock=clock, environment={}, run_id="run-1")["001"]


def names(folder: Path, below: str = ".") -> list[str]:
    return sorted(path.name for path in (folder / below).iterdir() if path.is_file()) if (folder / below).exists() else []


def datasets(engine: sa.Engine) -> list[tuple[Any, ...]]:
    return table(engine, hub_dataset, "source_key", "type_code", "state_number", "state_group", "last_error")


def lines(engine: sa.Engine, action: str) -> list[tuple[Any, ...]]:
    found = table(engine, logbook_entry, "action", "origin", "outcome", "message")
    return [row[1:] for row in found if row[0] == action]


def test_a_pivot_file_becomes_a_dataset_that_the_automaton_closes(engine: sa.Engine, clock: FixedClock, tmp_path: Path) -> None:
    company(engine, dossiers={"001": {"hub_folder": "${env:HUB}/001"}, "002": {}})
    folder, environment = tmp_path / "001", {"HUB": str(tmp_path)}
    folder.mkdir()
    drop(folder, "t1.DHUB")
    assert has_new_files(engine, environment) == ["001"]
    result = take_pivot_files(engine, ["001", "002"], clock=clock, environment=environment, run_id=None)
    assert result == {"001": HubResult("001", datasets=1), "002": HubResult("002")}
    assert has_new_files(engine, environment) == ["001"]
    assert advance(engine, ["001"], clock=clock, run_id=None) == {"001": 2}
    assert datasets(engine) == [("t1.DHUB", "TPSAFF", 900, "CLOSED_OK", None)]
    assert (names(folder), names(folder, "taken")) == ([], ["t1.DHUB"])
    assert has_new_files(engine, environment) == []


def test_A44_a_pivot_file_of_unknown_type_is_one_dataset_in_error_and_the_file_is_kept(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    drop(folder, "a.DHUB", kind="TPSAF")
    drop(folder, "b.DHUB")
    assert take(engine, clock) == HubResult("001", datasets=2, faulty=1)
    reason = "E-HUB-010 pivot file a.DHUB: DataSetType 'TPSAF' is unknown; did you mean TPSAFF?"
    assert datasets(engine)[0] == ("a.DHUB", "TPSAF", 100, "ERROR", reason)
    assert ("data_hub", "ERROR", reason) in lines(engine, "PIVOT_FILE")
    assert (names(folder), names(folder, "in_error"), names(folder, "taken")) == ([], ["a.DHUB"], ["b.DHUB"])
    assert table(engine, hub_dataset, "fields")[0] == ({"Jour": "20261118", "TimeId": "7", "Valide": "1"},)
    assert take(engine, clock) == HubResult("001")
    assert advance(engine, ["001"], clock=clock, run_id=None) == {"001": 2}


def test_A44_a_file_that_is_no_xml_or_of_a_wrong_encoding_is_one_dataset_in_error(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    drop_raw(folder, "cut.DHUB", FAULTY.encode(), clock)
    drop_raw(folder, "latin.DHUB", '<DataHub DataSetType="TPSAFF"><T>Café</T></DataHub>'.encode("latin-1"), clock)
    drop_raw(folder, "nul.DHUB", b"\x00\xff\xfe", clock)
    drop_raw(folder, "empty.DHUB", b"", clock)
    assert take(engine, clock) == HubResult("001", datasets=4, faulty=4)
    assert [row[:4] for row in datasets(engine)] == [
        (name, "UNREADABLE", 100, "ERROR") for name in ("cut.DHUB", "empty.DHUB", "latin.DHUB", "nul.DHUB")
    ]
    assert all(row[4].startswith(f"E-HUB-010 pivot file {row[0]}: not readable as XML: ") for row in datasets(engine))
    assert names(folder, "in_error") == ["cut.DHUB", "empty.DHUB", "latin.DHUB", "nul.DHUB"]
    assert (folder / "in_error" / "nul.DHUB").read_bytes() == b"\x00\xff\xfe"


def test_A45_a_companion_without_its_pivot_file_creates_nothing_until_the_pivot_file_is_there(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    (folder / "t1.pdf").write_bytes(b"%PDF")
    (folder / "t1.dhub").write_text("not in capitals")
    assert has_new_files(engine, {}) == []
    assert take(engine, clock) == HubResult("001")
    assert datasets(engine) == []
    drop(folder, "t1.DHUB")
    assert take(engine, clock) == HubResult("001", datasets=1)
    assert take(engine, clock) == HubResult("001")
    assert table(engine, hub_dataset, "source_key", "companions") == [("t1.DHUB", ["t1.dhub", "t1.pdf"])]
    assert (names(folder), names(folder, "taken")) == ([], ["t1.DHUB", "t1.dhub", "t1.pdf"])


def test_A46_a_false_function_follows_its_branch_and_a_manual_state_waits(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    """A46: state function false -> next-if-false; the manual state waits until relaunch; every transition has its line."""
    drop(folder, "t1.DHUB", "<TimeId>7</TimeId><Jour>20261118</Jour><Valide>0</Valide>")
    take(engine, clock)
    assert advance(engine, ["001"], clock=clock, run_id="run-2") == {"001": 2}
    assert datasets(engine) == [("t1.DHUB", "TPSAFF", 300, "WAITING", None)]
    number = table(engine, hub_dataset, "dataset_number")[0][0]
    assert lines(engine, "AUTOMATON") == [
        ("system", "OK", f"dataset {number}: state 100 -> 200, fields are complete"),
        ("system", "OK", f"dataset {number}: state 200 -> 300, Valide is '0', not 1"),
    ]
    assert advance(engine, ["001"], clock=clock, run_id=None) == {"001": 0}
    assert datasets(engine)[0][2] == 300


def test_A47_a_dataset_in_error_is_corrected_and_relaunched_at_a_lower_state(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    """A47: it enters again at the chosen lower state, attempts + 1; the received payload stays, the audit tells who and why."""
    drop(folder, "t1.DHUB", "<TimeId>7</TimeId><Jour>18/11/2026</Jour><Valide>1</Valide>")
    take(engine, clock)
    advance(engine, ["001"], clock=clock, run_id=None)
    fault = "state 100: Jour is '18/11/2026', not a date YYYYMMDD"
    assert datasets(engine) == [("t1.DHUB", "TPSAFF", 800, "ERROR", fault)]
    number, payload = table(engine, hub_dataset, "dataset_number", "payload")[0]
    clock.at += timedelta(hours=1)
    fix(engine, "001", number, fields={"Jour": "20261118"}, reason="asked", actor="ann", clock=clock)
    assert datasets(engine)[0][2:] == (800, "ERROR", fault)
    relaunch(engine, "001", number, state_number=100, reason="corrected", actor="ann", clock=clock)
    assert table(engine, hub_dataset, "state_number", "state_group", "attempts", "last_error", "updated_at", "payload") == [
        (100, "RECEIVED", 2, None, clock.at, payload)
    ]
    assert has_new_files(engine, {}) == ["001"]
    assert advance(engine, ["001"], clock=clock, run_id=None) == {"001": 2}
    assert datasets(engine) == [("t1.DHUB", "TPSAFF", 900, "CLOSED_OK", None)]
    assert ("system", "OK", f"dataset {number}: state 800 -> 100, relaunched by ann: corrected") in lines(engine, "AUTOMATON")
    assert table(engine, correction, "actor", "dataset_number", "action", "reason") == [
        ("ann", number, "fix", "asked"),
        ("ann", number, "relaunch", "corrected"),
    ]
    fixed, relaunched = (row[0] for row in table(engine, correction, "difference"))
    assert fixed == [{"path": "$.Jour", "before": '"18/11/2026"', "after": '"20261118"'}]
    assert {"path": "$.state_number", "before": "800", "after": "100"} in relaunched
    assert {"path": "$.last_error", "before": f'"{fault}"', "after": None} in relaunched


def number_of(engine: sa.Engine, key: str) -> int:
    return int({row[0]: row[1] for row in table(engine, hub_dataset, "source_key", "dataset_number")}[key])


@pytest.mark.parametrize(
    ("state_number", "message"),
    [
        (800, "E-HUB-024 dataset 001/{}: state 800 is not below state 800; choose 100, 200, 300"),
        (900, "E-HUB-024 dataset 001/{}: state 900 is not below state 800; choose 100, 200, 300"),
        (150, "E-HUB-024 dataset 001/{}: type TPSAFF has no state 150; choose 100, 200, 300"),
    ],
)
def test_A47_a_state_that_is_not_lower_is_refused(
    engine: sa.Engine, clock: FixedClock, folder: Path, state_number: int, message: str
) -> None:
    drop(folder, "t1.DHUB", "<TimeId>7</TimeId>")
    take(engine, clock)
    advance(engine, ["001"], clock=clock, run_id=None)
    number = number_of(engine, "t1.DHUB")
    with pytest.raises(InputError) as refused:
        relaunch(engine, "001", number, state_number=state_number, reason="x", actor="ann", clock=clock)
    assert str(refused.value) == message.format(number)
    assert table(engine, hub_dataset, "attempts") == [(1,)]
    assert table(engine, correction, "action") == []


def test_a_closed_dataset_one_of_an_erp_and_one_without_reason_are_left_alone(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    drop(folder, "closed.DHUB")
    take(engine, clock)
    advance(engine, ["001"], clock=clock, run_id=None)
    drop(folder, "open.DHUB", "<TimeId>7</TimeId>")
    drop(folder, "erp.DHUB")
    take(engine, clock)
    closed, opened, erp = (number_of(engine, name) for name in ("closed.DHUB", "open.DHUB", "erp.DHUB"))
    with engine.begin() as connection:
        connection.execute(sa.update(hub_dataset).where(hub_dataset.c.dataset_number == erp).values(intake="source:x/pieces"))
    cases = {
        (closed, "x"): f"E-HUB-022 dataset 001/{closed}: it is closed (CLOSED_OK); send a new pivot file",
        (
            erp,
            "x",
        ): f"E-HUB-021 dataset 001/{erp}: the automaton of source x runs it; correct it in x; it comes with the next pass",
        (opened, " "): f"E-HUB-023 dataset 001/{opened}: no reason; say why, for the audit trail",
        (99999, "x"): "E-HUB-020 dataset 001/99999: no such dataset; see `erpcrm datasets list`",
    }
    for (number, reason), message in cases.items():
        for refuse in (
            lambda number=number, reason=reason: relaunch(
                engine, "001", number, state_number=100, reason=reason, actor="ann", clock=clock
            ),
            lambda number=number, reason=reason: fix(
                engine, "001", number, fields={"TimeId": "8"}, reason=reason, actor="ann", clock=clock
            ),
        ):
            with pytest.raises(InputError) as refused:
                refuse()
            assert str(refused.value) == message
    with pytest.raises(InputError, match="E-HUB-020"):
        fix(engine, "002", opened, fields={"TimeId": "8"}, reason="x", actor="ann", clock=clock)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"timeid": "8"}, "E-HUB-025 dataset 001/{}: unknown field timeid; did you mean TimeId?"),
        ({}, "E-HUB-025 dataset 001/{}: no field to correct; give FIELD=VALUE"),
        ({"TimeId": "a\x00"}, r"E-VAL-003 dataset 001/{} field TimeId: a NUL character in 'a\x00'; remove it at the source"),
    ],
)
def test_a_field_that_cannot_be_corrected_is_refused(
    engine: sa.Engine, clock: FixedClock, folder: Path, fields: Mapping[str, str], message: str
) -> None:
    drop(folder, "t1.DHUB", "<TimeId>7</TimeId>")
    take(engine, clock)
    number = number_of(engine, "t1.DHUB")
    with pytest.raises(InputError) as refused:
        fix(engine, "001", number, fields=fields, reason="x", actor="ann", clock=clock)
    assert str(refused.value) == message.format(number)


def test_a_dataset_of_a_type_that_becomes_known_enters_again_at_the_entry_state(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    drop(folder, "p1.DHUB", "<TimeId>7</TimeId>", kind="PCE")
    take(engine, clock)
    number = number_of(engine, "p1.DHUB")
    with pytest.raises(InputError) as refused:
        relaunch(engine, "001", number, state_number=100, reason="x", actor="ann", clock=clock)
    assert str(refused.value) == (
        f"E-HUB-024 dataset 001/{number}: its type PCE is unknown; configure the type, or send a new pivot file"
    )
    kind = DatasetType(
        "PCE", DatasetCategory.DOCUMENT, "Document", (state(100, "RECEIVED", "accept", 900, 900), state(900, "CLOSED_OK"))
    )
    company(engine, dossiers={}, types=[kind])
    relaunch(engine, "001", number, state_number=100, reason="type added", actor="ann", clock=clock)
    assert advance(engine, ["001"], clock=clock, run_id=None) == {"001": 1}
    assert table(engine, hub_dataset, "category", "state_group", "attempts") == [("DOCUMENT", "CLOSED_OK", 2)]


def test_a_function_that_raises_puts_its_dataset_in_error_and_no_other(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(view: DatasetView, parameters: Parameters) -> Outcome:
        return Outcome(bool(1 // int(view.values["n"])), "divided")

    monkeypatch.setitem(FUNCTIONS, "breaks", StateFunction(breaks, "divides"))  # type: ignore[arg-type]
    kind = DatasetType("T", DatasetCategory.OTHER, "T", (state(100, "RECEIVED", "breaks", 900, 900), state(900, "CLOSED_OK")))
    company(engine, dossiers={"001": {"hub_folder": str(tmp_path)}}, types=[kind])
    for number in range(3):
        drop(tmp_path, f"{number}.DHUB", f"<n>{number}</n>", kind="T")
    take(engine, clock)
    advance(engine, ["001"], clock=clock, run_id=None)
    fault = "state 100: function breaks failed: ZeroDivisionError integer division or modulo by zero"
    assert [row[2:] for row in datasets(engine)] == [(100, "ERROR", fault), (900, "CLOSED_OK", None), (900, "CLOSED_OK", None)]
    assert advance(engine, ["001"], clock=clock, run_id=None) == {"001": 0}
    number = number_of(engine, "0.DHUB")
    fix(engine, "001", number, fields={"n": "1"}, reason="x", actor="ann", clock=clock)
    relaunch(engine, "001", number, state_number=100, reason="x", actor="ann", clock=clock)
    advance(engine, ["001"], clock=clock, run_id=None)
    assert datasets(engine)[0][2:] == (900, "CLOSED_OK", None)


def test_the_same_name_with_other_content_leaves_the_first_dataset_untouched(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    drop(folder, "t1.DHUB")
    take(engine, clock)
    before = table(engine, hub_dataset, *hub_dataset.c.keys())
    number = number_of(engine, "t1.DHUB")
    for _ in range(2):
        drop(folder, "t1.DHUB", "<TimeId>8</TimeId>")
        assert take(engine, clock) == HubResult("001", conflicts=1)
    assert table(engine, hub_dataset, *hub_dataset.c.keys()) == before
    message = f"E-HUB-011 pivot file t1.DHUB: other content than dataset {number}; names are used once"
    assert lines(engine, "INTAKE_REJECT") == [("system", "ERROR", message)]
    assert "<TimeId>8</TimeId>" in table(engine, intake_reject, "payload")[0][0]["payload"]
    assert names(folder, "taken") == ["t1.DHUB"]
    assert len(names(folder, "in_error")) == 2


def test_the_same_file_twice_is_one_dataset(engine: sa.Engine, clock: FixedClock, folder: Path) -> None:
    for _ in range(2):
        drop(folder, "t1.DHUB")
        take(engine, clock)
    assert len(datasets(engine)) == 1
    assert names(folder) == []


def test_a_file_that_is_still_being_written_waits(engine: sa.Engine, clock: FixedClock, folder: Path) -> None:
    path = drop_raw(folder, "t1.DHUB", FAULTY.encode(), clock, age_s=0.5)
    assert take(engine, clock) == HubResult("001", waiting=1)
    assert datasets(engine) == []
    path.write_text(f"{FAULTY}<Jour>20261118</Jour></DataHub>")
    assert take(engine, clock) == HubResult("001", datasets=1)


def test_a_folder_that_is_missing_or_closed_fails_for_its_dossier_alone(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "good").mkdir()
    drop(tmp_path / "good", "t1.DHUB")
    company(
        engine,
        dossiers={
            "001": {"hub_folder": str(tmp_path / "gone")},
            "002": {"hub_folder": str(tmp_path / "file")},
            "003": {"hub_folder": "${env:HUB}"},
            "004": {"hub_folder": str(tmp_path / "good")},
        },
    )
    results = take_pivot_files(engine, ["001", "002", "003", "004"], clock=clock, environment={}, run_id=None)
    assert [str(results[code].failure) for code in ("001", "002", "003", "004")] == [
        f"E-HUB-001 data hub of dossier 001: no folder {tmp_path}/gone; create it or correct hub_folder",
        f"E-HUB-001 data hub of dossier 002: no folder {tmp_path}/file; create it or correct hub_folder",
        "E-CFG-046 dossier 003 hub_folder: environment variable HUB is not set or empty; set HUB where this process starts",
        "None",
    ]
    assert results["004"].datasets == 1


def test_a_link_to_another_file_is_not_a_pivot_file(engine: sa.Engine, clock: FixedClock, folder: Path, tmp_path: Path) -> None:
    drop(tmp_path, "secret.DHUB")
    (folder / "t1.DHUB").symlink_to(tmp_path / "secret.DHUB")
    (folder / "t2.DHUB").mkdir()
    assert take(engine, clock) == HubResult("001")
    assert datasets(engine) == []


def test_a_file_name_that_is_not_utf8_is_taken(engine: sa.Engine, clock: FixedClock, folder: Path) -> None:
    drop_raw(folder, os.fsdecode(b"caf\xe9.DHUB"), f'<DataHub DataSetType="TPSAFF">{GOOD}</DataHub>'.encode(), clock)
    assert take(engine, clock) == HubResult("001", datasets=1)
    assert take(engine, clock) == HubResult("001")
    assert datasets(engine)[0][0] == r"caf\udce9.DHUB"


def test_two_passes_over_one_folder_at_once_take_every_file_once(engine: sa.Engine, clock: FixedClock, folder: Path) -> None:
    for number in range(60):
        drop(folder, f"{number}.DHUB", GOOD.replace("7", str(number)))
    results: list[HubResult] = []

    def work() -> None:
        results.append(take(engine, clock))
        advance(engine, ["001"], clock=clock, run_id=None)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.datasets for result in results) == 60
    assert [result.failure for result in results] == [None] * 3
    advance(engine, ["001"], clock=clock, run_id=None)
    assert [row[3] for row in datasets(engine)] == ["CLOSED_OK"] * 60
    assert len(lines(engine, "AUTOMATON")) == 120
    assert len(names(folder, "taken")) == 60


FAILPOINTS = (
    "hub.before_commit", "hub.after_commit", "hub.companion_moved", "hub.file_moved", "hub.before_move_commit",
)  # fmt: skip


@pytest.mark.parametrize("point", FAILPOINTS)
def test_kill_9_between_any_two_effects_loses_and_doubles_nothing(
    engine: sa.Engine, clock: FixedClock, folder: Path, database_url: sa.URL, point: str
) -> None:
    """Two kills at the same point, then a whole pass: every file has one dataset, every transition one line."""
    for number in range(3):
        drop(folder, f"{number}.DHUB", GOOD.replace("7", str(number)))
        (folder / f"{number}.pdf").write_bytes(b"%PDF")
    drop(folder, "unknown.DHUB", kind="NEW")
    for _ in range(2):
        assert run("pivots", database_url, f"{point}:kill") == -signal.SIGKILL
    assert run("pivots", database_url) == 0
    assert [row[:4] for row in datasets(engine)] == [
        ("0.DHUB", "TPSAFF", 900, "CLOSED_OK"), ("1.DHUB", "TPSAFF", 900, "CLOSED_OK"), ("2.DHUB", "TPSAFF", 900, "CLOSED_OK"),
        ("unknown.DHUB", "NEW", 100, "ERROR"),
    ]  # fmt: skip
    assert len(lines(engine, "PIVOT_FILE")) == 4
    assert len(lines(engine, "AUTOMATON")) == 6
    assert names(folder) == []
    assert names(folder, "taken") == ["0.DHUB", "0.pdf", "1.DHUB", "1.pdf", "2.DHUB", "2.pdf"]
    assert names(folder, "in_error") == ["unknown.DHUB"]
    assert table(engine, intake_reject, "reason") == []


def test_a_file_that_cannot_be_put_away_keeps_no_other_out_and_is_not_taken_twice(
    engine: sa.Engine, clock: FixedClock, folder: Path
) -> None:
    """A file stands where the folder `in_error` should be: the good file is taken, the faulty one reported each time."""
    (folder / "in_error").write_text("in the way")
    drop(folder, "a.DHUB", kind="NEW")
    drop(folder, "b.DHUB")
    message = "E-HUB-002 data hub of dossier 001 file a.DHUB: File exists; check the rights and the disk of the folder"
    first = take(engine, clock)
    assert (first.datasets, first.faulty, str(first.failure)) == (2, 1, message)
    again = take(engine, clock)
    assert (again.datasets, str(again.failure)) == (0, message)
    assert (names(folder), names(folder, "taken")) == (["a.DHUB", "in_error"], ["b.DHUB"])
    (folder / "in_error").unlink()
    assert take(engine, clock) == HubResult("001")
    assert names(folder, "in_error") == ["a.DHUB"]
    assert len(lines(engine, "PIVOT_FILE")) == 2
