"""What a configuration may not say: bad inputs 40 to 49 and 91 of the catalogue, each with its exact words."""

from __future__ import annotations

from pathlib import Path

import pytest

from erpcrm_orchestration.config.folder import read_folder, read_text
from erpcrm_orchestration.config.rules import Checked, check
from erpcrm_orchestration.config.secrets import missing_variables
from erpcrm_orchestration.domain.configuration import Configuration
from erpcrm_orchestration.domain.errors import InputError

HEAD = """\
mail_groups: {dest_erp_crm: {}}
mail_templates: {interactions_alert: {subject: S, text: T}}
"""


def checked(text: str, *, head: str = HEAD) -> Checked:
    return check(read_text(head + text, name="f.yaml"))


def said(text: str, *, head: str = HEAD) -> list[str]:
    return [str(error) for error in checked(text, head=head).errors]


def dossier(fields: str, *, code: str = '"998"') -> str:
    return f"dossiers:\n  {code}: {{crm_project_code: X, {fields}}}\n"


def configuration(text: str) -> Configuration:
    reading = read_text(HEAD + text, name="f.yaml")
    assert check(reading).errors == ()
    return reading.configuration


def test_40_an_unknown_key_names_the_nearest_known_one() -> None:
    assert said(dossier("alert_dela: 3")) == [
        "E-CFG-040 f.yaml:4:32 dossiers.998.alert_dela: unknown key; did you mean alert_delay_min?"
    ]
    assert said("dossier: {}\n") == ["E-CFG-040 f.yaml:3:1 dossier: unknown key; did you mean dossiers?"]
    assert said('general: {mail: {calendar: {open: "08:00"}}}\n') == [
        "E-CFG-040 f.yaml:3:29 general.mail.calendar.open: unknown key; did you mean opens?"
    ]
    assert said(dossier("process: {frequency: 3}")) == [
        "E-CFG-040 f.yaml:4:42 dossiers.998.process.frequency: unknown key; did you mean frequency_min?"
    ]


DELAY_RULE = "is not a whole number from 0 to 10080; give minutes without synchronisation before an alert, 0 for never"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("abc", '"abc"'),
        ("10081", "10081"),
        ("true", "true"),
        ('"30"', '"30"'),
        ("", "nothing"),
        ("[1]", "[1]"),
        ("{}", "a mapping"),
    ],
)
def test_A37_an_alert_delay_that_is_no_whole_number_from_0_to_10080_is_refused(written: str, shown: str) -> None:
    assert said(dossier(f"alert_delay_min: {written}")) == [
        f"E-CFG-041 f.yaml:4:49 dossiers.998.alert_delay_min: {shown} {DELAY_RULE}"
    ]


@pytest.mark.parametrize("delay", [0, 1, 10080])
def test_A37_the_ends_of_the_range_are_accepted(delay: int) -> None:
    assert configuration(dossier(f"alert_delay_min: {delay}")).dossiers[0].alert_delay_min == delay


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("alert_mail_interval_min", "10081", "a whole number from 0 to 10080"),
        ("import_frequency_min", "0", "a whole number from 1 to 1440"),
        ("import_frequency_min", "1441", "a whole number from 1 to 1440"),
        ("process: {duration_min", "1440", "a whole number from 0 to 1439"),
        ("process: {frequency_min", "0", "a whole number from 1 to 1440"),
        ("process: {missed_max", "1001", "a whole number from 1 to 1000"),
        ("active", "1", "true or false"),
        ("name", "3", "a text"),
        ("process: {start", '"24:00"', 'a time "HH:MM" from "00:00" to "23:59"'),
        ("process: {start", '"8:20"', 'a time "HH:MM" from "00:00" to "23:59"'),
        ("process: {days", "[]", "a list of days out of mon, tue, wed, thu, fri, sat, sun"),
        ("process: {days", "[mon, mon]", "a list of days out of mon, tue, wed, thu, fri, sat, sun, each once"),
        ("process: {missed_ticks", "some", "one of none, last, all"),
    ],
)
def test_41_a_wrong_value_names_itself_and_its_rule(field: str, value: str, rule: str) -> None:
    (line,) = said(dossier(f"{field}: {value}" + ("}" if "{" in field else "")))
    assert f" is not {rule}; " in line
    assert line.startswith("E-CFG-041 f.yaml:4:")


