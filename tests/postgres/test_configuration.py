"""Folders of YAML against a real database: plan, apply, prune, export, audit, two at once."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.config.export import to_yaml
from erpcrm_orchestration.config.folder import Reading, read_folder, read_text
from erpcrm_orchestration.config.rules import check
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import Configuration
from erpcrm_orchestration.domain.errors import Findings, InputError
from erpcrm_orchestration.services.configuration import Outcome, apply, current_configuration, export, plan
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.configuration_write import lock_configuration
from erpcrm_orchestration.store.dossier import load_dossier

DEMO = Path(__file__).parents[2] / "config"
HEAD = """
mail_groups: {dest_erp_crm: {aliases: [dest_interact_erpcrm], members: [{address: a@example.com}]}}
mail_templates: {interactions_alert: {subject: FORM.etatsynchro, text: FORM.TOUT}}
"""


def reading(text: str, *, head: str = HEAD) -> Reading:
    return read_text(head + text, name="f.yaml")


def dossier(fields: str = "name: Nord", *, code: str = "998") -> str:
    return f'dossiers: {{"{code}": {{crm_project_code: X, {fields}}}}}\n'


def put(engine: sa.Engine, clock: FixedClock, text: str, *, head: str = HEAD, prune: bool = False) -> Outcome:
    return apply(engine, reading(text, head=head), clock=clock, actor="anna", prune=prune)


def stored(engine: sa.Engine) -> Configuration:
    with engine.connect() as connection:
        return current_configuration(connection)


def process_row(engine: sa.Engine, code: str = "998") -> sa.Row[tuple[object, ...]]:
    with engine.connect() as connection:
        return connection.execute(sa.select(schema.process).where(schema.process.c.dossier_code == code)).one()


def dossier_row(engine: sa.Engine, code: str = "998") -> sa.Row[tuple[object, ...]]:
    with engine.connect() as connection:
        return connection.execute(sa.select(schema.dossier).where(schema.dossier.c.dossier_code == code)).one()


def test_the_demo_folder_is_applied_and_read_back_the_same(engine: sa.Engine, clock: FixedClock) -> None:
    demo = read_folder(DEMO)
    assert check(demo).errors == ()
    outcome = apply(engine, demo, clock=clock, actor="anna")
    assert outcome.plan.counts["add"] == len(outcome.plan.changes) > 20
    assert stored(engine) == demo.configuration


def test_applying_twice_changes_nothing_and_writes_no_audit_row(engine: sa.Engine, clock: FixedClock) -> None:
    apply(engine, read_folder(DEMO), clock=clock, actor="anna")
    clock.at += timedelta(hours=1)
    assert apply(engine, read_folder(DEMO), clock=clock, actor="anna").plan.changes == ()
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.max(schema.change.c.at))) == clock.at - timedelta(hours=1)


def test_an_exported_folder_is_applied_without_a_change(engine: sa.Engine, clock: FixedClock) -> None:
    apply(engine, read_folder(DEMO), clock=clock, actor="anna")
    exported = read_text(to_yaml(export(engine)), name="export.yaml")
    assert exported.faults == []
    assert plan(engine, exported).plan.changes == ()
    assert plan(engine, exported).plan.kept == ()


def test_a_plan_writes_nothing(engine: sa.Engine) -> None:
    outcome = plan(engine, reading(dossier("alert_delay_min: 30")))
    assert [(change.action, change.kind, change.code) for change in outcome.plan.changes] == [
        ("add", "mail_group", "dest_erp_crm"),
        ("add", "mail_template", "interactions_alert"),
        ("add", "dossier", "998"),
    ]
    assert stored(engine) == Configuration()


def test_what_is_wrong_is_told_and_nothing_is_written(engine: sa.Engine, clock: FixedClock) -> None:
    with pytest.raises(Findings) as refused:
        put(engine, clock, dossier("alert_delay_min: -1, colour: red"))
    assert len(refused.value.errors) == 2
    assert stored(engine) == Configuration()


def test_a_reference_is_found_in_the_database(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, "sources: {erp: {url: 'sqlite:///x'}}\n")
    put(engine, clock, dossier("source: erp"), head="")
    assert stored(engine).dossiers[0].source == "erp"
    with pytest.raises(Findings) as refused:
        put(engine, clock, dossier("source: erb"), head="")
    assert refused.value.lines == ("E-CFG-003 f.yaml:1:49 dossiers.998.source: no source erb; did you mean erp?",)


def test_47_a_code_that_differs_in_case_from_one_of_the_database_is_refused(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, dossier(code="a1"))
    with pytest.raises(Findings) as refused:
        put(engine, clock, dossier(code="A1"), head="")
    assert refused.value.lines[0].startswith("E-CFG-047 f.yaml:1:18 dossiers.A1: dossier codes a1 and A1 differ only in")


def test_every_changed_object_has_its_audit_row(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, dossier("alert_delay_min: 30"))
    clock.at += timedelta(hours=1)
    apply(engine, reading(dossier("alert_delay_min: 45")), clock=clock, actor="boris")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(schema.change).order_by(schema.change.c.change_id)).all()
    assert [(row.actor, row.object_kind, row.object_code, row.action) for row in rows] == [
        ("anna", "mail_group", "dest_erp_crm", "add"),
        ("anna", "mail_template", "interactions_alert", "add"),
        ("anna", "dossier", "998", "add"),
        ("boris", "dossier", "998", "change"),
    ]
    assert rows[2].before is None
    assert (rows[3].before["alert_delay_min"], rows[3].after["alert_delay_min"], rows[3].at) == (30, 45, clock.at)


def test_a_moved_schedule_counts_anew_from_now(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, dossier())
    first = clock.at
    with engine.begin() as connection:
        connection.execute(sa.update(schema.process).values(next_due_at=first + timedelta(minutes=7)))
    clock.at += timedelta(hours=1)
    put(engine, clock, dossier("alert_delay_min: 30, process: {mail_group: dest_interact_erpcrm}"))
    row = process_row(engine)
    assert (row.considered_until, row.next_due_at) == (first, first + timedelta(minutes=7))
    for fields in (
        "process: {frequency_min: 5}",
        "process: {frequency_min: 5, days: [sun]}",
        'process: {frequency_min: 5, days: [sun], start: "00:00"}',
        "process: {frequency_min: 6, duration_min: 3}",
        "time_zone: Asia/Tokyo",
        "process: {state: EXPIRED}",
        "active: false",
    ):
        clock.at += timedelta(hours=1)
        with engine.begin() as connection:
            connection.execute(sa.update(schema.process).values(next_due_at=first))
        put(engine, clock, dossier(fields))
        row = process_row(engine)
        assert (row.considered_until, row.next_due_at) == (clock.at, None), fields


def test_a_dossier_counts_from_when_it_became_active(engine: sa.Engine, clock: FixedClock) -> None:
    first = clock.at
    put(engine, clock, dossier())
    assert dossier_row(engine).activated_at == first
    clock.at += timedelta(days=1)
    put(engine, clock, dossier("active: false"))
    assert dossier_row(engine).activated_at == first
    clock.at += timedelta(days=1)
    put(engine, clock, dossier("active: true"))
    assert dossier_row(engine).activated_at == clock.at
    assert dossier_row(engine).created_at == first


def test_what_only_the_database_has_is_kept_and_pruned_on_demand(engine: sa.Engine, clock: FixedClock) -> None:
    put(
        engine,
        clock,
        "call_targets: {used: {folder: /f}, spare: {folder: /g}}\n"
        "sources: {old: {url: 'sqlite:///x'}}\n"
        'dossiers: {"1": {crm_project_code: X, mobility: {action: A, target: used}}, '
        '"998": {crm_project_code: X, source: old}}\n',
    )
    outcome = put(engine, clock, dossier("active: true"))
    assert outcome.plan.kept == (("call_targets", "spare"), ("call_targets", "used"), ("sources", "old"), ("dossiers", "1"))
    assert [change.action for change in outcome.plan.changes] == ["change"]
    outcome = put(engine, clock, dossier("active: true"), prune=True)
    assert [(change.action, change.section, change.code) for change in outcome.plan.changes] == [
        ("remove", "call_targets", "spare"),
        ("remove", "sources", "old"),
    ]
    assert [one.dossier_code for one in stored(engine).dossiers] == ["1", "998"]
    with engine.connect() as connection:
        row = connection.execute(sa.select(schema.change).order_by(schema.change.c.change_id.desc()).limit(1)).one()
    assert (row.action, row.after, row.before["url"]) == ("remove", None, "sqlite:///x")


def test_a_dataset_type_with_datasets_is_never_pruned(engine: sa.Engine, clock: FixedClock) -> None:
    manual = "{category: OTHER, label: L, states: {100: {label: R, state_group: WAITING, action: MANUAL}}}"
    put(engine, clock, f"dataset_types: {{USED: {manual}, SPARE: {manual}}}\n" + dossier())
    with engine.begin() as connection:
        row = {"dossier_code": "998", "type_code": "USED", "category": "OTHER", "origin": "CRM", "intake": "data_hub"}
        more = {"source_key": "1", "state_number": 100, "state_group": "WAITING", "content_hash": "h"}
        connection.execute(sa.insert(schema.hub_dataset).values(**row, **more, created_at=clock.at, updated_at=clock.at))
    put(engine, clock, dossier(), prune=True)
    assert [one.type_code for one in stored(engine).dataset_types] == ["USED"]


def test_an_automaton_is_replaced_with_its_states(engine: sa.Engine, clock: FixedClock) -> None:
    final = "{label: E, state_group: CLOSED_OK, action: FINAL}"
    step = "{label: A, state_group: RECEIVED, action: AUTOMATIC, function: accept, next_if_true: %d, next_if_false: %d}"
    head = "dataset_types: {T: {category: OTHER, label: L, states: {"
    put(engine, clock, f"{head}100: {step % (900, 900)}, 900: {final}}}}}}}\n")
    put(engine, clock, f"{head}100: {step % (910, 910)}, 910: {final}}}}}}}\n")
    assert [state.state_number for state in stored(engine).dataset_types[0].states] == [100, 910]


def test_members_of_a_group_are_replaced_in_their_order(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, "mail_groups: {g: {members: [{address: a@x.fr}, {address: b@x.fr}]}}\n", head="")
    put(engine, clock, "mail_groups: {g: {members: [{address: c@x.fr, name: C}, {address: a@x.fr}]}}\n", head="")
    assert [member.address for member in stored(engine).mail_groups[0].members] == ["c@x.fr", "a@x.fr"]


def test_general_parameters_set_the_watchers_and_leave_their_pause(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, "general: {company_name: A}\n")
    with engine.begin() as connection:
        connection.execute(sa.update(schema.watcher).where(schema.watcher.c.watcher_code == "MOBILITY").values(paused=True))
    put(engine, clock, "general: {watchers: {MOBILITY: {enabled: false, poll_interval_s: 7}}}\n")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(schema.watcher).order_by(schema.watcher.c.watcher_code)).all()
    assert [(row.watcher_code, row.enabled, row.paused, row.poll_interval_s) for row in rows] == [
        ("DATA_HUB", True, False, 60),
        ("INTERCOMPANY", True, False, 60),
        ("MOBILITY", False, True, 7),
    ]


def test_files_that_say_nothing_of_general_parameters_leave_them(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, "general: {company_name: A}\n")
    put(engine, clock, dossier())
    general = stored(engine).general
    assert general is not None
    assert general.company_name == "A"


def test_two_applications_at_once_follow_each_other(engine: sa.Engine, clock: FixedClock) -> None:
    put(engine, clock, "")
    started, outcomes = threading.Event(), []

    def second() -> None:
        started.set()
        outcomes.append(put(engine, clock, dossier("alert_delay_min: 30")))

    with engine.begin() as holder:
        lock_configuration(holder)
        thread = threading.Thread(target=second)
        thread.start()
        started.wait(10)
        while not holder.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")):
            pass
        assert outcomes == []
    thread.join(30)
    assert [len(outcome.plan.changes) for outcome in outcomes] == [1]


def test_eight_applications_at_once_add_each_object_once(engine: sa.Engine, clock: FixedClock) -> None:
    demo = read_folder(DEMO)
    outcomes: list[int] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(len(apply(engine, demo, clock=clock, actor="x").plan.changes)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes)[:7] == [0] * 7
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.change)) == max(outcomes)


def test_a_dossier_is_copied_to_another_code_by_one_file(engine: sa.Engine, clock: FixedClock) -> None:
    apply(engine, read_folder(DEMO), clock=clock, actor="anna")
    text = to_yaml(export(engine, dossier="998", code="123"))
    outcome = apply(engine, read_text(text, name="123.yaml"), clock=clock, actor="anna")
    assert [(change.action, change.code) for change in outcome.plan.changes] == [("add", "123")]
    with engine.connect() as connection:
        original, copy = load_dossier(connection, "998"), load_dossier(connection, "123")
    assert original is not None
    assert copy is not None
    assert copy.process == original.process
    assert copy.hub_folder == "${env:ERPCRM_HUB_FOLDER}/123"


@pytest.mark.parametrize(
    ("dossier", "code", "message"),
    [
        ("997", None, "E-CLI-057 dossier: no dossier '997'; nearest: 999, 998, 001, 210, 340"),
        ("998", "001", "E-CFG-047 dossier: dossier 001 exists; choose another code"),
        ("998", "1 2", "E-DOS-091 dossier: dossier code '1 2' is refused; use 1 to 16 letters A-Z a-z, digits, _ and -, "),
    ],
)
def test_what_cannot_be_copied_is_refused(
    engine: sa.Engine, clock: FixedClock, dossier: str, code: str | None, message: str
) -> None:
    apply(engine, read_folder(DEMO), clock=clock, actor="anna")
    with pytest.raises(InputError) as refused:
        export(engine, dossier=dossier, code=code)
    assert str(refused.value).startswith(message)


@pytest.fixture
def command_line(database_url: sa.URL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The commands use the test's database; the folder is theirs."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    return tmp_path


def test_the_commands_check_plan_apply_export(command_line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = command_line / "config"
    folder.mkdir()
    (folder / "a.yaml").write_text(HEAD + dossier("alert_delay_min: 30"))
    assert run(["config", "check", str(folder)]) == 0
    assert run(["config", "plan", str(folder)]) == 0
    assert run(["config", "plan", str(folder), "--exit-code"]) == 1
    assert run(["config", "apply", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("add     dossier 998\n3 added, 0 changed, 0 removed, 0 kept\n")
    assert run(["config", "plan", str(folder), "--exit-code"]) == 0
    (folder / "a.yaml").write_text(HEAD + dossier("alert_delay_min: 45"))
    capsys.readouterr()
    assert run(["config", "plan", str(folder), "--exit-code"]) == 1
    assert capsys.readouterr().out == (
        "change  dossier 998\n          alert_delay_min: 30 -> 45\n0 added, 1 changed, 0 removed, 0 kept\n"
    )
    out = command_line / "out"
    assert run(["config", "export", "--output", str(out)]) == 0
    assert run(["config", "plan", str(out), "--exit-code"]) == 0
    assert run(["config", "export", "--dossier", "998", "--as", "123", "--output", str(folder / "123.yaml")]) == 0
    assert run(["config", "apply", str(folder)]) == 0
    assert json.loads((out / "schema.json").read_text())["type"] == "object"


def test_a_plan_never_shows_a_secret(command_line: Path, capsys: pytest.CaptureFixture[str], engine: sa.Engine) -> None:
    target = '{"target_code": "t", "url": "https://u:hunter2@x", "headers": {"Authorization": "Bearer hunter2"}}'
    with engine.begin() as connection:
        row = {"target_code": "t", "definition": json.loads(target), "updated_at": sa.func.now()}
        connection.execute(sa.insert(schema.call_target).values(**row))
    (command_line / "a.yaml").write_text('call_targets: {t: {url: "${env:URL}", headers: {Authorization: "${env:KEY}"}}}\n')
    assert run(["config", "plan", str(command_line / "a.yaml")]) == 0
    shown = capsys.readouterr().out
    assert '          url: *** -> "${env:URL}"\n' in shown
    assert "hunter2" not in shown


def test_wrong_files_end_with_exit_code_2_and_one_line_each(command_line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command_line / "a.yaml").write_text(dossier("alert_delay_min: -1, colour: red"))
    assert run(["config", "check", str(command_line / "a.yaml")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[0] for line in lines if not line.startswith("warning")] == ["E-CFG-041", "E-CFG-040"]


def test_a_check_needs_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ERPCRM_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert run(["config", "check", str(DEMO)]) == 0
    assert capsys.readouterr().out.endswith("all is well\n")
    assert run(["config", "check", str(DEMO), "--env"]) == 2
    assert "environment variable ERPCRM_SMTP_HOST is not set or empty" in capsys.readouterr().err
