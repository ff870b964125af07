"""Settings on the board: the validation of the files, one entry at a time; every change is an audit row."""

from __future__ import annotations

import html
import re

import pytest

from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.services.configuration import current_configuration, plan
from erpcrm_orchestration.store.schema import change
from tests.board_house import Guest, House, text_of
from tests.company import Company


@pytest.fixture
def configured(company: Company) -> Company:
    """Two dossiers with group and template."""
    company.general()
    company.mail_group("anna@example.com")
    company.template("Etat: FORM.etatsynchro", "FORM.TOUT\n")
    for code in ("001", "998"):
        company.dossier(code)
    company.refresh("998")
    return company


def form_of(guest: Guest, path: str) -> dict[str, str]:
    """Return what a browser would send of the form of a page as it stands."""
    page = guest.get(path).text
    form = page.split('class="payload"')[1].split("</form>")[0]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and ("checkbox" not in tag or " checked" in tag):
            found[html.unescape(name[1])] = html.unescape(value[1]) if value else ""
    for name, text in re.findall(r'<textarea name="([^"]*)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
        found[name] = html.unescape(text)
    for name, options in re.findall(r'<select name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r"<option selected>([^<]*)", options)
        found[name] = html.unescape(chosen[1]) if chosen else ""
    return found


def test_a_form_that_is_sent_as_it_stands_changes_nothing(configured: Company, house: House) -> None:
    admin = house.guest({"*": "admin"})
    with configured.engine.connect() as connection:
        before = current_configuration(connection)
    entries = [
        f"/settings/{section}/{code}" for section, codes in admin.get("/api/v1/settings").json().items() for code in codes
    ]
    assert len(entries) >= 5
    for path in entries:
        answer = admin.post(path, form_of(admin, path))
        assert "Nothing had changed." in text_of(answer), (path, text_of(answer))
    with configured.engine.connect() as connection:
        assert current_configuration(connection) == before


def test_a_dossier_is_changed_by_its_own_administrator_and_it_is_an_audit_row(configured: Company, house: House) -> None:
    admin = house.guest({"998": "admin"})
    path = "/settings/dossiers/998"
    form = {**form_of(admin, path), "alert_delay_min": "45", "process.frequency_min": "5", "active?": "1", "active": "true"}
    answer = admin.post(path, form)
    assert "Kept: change dossier 998" in text_of(answer)
    row = configured.rows(change)[-1]
    assert (row.actor, row.object_kind, row.object_code) == (admin.login, "dossier", "998")
    assert (row.before["alert_delay_min"], row.after["alert_delay_min"]) == (30, 45)
    assert admin.get("/settings/dossiers/001").status_code == 404
    assert admin.get("/settings/mail_groups/dest_erp_crm").status_code == 404
    assert admin.get("/settings.yaml").status_code == 404


def test_an_administrator_of_a_dossier_does_not_reach_what_is_of_the_machine(configured: Company, house: House) -> None:
    admin, path = house.guest({"998": "admin"}), "/settings/dossiers/998"
    assert "hub_folder" not in admin.get(path).text
    form = {**form_of(admin, path), "hub_folder": "/etc", "alert_delay_min": "31", "active?": "1", "active": "true"}
    assert admin.post(path, form).status_code == 200
    assert admin.get("/api/v1/settings/dossiers/998").json()["hub_folder"] is None


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("alert_delay_min", "-1", "E-CFG"),
        ("alert_delay_min", "1.5", "E-CFG"),
        ("alert_delay_min", "abc", "E-CFG"),
        ("alert_delay_min", "10081", "E-CFG"),
        ("import_frequency_min", "60", "60"),
        ("time_zone", "Europe/Pariss", "Europe/Pariss"),
        ("process.mail_group", "nobody", "nobody"),
        ("process.days", "[mon, someday]", "days"),
        ("process.days", "[mon", "process.days"),
        ("crm_project_code", "", "crm_project_code"),
    ],
)
def test_A36_A37_what_config_check_refuses_is_refused_here_and_what_was_typed_stays(
    configured: Company, house: House, field: str, typed: str, told: str
) -> None:
    admin, path = house.guest({"998": "admin"}), "/settings/dossiers/998"
    answer = admin.post(path, {**form_of(admin, path), "active?": "1", "active": "true", field: typed})
    assert answer.status_code == 422
    fault = text_of(answer)
    assert told in fault
    assert "E-CFG" in fault
    assert html.escape(typed) in answer.text
    assert not [row for row in configured.rows(change) if row.object_kind == "dossier"]


def test_groups_and_templates_are_added_and_removed_but_not_while_they_are_used(configured: Company, house: House) -> None:
    admin = house.guest({"*": "admin"})
    members = "- {address: eve@example.com, name: Eve}\n"
    added = admin.post("/settings/mail_groups/new", {"new_code": "night", "members": members})
    assert "Kept: add mail_group night" in text_of(added)
    again = admin.post("/settings/mail_groups/new", {"new_code": "night", "members": members})
    assert "E-WEB-028" in text_of(again)
    assert admin.get("/api/v1/settings/mail_groups/night").json()["members"] == [{"address": "eve@example.com", "name": "Eve"}]
    used = admin.post("/settings/mail_groups/dest_erp_crm/remove")
    assert used.status_code == 422
    assert "dest_erp_crm" in text_of(used)
    assert admin.post("/settings/mail_groups/night/remove").status_code == 303
    assert "night" not in admin.get("/api/v1/settings").json()["mail_groups"]
    assert "E-WEB-027" in text_of(admin.post("/settings/dossiers/998/remove"))


