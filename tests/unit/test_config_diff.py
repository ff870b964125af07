"""What a plan says: per object and field, old and new."""

from __future__ import annotations

from dataclasses import replace

from erpcrm_orchestration.config.diff import compare
from erpcrm_orchestration.config.references import removable
from erpcrm_orchestration.domain.configuration import (
    CallTarget,
    Configuration,
    Dossier,
    MailGroup,
    MailTemplate,
    Source,
    SupervisionProcess,
    TaskMapping,
)

PROCESS = SupervisionProcess()
ONE = Dossier("998", "CRM")


def test_a_change_names_its_fields_with_old_and_new() -> None:
    changed = replace(ONE, alert_delay_min=30, process=replace(PROCESS, days=(1, 7), recovery_template="r"))
    (change,) = compare(Configuration(dossiers=(ONE,)), Configuration(dossiers=(changed,))).changes
    assert (change.action, change.kind, change.code) == ("change", "dossier", "998")
    assert [(one.field, one.old, one.new) for one in change.fields] == [
        ("alert_delay_min", 0, 30),
        ("process.days", ["mon", "tue", "wed", "thu", "fri"], ["mon", "sun"]),
        ("process.recovery_template", None, "r"),
    ]


def test_equal_configurations_have_no_difference() -> None:
    assert compare(Configuration(dossiers=(ONE,)), Configuration(dossiers=(ONE,))).changes == ()


def test_what_only_the_database_has_is_kept_and_listed() -> None:
    plan = compare(Configuration(dossiers=(ONE,), mail_groups=(MailGroup("g"),)), Configuration())
    assert plan.changes == ()
    assert plan.kept == (("mail_groups", "g"), ("dossiers", "998"))


def test_only_fields_of_the_schedule_move_it() -> None:
    def moved(changed: Dossier) -> bool:
        (change,) = compare(Configuration(dossiers=(ONE,)), Configuration(dossiers=(changed,))).changes
        return change.moves_schedule

    assert moved(replace(ONE, time_zone="UTC"))
    assert moved(replace(ONE, active=False))
    assert moved(replace(ONE, process=replace(PROCESS, frequency_min=5)))
    assert not moved(replace(ONE, name="other", process=replace(PROCESS, mail_group="g")))


def test_what_nothing_refers_to_may_go_and_takes_what_only_it_named_along() -> None:
    tasks = TaskMapping("t", {}, (), "target")
    current = Configuration(
        mail_groups=(MailGroup("dest_erp_crm"), MailGroup("spare"), MailGroup("aliased", aliases=("a",))),
        mail_templates=(MailTemplate("interactions_alert", "s", "t"), MailTemplate("held", "s", "t")),
        call_targets=(CallTarget("target", folder="f"), CallTarget("called", folder="f")),
        sources=(Source("old", "sqlite://", tasks=tasks), Source("used", "sqlite://")),
        dossiers=(ONE, replace(ONE, dossier_code="1", source="used", process=replace(PROCESS, mail_group="a"))),
    )
    assert removable(current, Configuration(), frozenset({("call_targets", "called")})) == {
        ("mail_groups", "spare"),
        ("mail_templates", "held"),
        ("sources", "old"),
        ("call_targets", "target"),
    }


def test_what_the_new_configuration_refers_to_stays() -> None:
    current = Configuration(sources=(Source("s", "sqlite://"),))
    assert removable(current, Configuration(dossiers=(replace(ONE, source="s"),)), frozenset()) == frozenset()
