"""Mail templates: one pass, escaped by part, and exact words for everything that is refused."""

from __future__ import annotations

from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.template import (
    ACCOUNT_PLACEHOLDERS,
    FIELDS,
    MONITOR_PLACEHOLDERS,
    STATE_FIELDS,
    Part,
    fields_of,
    problems,
    render,
    unknown_fields,
)
from erpcrm_orchestration.store.schema import interaction_state

ALERT = {"sync_state_label": "Alerte > 30", "dossier_code": "998"}


def test_A30_the_label_of_the_state_stands_where_FORM_etatsynchro_was() -> None:
    assert render("Etat: FORM.etatsynchro", ALERT, part="subject") == "Etat: Alerte > 30"
    assert render("Etat: FORM.etatsynchro", ALERT, part="text") == "Etat: Alerte > 30"
    assert render("Etat: FORM.etatsynchro", ALERT, part="html") == "Etat: Alerte &gt; 30"


def test_A31_an_unknown_field_is_found_before_anything_is_sent() -> None:
    assert unknown_fields("FORM.xyz FORM.dossier_code FORM.xyz %abc% 100 %%") == ("xyz", "abc")
    assert [str(error) for error in problems("FORM.dossier", where="template t subject")] == [
        "E-MAIL-083 template t subject: unknown field FORM.dossier; did you mean dossier_code?"
    ]


def test_every_field_is_a_column_that_exists() -> None:
    assert set(STATE_FIELDS) <= set(interaction_state.c.keys())
    assert {"TOUT", "etatsynchro"} | set(STATE_FIELDS) == FIELDS


def test_TOUT_prints_every_field_on_a_line_of_its_own() -> None:
    lines = render("FORM.TOUT", ALERT, part="text").splitlines()
    assert len(lines) == len(STATE_FIELDS)
    assert lines[0] == "dossier_code: 998"
    assert "sync_state_label: Alerte > 30" in lines
    assert "<br>\ncrm_project_code: <br>" in render("FORM.TOUT", ALERT, part="html")


@pytest.mark.parametrize("written", ["FORM.etatsynchro", "FORM.ETATSYNCHRO", "%etatsynchro%", "%Sync_State_Label%"])
def test_the_case_of_a_name_does_not_matter(written: str) -> None:
    assert render(written, ALERT, part="text") == "Alerte > 30"


@pytest.mark.parametrize("text", ["form.html", "PLATFORM.dossier_code", "FORM. dossier_code", "FORM", "xFORM.xyz"])
def test_what_only_resembles_a_field_is_plain_text(text: str) -> None:
    assert render(text, ALERT, part="text") == text
    assert unknown_fields(text) == ()


def test_a_full_stop_after_a_field_belongs_to_the_sentence() -> None:
    assert render("Dossier FORM.dossier_code.", ALERT, part="text") == "Dossier 998."


def test_case_85_a_value_is_never_expanded_again() -> None:
    values = {"dossier_code": "FORM.TOUT %crm_project_code% %%", "crm_project_code": "secret"}
    assert render("FORM.dossier_code", values, part="text") == "FORM.TOUT %crm_project_code% %%"


def test_case_86_a_value_is_escaped_in_the_html_part_only() -> None:
    values = {"dossier_code": "<script>alert(\"x\")</script> & 'y'"}
    assert render("<b>FORM.dossier_code</b>", values, part="html") == (
        "<b>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#x27;y&#x27;</b>"
    )
    assert render("FORM.dossier_code", values, part="text") == values["dossier_code"]