def test_the_mail_calendar_and_the_watchers_are_settings(configured: Company, house: House) -> None:
    admin, path = house.guest({"*": "admin"}), "/settings/general/general"
    form = {**form_of(admin, path), "mail.calendar.opens": "08:00", "watchers": "INTERCOMPANY: {poll_interval_s: 30}\n"}
    assert "Kept: change general" in text_of(admin.post(path, form)).replace("parameters ", "")
    general = admin.get("/api/v1/settings/general/general").json()
    assert general["mail"]["calendar"]["opens"] == "08:00"
    assert general["watchers"]["INTERCOMPANY"]["poll_interval_s"] == 30


def test_a_template_is_shown_filled_with_a_stored_state_while_it_is_written(configured: Company, house: House) -> None:
    admin = house.guest({"*": "admin"})
    wish = {"dossier": "998", "subject": "FORM.dossier_code: FORM.etatsynchro", "text": "FORM.crm_project_code 100 %%"}
    shown = admin.call("/api/v1/settings/preview", wish).json()
    assert (shown["subject"], shown["text"], shown["faults"]) == ("998: Alerte > 30", "CRM-998 100 %", [])
    wrong = admin.call("/api/v1/settings/preview", {**wish, "text": "FORM.xyz"}).json()
    assert wrong["faults"][0].startswith("E-MAIL-083")
    assert admin.call("/api/v1/settings/preview", {**wish, "dossier": "001"}).status_code == 404


def test_the_export_is_what_config_apply_reads(configured: Company, house: House) -> None:
    admin = house.guest({"*": "admin"})
    answer = admin.get("/settings.yaml")
    assert answer.headers["content-type"] == "application/yaml"
    outcome = plan(configured.engine, read_text(answer.text), prune=True)
    assert outcome.plan.changes == ()


ROUTINES = [
    ("servers", "night", {"capacity": "2", "tags": "dagster-celery/queue: night\n"}, {"state": "BLOCKED"}),
    ("agendas", "account_status", {"times": '["06:00", "18:00"]'}, {"days": "[mon, fri]"}),
    (
        "audiences",
        "vip",
        {"where.any": "- {field: class, values: [Gold]}\n- {field: status, op: is_null}\n"},
        {"kind": "STATIC", "accounts": "- K1\n- K2\n", "where.any": ""},
    ),
    ("monitors", "quiet", {"period_days": "90", "template": "interactions_alert"}, {"processes": "[ORDER, TASK]"}),
    (
        "class_rules",
        "silver",
        {"to_class": "Silver", "metric": "accumulated_value", "operator": ">=", "threshold": "10000.00"},
        {"priority": "1"},
    ),
]
"""Section, code, what is typed of a new entry, what is typed over it."""


@pytest.mark.parametrize(("section", "code", "typed", "then"), ROUTINES, ids=[one[0] for one in ROUTINES])
def test_what_routines_need_is_added_changed_and_removed_like_every_other_setting(
    configured: Company, house: House, section: str, code: str, typed: dict[str, str], then: dict[str, str]
) -> None:
    admin, path = house.guest({"*": "admin"}), f"/settings/{section}/{code}"
    new = f"/settings/{section}/new"
    added = admin.post(new, {**form_of(admin, new), **typed, "new_code": code})
    assert f": add {section.removesuffix('s')} {code}" in text_of(added)
    assert f'href="{path}"' in admin.get("/settings").text
    assert "Nothing had changed." in text_of(admin.post(path, form_of(admin, path)))
    changed = admin.post(path, {**form_of(admin, path), **then})
    assert f": change {section.removesuffix('s')} {code}" in text_of(changed)
    assert "Nothing had changed." in text_of(admin.post(path, form_of(admin, path)))
    assert admin.post(f"{path}/remove").status_code == 303
    assert code not in admin.get("/api/v1/settings").json()[section]


@pytest.mark.parametrize(
    ("section", "code", "typed", "told"),
    [
        ("servers", "night", {"capacity": "0"}, "E-CFG"),
        ("agendas", "crm999", {"times": '["06:00"]'}, "E-CFG-003"),
        ("agendas", "account_status", {"times": '["25:00"]'}, "E-CFG"),
        ("audiences", "vip", {"where.field": "class", "where.any": "- {field: class, values: [Gold]}\n"}, "E-CFG"),
        ("audiences", "vip", {"accounts": "- K1\n"}, "E-CFG-041"),
        ("monitors", "quiet", {"period_days": "30", "transfer": "true"}, "E-CFG"),
        ("class_rules", "silver", {**ROUTINES[-1][2], "threshold": "1,5"}, "E-CFG"),
    ],
)
def test_E36_what_config_check_refuses_of_routines_is_refused_here(
    configured: Company, house: House, section: str, code: str, typed: dict[str, str], told: str
) -> None:
    admin, new = house.guest({"*": "admin"}), f"/settings/{section}/new"
    answer = admin.post(new, {**form_of(admin, new), **typed, "new_code": code})
    assert answer.status_code == 422
    assert told in text_of(answer)
    assert admin.get("/api/v1/settings").json()[section] == []