def test_A36_an_alert_delay_below_the_import_frequency_names_both() -> None:
    assert said(dossier("alert_delay_min: 10, import_frequency_min: 15")) == [
        "E-CFG-042 f.yaml:4:49 dossiers.998.alert_delay_min: "
        "alert_delay_min 10 is less than import_frequency_min 15; give 0 for never or at least 15"
    ]


@pytest.mark.parametrize("delay", [15, 0])
def test_A36_a_delay_equal_to_the_frequency_and_never_are_accepted(delay: int) -> None:
    assert configuration(dossier(f"alert_delay_min: {delay}, import_frequency_min: 15"))


def test_42_the_same_by_the_defaults_is_told_at_the_field_of_the_dossier() -> None:
    text = "dossier_defaults: {alert_delay_min: 10}\n" + dossier("import_frequency_min: 15")
    assert said(text) == [
        "E-CFG-042 f.yaml:5:54 dossiers.998.import_frequency_min: "
        "alert_delay_min 10 is less than import_frequency_min 15; give 0 for never or at least 15"
    ]


def test_44_an_unknown_zone_names_the_nearest_and_a_path_is_none() -> None:
    assert said(dossier("time_zone: Europe/Pariss")) == [
        'E-CFG-044 f.yaml:4:43 dossiers.998.time_zone: "Europe/Pariss" is no time zone; did you mean Europe/Paris?'
    ]
    assert said(dossier("time_zone: ../../etc/passwd")) == [
        'E-CFG-044 f.yaml:4:43 dossiers.998.time_zone: "../../etc/passwd" is no time zone; write it as Europe/Paris'
    ]
    assert said(dossier("time_zone: localtime"))[0].startswith("E-CFG-044")


def test_44_a_zone_without_a_place_is_a_warning() -> None:
    found = checked(dossier("time_zone: CET"))
    assert found.errors == ()
    assert found.warnings == ("E-CFG-044 f.yaml:4:43 dossiers.998.time_zone: CET names no place; write a zone as Europe/Paris",)


@pytest.mark.parametrize(
    ("text", "place", "variable"),
    [
        ("general: {mail: {password: hunter2}}\n", "3:28 general.mail.password", "ERPCRM_MAIL_PASSWORD"),
        ("call_targets: {t: {url: 'https://u:hunter2@x/'}}\n", "3:25 call_targets.t.url", "ERPCRM_T_URL"),
        ("call_targets: {t: {url: 'https://x/?token=hunter2'}}\n", "3:25 call_targets.t.url", "ERPCRM_T_URL"),
        (
            "call_targets: {t: {url: 'https://x', headers: {Authorization: Bearer hunter2}}}\n",
            "3:63 call_targets.t.headers.Authorization",
            "ERPCRM_T_HEADERS_AUTHORIZATION",
        ),
        (
            "call_targets: {t: {url: 'https://x', headers: {X-Api-Key: hunter2}}}\n",
            "3:59 call_targets.t.headers.X-Api-Key",
            "ERPCRM_T_HEADERS_X_API_KEY",
        ),
        ("sources: {e: {url: 'postgresql://u:hunter2@h/d'}}\n", "3:20 sources.e.url", "ERPCRM_E_URL"),
        ("general: {mail: {passwort: 5, password: 7}}\n", "3:41 general.mail.password", "ERPCRM_MAIL_PASSWORD"),
    ],
)
def test_45_a_secret_in_a_file_is_refused_and_never_repeated(text: str, place: str, variable: str) -> None:
    lines = said(text)
    assert f"E-CFG-045 f.yaml:{place}: a secret stands in the file; write ${{env:{variable}}} and set it" in lines
    assert not any("hunter2" in line for line in lines)


def test_45_references_in_the_place_of_secrets_are_right() -> None:
    text = """\
general: {mail: {user: "${env:U}", password: "${env:P}"}}
call_targets: {t: {url: "https://u:${env:P}@x/?token=${env:T}", headers: {Authorization: "Bearer ${env:T}"}}}
sources: {e: {url: "postgresql://u:${env:P}@h/d"}}
"""
    assert said(text) == []


def test_45_part_of_a_secret_beside_a_reference_is_refused() -> None:
    assert said('general: {mail: {password: "abc${env:P}"}}\n')[0].startswith("E-CFG-045")


