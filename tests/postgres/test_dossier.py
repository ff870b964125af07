"""Dossiers one at a time: the command line and what the tables hold then."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.config.folder import read_folder
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import Dossier
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services import dossier_edit
from erpcrm_orchestration.services.configuration import apply
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.dossier import (
    create_dossier,
    deactivate,
    dossier_codes,
    load_dossier,
    load_dossiers,
    require_dossier,
)

DEMO = Path(__file__).parents[2] / "config"


@pytest.fixture
def company(engine: sa.Engine, clock: FixedClock, database_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    """The demo company's dossiers, and the commands on the same database."""
    apply(engine, read_folder(DEMO), clock=clock, actor="anna")
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    return engine


def load(engine: sa.Engine, code: str) -> Dossier | None:
    with engine.connect() as connection:
        return load_dossier(connection, code)


def audit(engine: sa.Engine, code: str) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(schema.change).where(schema.change.c.object_code == code).order_by(schema.change.c.change_id)
        )
        return [(row.object_kind, row.action) for row in rows]


def test_a_dossier_is_created_with_its_process_and_audit_row(engine: sa.Engine, clock: FixedClock) -> None:
    one = Dossier("123", "CRM", alert_delay_min=30)
    with engine.begin() as connection:
        create_dossier(connection, one, now=clock.at, actor="anna")
        assert load_dossier(connection, "123") == one
        assert connection.scalar(sa.select(schema.process.c.considered_until)) == clock.at
        assert connection.scalar(sa.select(schema.dossier.c.activated_at)) == clock.at
    assert audit(engine, "123") == [("dossier", "add")]


def test_a_code_that_is_taken_in_any_case_is_refused(engine: sa.Engine, clock: FixedClock) -> None:
    with engine.begin() as connection:
        create_dossier(connection, Dossier("a1", "CRM"), now=clock.at, actor="anna")
        with pytest.raises(InputError) as refused:
            create_dossier(connection, Dossier("A1", "CRM"), now=clock.at, actor="anna")
    assert str(refused.value) == "E-DOS-091 dossier: dossier a1 exists; choose another code, or change it: erpcrm dossier set"


def test_a_deactivated_dossier_stays(engine: sa.Engine, clock: FixedClock) -> None:
    with engine.begin() as connection:
        create_dossier(connection, Dossier("123", "CRM"), now=clock.at, actor="anna")
        assert deactivate(connection, "123", now=clock.at, actor="anna")
        assert not deactivate(connection, "123", now=clock.at, actor="anna")
        assert dossier_codes(connection) == dossier_codes(connection, active=False) == ["123"]
        assert dossier_codes(connection, active=True) == []
    assert audit(engine, "123") == [("dossier", "add"), ("dossier", "change")]


def test_57_an_unknown_dossier_names_the_five_nearest(company: sa.Engine) -> None:
    with company.connect() as connection, pytest.raises(InputError) as refused:
        require_dossier(connection, "99")
    assert str(refused.value) == "E-CLI-057 dossier: no dossier '99'; nearest: 999, 998, 001, 210, 340"


def test_57_without_any_dossier_it_says_so(engine: sa.Engine) -> None:
    with engine.connect() as connection, pytest.raises(InputError) as refused:
        require_dossier(connection, "998")
    assert str(refused.value) == "E-CLI-057 dossier: no dossier '998'; there is no dossier yet: erpcrm dossier add"


def test_dossiers_are_loaded_by_code(company: sa.Engine) -> None:
    with company.connect() as connection:
        assert list(load_dossiers(connection, ["998", "001", "nope"])) == ["001", "998"]
        assert load_dossiers(connection, []) == {}