@pytest.mark.parametrize(
    ("char", "code"), [("\r", "000D"), ("\n", "000A"), ("\u2028", "2028"), ("\u2029", "2029"), ("\x1b", "001B")]
)
def test_case_78_a_control_character_in_a_subject_is_refused_with_the_name_of_the_field(char: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        render("Alert FORM.dossier_code", {"dossier_code": f"998{char}Bcc: evil@example.com"}, part="subject")
    assert str(caught.value) == (
        f"E-MAIL-078 subject: FORM.dossier_code contains control character U+{code}; a subject is one line of plain text"
    )


def test_case_78_the_template_itself_and_TOUT_cannot_break_a_subject() -> None:
    with pytest.raises(
        InputError, match=r"^E-MAIL-078 subject: the template contains control character U\+000A; a subject is one"
    ):
        render("a\nb", {}, part="subject")
    with pytest.raises(
        InputError, match=r"^E-MAIL-078 subject: FORM.TOUT contains control character U\+000A; a subject is one"
    ):
        render("FORM.TOUT", ALERT, part="subject")


@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_case_79_nul_is_refused_in_every_part(part: Part) -> None:
    with pytest.raises(InputError) as caught:
        render("FORM.dossier_code", {"dossier_code": "a\0b"}, part=part)
    assert str(caught.value) == f"E-MAIL-079 {part}: FORM.dossier_code contains NUL (U+0000); remove it: no mail can carry it"
    with pytest.raises(InputError, match=rf"^E-MAIL-079 {part}: the template contains NUL"):
        render("a\0b", {}, part=part)


def test_case_79_half_a_surrogate_is_refused_before_it_breaks_the_encoding() -> None:
    with pytest.raises(InputError) as caught:
        render("FORM.dossier_code", {"dossier_code": "a\ud800"}, part="text")
    assert str(caught.value) == "E-MAIL-079 text: FORM.dossier_code contains half a surrogate (U+D800); send whole characters"


def test_case_83_an_unknown_variable_is_refused_with_what_is_known() -> None:
    with pytest.raises(InputError) as caught:
        render("Bonjour %ab_frstname%", {"ab_firstname": "Zoé"}, part="text", where="task t150 text")
    assert str(caught.value) == "E-MAIL-083 task t150 text: unknown field %ab_frstname%; did you mean ab_firstname?"
    assert [str(error) for error in problems("%x%", where="t", known=("b", "a"))] == [
        "E-MAIL-083 t: unknown field %x%; known: a, b"
    ]


@pytest.mark.parametrize(
    ("text", "position"), [("100 %", 5), ("%ab_firstname", 1), ("50% or 60%", 3), ("%%%", 3), ("% name%", 1)]
)
def test_case_84_a_per_cent_sign_that_closes_nothing_is_refused(text: str, position: int) -> None:
    expected = f"E-MAIL-084 text: per cent sign at character {position} closes no name; write %% for a per cent sign"
    with pytest.raises(InputError) as caught:
        render(text, {}, part="text")
    assert str(caught.value) == expected
    assert str(problems(text, where="text")[0]) == expected


def test_case_84_two_per_cent_signs_are_one() -> None:
    assert render("100 %% of FORM.dossier_code, %%dossier_code%%", ALERT, part="text") == "100 % of 998, %dossier_code%"


def test_case_87_a_value_that_is_missing_becomes_nothing_or_is_refused() -> None:
    assert render("[FORM.last_sync_at]", {"last_sync_at": None}, part="text") == "[]"
    with pytest.raises(InputError) as caught:
        render("FORM.last_sync_at", {"last_sync_at": None}, part="text", missing="refuse")
    assert str(caught.value) == (
        "E-MAIL-087 text: FORM.last_sync_at has no value; give it one, or let the template leave it empty"
    )


def test_fields_are_listed_as_they_are_written() -> None:
    assert fields_of("FORM.TOUT %a% %% FORM.TOUT") == ("FORM.TOUT", "%a%")


LITERALS = st.text(st.characters(exclude_characters="%", exclude_categories=["Cs", "Cc"]), max_size=20).filter(
    lambda text: "FORM." not in text and not text.endswith(tuple("FORM")) and not set(text) & set("{}")
)
ANY_VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@given(
    before=LITERALS,
    value=st.one_of(ANY_VALUE, st.sampled_from(["FORM.TOUT", "%x%", "%%", "%", "<b>", "&amp;", "{{x}}"])),
    after=LITERALS,
)
def test_case_85_86_whatever_a_value_holds_it_arrives_as_it_is_or_escaped(before: str, value: str, after: str) -> None:
    assert render(f"{before}%x%{after}", {"x": value}, part="text") == before + value + after
    html = render(f"{before}%x%{after}", {"x": value}, part="html")
    inside = html.removeprefix(before).removesuffix(after) if after else html.removeprefix(before)
    assert not set(inside.replace("<br>\n", "")) & set("<>\"'")
    assert unescape(inside.replace("<br>\n", "\n")) == value


PIECES = ["{{", "}}", "{", "FORM.", "form.", "TOUT", "xyz", "%", "%%", "dossier_code", " ", ".", "_", "\0", "é"]


def refusal(text: str) -> str | None:
    try:
        render(text, {}, part="text")
    except InputError as error:
        return str(error)
    return None


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_case_83_84_a_text_without_problems_is_always_rendered_and_one_with_problems_never(text: str) -> None:
    found: set[str | None] = {str(one) for one in problems(text, where="text")}
    assert refusal(text) in (found or {None})


BIRTHDAY = {"account.name": "Zoé & Fils", "account.first_name": "Zoé", "today": "10 mai 2026", "responsible.name": None}


def test_E12_placeholders_of_a_greeting_are_replaced_and_escaped_in_the_html_part_only() -> None:
    text = "Bonjour {{account.first_name}} de {{ Account.Name }}, le {{today}}.{{responsible.name}}"
    assert render(text, BIRTHDAY, part="text") == "Bonjour Zoé de Zoé & Fils, le 10 mai 2026."
    assert render("<p>{{account.name}}</p>", BIRTHDAY, part="html") == "<p>Zoé &amp; Fils</p>"


def test_case_85_a_placeholder_in_a_value_is_never_expanded() -> None:
    values = BIRTHDAY | {"account.name": "{{responsible.name}} FORM.TOUT %today%"}
    assert render("{{account.name}}", values, part="text") == "{{responsible.name}} FORM.TOUT %today%"


def test_case_83_an_unknown_placeholder_is_refused_in_the_same_words_as_an_unknown_field() -> None:
    with pytest.raises(InputError) as caught:
        render("Hello {{account.nme}}", BIRTHDAY, part="text", where="mail template b text")
    assert str(caught.value) == ("E-MAIL-083 mail template b text: unknown field {{account.nme}}; did you mean account.name?")
    assert [one.code for one in problems("{{accounts}} {{}}", where="t", known=ACCOUNT_PLACEHOLDERS)] == ["E-MAIL-083"] * 2
    assert problems("{{accounts}} {{ period_days }}", where="t", known=MONITOR_PLACEHOLDERS) == ()
    assert unknown_fields("{{account.name}} {{sync_state}}") == ("account.name",)
    assert fields_of("{{account.name}} %%") == ("{{account.name}}",)


@pytest.mark.parametrize("text", ["{", "{{", "}}", "{account.name}", "{{account.name}", "@media print { a { b: c } }"])
def test_braces_that_close_no_name_are_plain_text(text: str) -> None:
    assert render(text, BIRTHDAY, part="text") == text


def test_E37_a_list_becomes_lines_of_a_text_a_list_of_HTML_and_one_line_of_a_subject() -> None:
    values = {"accounts": ["K1 Zoé & Fils", "K2 <b>"]}
    assert render("{{accounts}}", values, part="text") == "- K1 Zoé & Fils\n- K2 <b>"
    assert render("{{accounts}}", values, part="html") == "<ul>\n<li>K1 Zoé &amp; Fils</li>\n<li>K2 &lt;b&gt;</li>\n</ul>"
    assert render("{{accounts}}", values, part="subject") == "K1 Zoé & Fils, K2 <b>"
    with pytest.raises(InputError, match=r"^E-MAIL-078 subject: \{\{accounts\}\} contains control character U\+000A; "):
        render("{{accounts}}", {"accounts": ["a\nb"]}, part="subject")