def test_46_a_reference_that_is_none_and_a_variable_that_is_missing_are_told() -> None:
    assert said('general: {mail: {host: "${env:smtp}"}}\n') == [
        "E-CFG-046 f.yaml:3:24 general.mail.host: a reference that is not understood; "
        "write ${env:NAME} with a name of capitals, digits and _"
    ]
    reading = read_text('general: {mail: {host: "${env:SMTP}", port: "${env:PORT}"}}\n', name="f.yaml")
    assert [str(one.error) for one in missing_variables(reading, {"SMTP": "", "PORT": "25"})] == [
        "E-CFG-046 f.yaml:1:24 general.mail.host: environment variable SMTP is not set or empty; "
        "set SMTP where this process starts"
    ]


def test_47_codes_that_differ_only_in_case_are_refused() -> None:
    assert said('dossiers:\n  "a1": {crm_project_code: X}\n  "A1": {crm_project_code: X}\n') == [
        "E-CFG-047 f.yaml:4:9 dossiers.a1: dossier codes A1 and a1 differ only in their letters' case or form; "
        "choose another code for one of both"
    ]


def test_47_leading_zeros_make_another_code() -> None:
    text = 'dossiers:\n  "998": {crm_project_code: X}\n  "0998": {crm_project_code: X}\n'
    assert [one.dossier_code for one in configuration(text).dossiers] == ["0998", "998"]


def states(text: str) -> str:
    return f"dataset_types:\n  T:\n    category: OTHER\n    label: L\n    states: {{{text}}}\n"


def automatic(yes: int, no: int, more: str = "function: accept") -> str:
    return f"{{label: A, state_group: PROCESSING, action: AUTOMATIC, {more}, next_if_true: {yes}, next_if_false: {no}}}"


FINAL = "{label: E, state_group: CLOSED_OK, action: FINAL}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"900: {FINAL}", "dataset_types.T.states: no state 100; every dataset enters in state 100: add it"),
        (f"100: {automatic(900, 910)}, 900: {FINAL}", "states.100.next_if_false: no state 910; states: 100, 900"),
        (
            f"100: {automatic(110, 110)}, 110: {automatic(100, 100)}",
            "states.100: automatic state 100 leads back to itself without an exit; lead one branch to a manual or final state",
        ),
        (
            f"100: {automatic(900, 900, 'function: acept')}, 900: {FINAL}",
            "states.100.function: no function acept; did you mean accept?",
        ),
        (
            f"100: {automatic(900, 900, 'function: field_equals, parameters: {field: X}')}, 900: {FINAL}",
            "states.100.parameters: function field_equals without parameter value; give value",
        ),
        (
            f"100: {automatic(900, 900, 'function: check_companions, parameters: {extension: X}')}, 900: {FINAL}",
            "states.100.parameters.extension: function check_companions has no parameter extension; did you mean extensions?",
        ),
        (
            "100: {label: E, state_group: CLOSED_OK, action: MANUAL}",
            "states.100: action MANUAL with state_group CLOSED_OK; FINAL states are CLOSED_OK or CLOSED_KO, and only they",
        ),
        (
            "100: {label: E, state_group: PENDING, action: MANUAL, next_if_true: 100}",
            "states.100: a MANUAL state with function, parameters or branches; only AUTOMATIC states have them",
        ),
    ],
)
def test_48_an_automaton_that_cannot_end_is_refused(text: str, line: str) -> None:
    lines = said(states(text))
    assert any(one.startswith("E-CFG-048 f.yaml:") and one.endswith(line) for one in lines), lines


def test_48_an_automatic_cycle_with_an_exit_is_accepted() -> None:
    assert configuration(states(f"100: {automatic(110, 110)}, 110: {automatic(900, 100)}, 900: {FINAL}"))


def test_49_an_active_process_below_an_inactive_dossier_is_a_notice() -> None:
    found = checked(dossier("active: false, process: {state: ACTIVE}"))
    assert found.errors == ()
    assert found.warnings == (
        "E-CFG-049 f.yaml:4:64 dossiers.998.process.state: ACTIVE in an inactive dossier; nothing runs until active is true",
    )
    text = 'general: {common_dossier: "998"}\n' + dossier("active: false")
    assert checked(text).warnings == (
        "E-CFG-049 f.yaml:3:27 general.common_dossier: common dossier 998 is inactive; nothing runs until it is active",
    )


def test_50_a_folder_without_files_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_folder(tmp_path)
    assert str(refused.value) == f"E-CFG-050 {tmp_path}: no *.yaml in this folder; name the folder of the configuration"
    (one,) = read_folder(tmp_path / "none").faults
    assert "cannot be read (No such file or directory)" in str(one.error)