def test_add_set_deactivate_by_the_command_line(company: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["crm_project_code=123", "alert_delay_min=30", "process.days=mon,sun", "process.start=07:30", "source=erp_998"]
    assert run(["dossier", "add", "123", *words]) == 0
    assert run(["dossier", "set", "123", "source=", "process.frequency_min=5"]) == 0
    assert run(["dossier", "set", "123", "source="]) == 0
    assert run(["dossier", "deactivate", "123", "--yes"]) == 0
    assert run(["dossier", "deactivate", "123"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "dossier 123 added",
        "dossier 123 changed",
        "dossier 123: nothing to change",
        "dossier 123 deactivated",
        "dossier 123: nothing to change",
    ]
    one = load(company, "123")
    assert one is not None
    assert (one.crm_project_code, one.alert_delay_min, one.source, one.active) == ("123", 30, None, False)
    assert (one.process.days, f"{one.process.start:%H:%M}", one.process.frequency_min) == ((1, 7), "07:30", 5)
    assert audit(company, "123") == [("dossier", "add"), ("dossier", "change"), ("dossier", "change")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["add", "12 3", "crm_project_code=X"],
            "E-DOS-091 dossier: dossier code '12 3' is refused; "
            "use 1 to 16 letters A-Z a-z, digits, _ and -, the first a letter or digit",
        ),
        (["add", "998", "crm_project_code=X"], "E-CFG-047 dossier: dossier 998 exists; choose another code"),
        (
            ["add", "123", "alert_delay_min=30"],
            "E-CFG-002 command line dossiers.123.crm_project_code: missing; give the code of the project in the CRM",
        ),
        (
            ["set", "998", "alert_delay_min=-1"],
            "E-CFG-041 command line dossiers.998.alert_delay_min: -1 is not a whole number from 0 to 10080; "
            "give minutes without synchronisation before an alert, 0 for never",
        ),
        (
            ["set", "998", "alert_delay_min=10"],
            "E-CFG-042 command line dossiers.998.alert_delay_min: alert_delay_min 10 is less than import_frequency_min 15; "
            "give 0 for never or at least 15",
        ),
        (
            ["set", "998", "alert_dela=10"],
            "E-CFG-040 command line dossiers.998.alert_dela: unknown key; did you mean alert_delay_min?",
        ),
        (
            ["set", "998", "source=erp_99"],
            "E-CFG-003 command line dossiers.998.source: no source erp_99; did you mean erp_998?",
        ),
        (
            ["set", "998", "hub_folder=https://u:hunter2@x/"],
            "E-CFG-045 command line dossiers.998.hub_folder: a secret stands in the file; "
            "write ${env:ERPCRM_998_HUB_FOLDER} and set it",
        ),
        (["set", "997", "name=X"], "E-CLI-057 dossier: no dossier '997'; nearest: 999, 998, 001, 210, 340"),
        (["set", "998", "name"], "E-CLI-050 erpcrm dossier: 'name' is no assignment; write field=value, as alert_delay_min=30"),
        (["set", "998", "name=a", "name=b"], "E-CLI-050 erpcrm dossier: name stands twice; write every field once"),
    ],
)
def test_A36_A37_91_the_command_line_refuses_as_the_files_do(
    company: sa.Engine, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    before = load(company, "998")
    assert run(["dossier", *arguments]) == 2
    assert capsys.readouterr().err.splitlines() == [line]
    assert load(company, "998") == before
    assert load(company, "123") is None


def test_61_without_a_terminal_a_deactivation_needs_yes(
    company: sa.Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run(["dossier", "deactivate", "998"]) == 2
    assert capsys.readouterr().err == "E-CLI-061 confirmation: nobody can be asked here; repeat with --yes\n"
    one = load(company, "998")
    assert one is not None
    assert one.active


def test_the_list_holds_every_dossier_with_every_field(company: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dossier", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["dossier_code"] for one in listed] == ["001", "210", "340", "450", "998", "999"]
    assert listed[0]["process"]["days"] == ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    assert run(["dossier", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert "Asia/Yekaterinburg" in lines[4]


def test_a_new_dossier_without_mail_group_is_told_as_a_warning(engine: sa.Engine, clock: FixedClock) -> None:
    edited = dossier_edit.add(engine, "1", ["crm_project_code=X"], clock=clock, actor="anna")
    assert edited.warnings == (
        "E-CFG-003 command line dossiers.1.process.mail_group: no mail group dest_erp_crm; add it, or name another one",
        "E-CFG-003 command line dossiers.1.process.mail_template: "
        "no mail template interactions_alert; add it, or name another one",
    )


def test_a_changed_schedule_counts_anew_and_a_reactivated_dossier_too(engine: sa.Engine, clock: FixedClock) -> None:
    first = clock.at
    dossier_edit.add(engine, "1", ["crm_project_code=X"], clock=clock, actor="anna")
    clock.at += timedelta(hours=1)
    dossier_edit.change(engine, "1", ["name=N"], clock=clock, actor="anna")
    with engine.connect() as connection:
        assert connection.scalar(sa.select(schema.process.c.considered_until)) == first
    dossier_edit.deactivate(engine, "1", clock=clock, actor="anna")
    clock.at += timedelta(hours=1)
    dossier_edit.change(engine, "1", ["active=true"], clock=clock, actor="anna")
    with engine.connect() as connection:
        assert connection.scalar(sa.select(schema.process.c.considered_until)) == clock.at
        assert connection.scalar(sa.select(schema.dossier.c.activated_at)) == clock.at