@pytest.mark.parametrize(
    "code",
    ["", " 998", "998 ", "a|b", "[all]", "998\u200b", "9" * 17, "-998", "_a", "\uff19\uff19\uff18", "é1", "a.b", "a/b"],
)
def test_91_a_dossier_code_outside_the_rule_is_refused(code: str) -> None:
    assert said(dossier("active: true", code=f'"{code}"')) == [
        f"E-DOS-091 f.yaml:4:3 dossiers: dossier code {code!a} is refused; "
        "use 1 to 16 letters A-Z a-z, digits, _ and -, the first a letter or digit"
    ]


def test_91_a_line_break_in_a_code_stays_one_line_in_the_message() -> None:
    (line,) = said(dossier("active: true", code='"a\\nb"'))
    assert "dossier code 'a\\nb' is refused" in line


def test_33_a_bare_dossier_code_is_a_number() -> None:
    assert said(dossier("active: true", code="998")) == [
        'E-CFG-033 f.yaml:4:3 dossiers: the code 998 is a number; quote dossier codes: "998"'
    ]


def test_A31_a_template_with_an_unknown_field_is_an_error_naming_it() -> None:
    text = "mail_templates: {t: {subject: FORM.etatsynchro, text: 'Etat FORM.xyz'}}\n"
    assert said(text, head="") == [
        "E-MAIL-083 f.yaml:1:55 mail_templates.t.text: unknown field FORM.xyz; did you mean FORM.etatsynchro?"
    ] or said(text, head="")[0].startswith("E-MAIL-083 f.yaml:1:55 mail_templates.t.text: unknown field FORM.xyz; ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (dossier("source: erp"), "E-CFG-003 f.yaml:5:40 dossiers.998.source: no source erp; did you mean erp_1?"),
        (
            dossier("process: {mail_group: dest_erp_crn}"),
            "E-CFG-003 f.yaml:5:54 dossiers.998.process.mail_group: no mail group dest_erp_crn; did you mean dest_erp_crm?",
        ),
        (
            dossier("process: {mail_template: interaction_alert}"),
            "E-CFG-003 f.yaml:5:57 dossiers.998.process.mail_template: "
            "no mail template interaction_alert; did you mean interactions_alert?",
        ),
        (
            'general: {default_dossier: "99"}\n' + dossier("active: true"),
            "E-CFG-003 f.yaml:4:28 general.default_dossier: no dossier 99; did you mean 998?",
        ),
    ],
)
def test_a_reference_to_what_is_not_there_names_the_nearest(text: str, line: str) -> None:
    assert said("sources: {erp_1: {url: 'sqlite:///x'}}\n" + text) == [line]


def test_a_reference_into_a_section_that_the_files_leave_out_is_a_warning() -> None:
    found = checked(dossier("source: erp"), head="")
    assert found.errors == ()
    assert found.warnings[-1] == (
        "E-CFG-003 f.yaml:2:40 dossiers.998.source: no source erp in these files; plan and apply look for it in the database"
    )


def test_an_alias_of_a_mail_group_is_a_reference_too() -> None:
    text = "mail_groups: {g: {aliases: [a]}}\nmail_templates: {interactions_alert: {subject: S, text: T}}\n"
    assert said(dossier("process: {mail_group: a}"), head=text) == []


def test_the_same_code_in_two_files_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('dossiers:\n  "998": {crm_project_code: X}\n')
    (tmp_path / "b.yaml").write_text('dossiers:\n  "998": {crm_project_code: Z}\n')
    (one,) = read_folder(tmp_path).faults
    assert str(one.error) == (
        f"E-CFG-032 {tmp_path}/b.yaml:2:3 dossiers.998: stands here again, first at {tmp_path}/a.yaml:2:3; remove one of both"
    )


def test_everything_wrong_is_told_at_once_in_the_order_of_the_text() -> None:
    text = (
        'dossiers:\n  "1": {alert_delay_min: -1, colour: red}\n  "2": {crm_project_code: X, time_zone: Mars/Olympus}\n  3: {}\n'
    )
    assert [line.split(" ")[0] + " " + line.split(" ")[1] for line in said(text)] == [
        "E-CFG-002 f.yaml:4:8",
        "E-CFG-041 f.yaml:4:26",
        "E-CFG-040 f.yaml:4:30",
        "E-CFG-044 f.yaml:5:41",
        "E-CFG-033 f.yaml:6:3",
    ]


def test_defaults_of_dossiers_hold_unless_a_dossier_says_otherwise() -> None:
    text = "dossier_defaults: {alert_delay_min: 30, process: {frequency_min: 5, days: [sun, mon]}}\n"
    text += 'dossiers:\n  "1": {crm_project_code: X}\n  "2": {crm_project_code: X, process: {frequency_min: 7}}\n'
    one, two = configuration(text).dossiers
    assert (one.alert_delay_min, one.process.frequency_min, one.process.days) == (30, 5, (1, 7))
    assert (two.alert_delay_min, two.process.frequency_min, two.process.days) == (30, 7, (1, 7))


def test_a_wrong_default_is_told_once_at_its_own_place() -> None:
    text = "dossier_defaults: {alert_delay_min: -5}\ndossiers:\n" + "".join(
        f'  "{number}": {{crm_project_code: X}}\n' for number in range(50)
    )
    assert said(text) == [f"E-CFG-041 f.yaml:3:37 dossier_defaults.alert_delay_min: -5 {DELAY_RULE}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("call_targets: {t: {}}\n", "E-CFG-041 f.yaml:3:19 call_targets.t: neither url nor folder; give exactly one of both"),
        (
            "call_targets: {t: {url: 'ftp://x'}}\n",
            "E-CFG-041 f.yaml:3:25 call_targets.t.url: not an HTTP address; start it with https:// or ${env:NAME}",
        ),
        (
            'dossiers:\n  "1": {crm_project_code: X, hub_folder: /h}\n  "2": {crm_project_code: X, hub_folder: /h/}\n',
            "E-CFG-041 f.yaml:5:42 dossiers.2.hub_folder: the folder is that of dossier 1 too; give each dossier its own",
        ),
    ],
)
def test_what_cannot_be_together_is_refused(text: str, line: str) -> None:
    assert said(text) == [line]


def test_the_folder_of_the_demo_company_is_right() -> None:
    found = read_folder(Path(__file__).parents[2] / "config")
    assert check(found) == Checked()
    assert [one.dossier_code for one in found.configuration.dossiers] == ["001", "210", "340", "450", "998", "999"]


def test_a_reference_that_a_thousand_dossiers_inherit_is_told_once() -> None:
    text = "dossier_defaults: {source: erp}\nsources: {erp_1: {url: 'sqlite:///x'}}\ndossiers:\n"
    text += "".join(f'  "{number}": {{crm_project_code: X}}\n' for number in range(1000))
    assert said(text) == ["E-CFG-003 f.yaml:3:28 dossier_defaults.source: no source erp; did you mean erp_1?"]


@pytest.mark.parametrize("name", ["a\\nb", "a\\u2028b", "\\x07", " "])
def test_a_name_is_one_line_of_text(name: str) -> None:
    (line,) = said(dossier(f'name: "{name}"'))
    assert line.startswith("E-CFG-041 f.yaml:4:38 dossiers.998.name: ")
    assert line.count("\n") == 0


PLACEHOLDERS = """\
mail_groups: {dest_erp_crm: {}}
mail_templates:
  interactions_alert: {subject: S, text: "%s"}
  birthday: {subject: S, text: "{{account.name}} {{today}}"}
  account_without_movement: {subject: S, text: "%s"}
monitors: {m: {period_days: 30}}
"""


def test_E17_a_placeholder_must_be_one_of_what_the_mail_is_for() -> None:
    assert said(dossier("alert_delay_min: 30"), head=PLACEHOLDERS % ("FORM.TOUT", "{{accounts}} {{period_days}}")) == []
    wrong = said(dossier("alert_delay_min: 30"), head=PLACEHOLDERS % ("{{account.name}}", "{{account.name}}"))
    assert [one.partition(";")[0] for one in wrong] == [
        "E-MAIL-083 f.yaml:3:42 mail_templates.interactions_alert.text: unknown field {{account.name}}",
        "E-MAIL-083 f.yaml:5:48 mail_templates.account_without_movement.text: unknown field {{account.name}}",
    ]


def test_E36_a_preset_that_transfers_to_nobody_is_refused() -> None:
    errors = said("monitors: {m: {period_days: 30, transfer: true, template: interactions_alert}}\n")
    assert [one.partition(": ")[0].split()[0] for one in errors] == ["E-CFG-041"]
    assert errors[0].endswith("transfer without transfer_user; say who gets the accounts")
