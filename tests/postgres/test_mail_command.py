"""`erpcrm mails`: a person looks at the outbox, releases what was held, and sends what is due."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.domain.configuration import OnUncertain
from erpcrm_orchestration.domain.mail import Answer, MailDraft, RecipientState
from erpcrm_orchestration.store import mail as outbox
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.engine import VARIABLE
from tests.conftest import NOON
from tests.mailbox import Mailbox, running_mailbox


@pytest.fixture
def mailbox(engine: sa.Engine, database_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A running server, and an outbox with a waiting, a skipped and a held mail."""
    monkeypatch.setenv(VARIABLE, database_url.render_as_string(hide_password=False))
    with running_mailbox() as running, engine.begin() as connection:
        definition = {"mail": running.definition | {"timeout_s": 5}}
        connection.execute(sa.insert(schema.general_parameters).values(definition=definition, updated_at=NOON))
        connection.execute(
            sa.insert(schema.dossier).values(
                dossier_code="998", crm_project_code="P", activated_at=NOON, created_at=NOON, updated_at=NOON
            )
        )
        outbox.enqueue(connection, [waiting(), skipped(), held()], now=NOON)
        connection.commit()
        yield running


def waiting() -> MailDraft:
    refused = (Answer("nobody", RecipientState.REFUSED, "E-MAIL-081 recipient: no address"),)
    people = ("ann@example.com",)
    return MailDraft("998", "test", "k1", "one", "line 1\n\x1b[2Jline 2", None, people, OnUncertain.HOLD, False, NOON, refused)


def skipped() -> MailDraft:
    return MailDraft(None, "test", "k2", "two", "text", None, (), OnUncertain.HOLD, False, NOON)


def held() -> MailDraft:
    people = ("bob@example.com",)
    return MailDraft(None, "test", "k3", "three", "text", None, people, OnUncertain.HOLD, False, NOON, held="too many")


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["mails", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_shows_the_newest_first_and_why_a_mail_did_not_leave(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [line.split() for line in lines(capsys, "list")]
    assert shown[0][:4] == ["mail_id", "dossier_code", "cause", "state"]
    assert [line[0] for line in shown[1:]] == ["3", "2", "1"]
    assert shown[1][-2:] == ["too", "many"]
    assert shown[2][-2:] == ["no", "recipients"]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [((), [3, 2, 1]), (("--dossier", "998"), [1]), (("--state", "FAILED"), [3]), (("--limit", "1"), [3])],
)
def test_the_list_can_be_narrowed_and_read_by_programs(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], ids: list[int]
) -> None:
    records = json.loads("\n".join(lines(capsys, "list", "--json", *arguments)))
    assert [record["mail_id"] for record in records] == ids
    assert all("text" not in record and record["created_at"] == "2026-11-18T12:00:00+00:00" for record in records)


def test_one_mail_is_shown_with_its_recipients_and_its_text_and_paints_no_terminal(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = lines(capsys, "show", "1")
    assert "recipient ann@example.com: PENDING" in shown
    assert "recipient nobody: REFUSED E-MAIL-081 recipient: no address" in shown
    assert shown[-3:] == ["", "line 1", " [2Jline 2"]


def test_case_88_a_person_releases_a_held_mail_and_sends_it(
    engine: sa.Engine, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(capsys, "release", "3") == [
        "mail 3 is released and leaves with the next delivery, or now with `erpcrm mails send`"
    ]
    assert lines(capsys, "send") == ["sent 2, spooled 0, refused 0, uncertain 0, failed 0, retried 0"]
    assert sorted(mailbox.subjects) == ["one", "three"]
    with engine.connect() as connection:
        assert connection.scalar(sa.select(schema.change.c.object_code)) == "3"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["release", "1"], "E-MAIL-092 mail 1: is PENDING; only FAILED and UNCERTAIN mails are released"),
        (["release", "2"], "E-MAIL-092 mail 2: is SKIPPED; only FAILED and UNCERTAIN mails are released"),
        (["release", "99"], "E-MAIL-091 mail 99: there is none of this number; see `erpcrm mails list`"),
        (["list", "--dossier", "x"], "E-CLI-057 dossier: no dossier 'x'; nearest: 998"),
        (["show", "99"], "E-MAIL-091 mail 99: there is none of this number; see `erpcrm mails list`"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    mailbox: Mailbox, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert run(["mails", *arguments]) == 2
    assert capsys.readouterr().err == expected + "\n"


@pytest.mark.parametrize("arguments", [["show", "x"], ["show"], ["list", "--state", "GONE"], ["list", "--limit", "0"]])
def test_misuse_is_an_input_error(mailbox: Mailbox, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(["mails", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"E-CLI-050 erpcrm mails {arguments[0]}: ")


def test_a_number_that_no_mail_can_have_is_no_traceback(mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mails", "show", str(2**70)]) == 2
    assert capsys.readouterr().err.startswith("E-CLI-050 erpcrm mails show: ")


def test_an_empty_outbox_says_so(mailbox: Mailbox, engine: sa.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.mail))
    assert lines(capsys, "list") == ["no mails"]


def test_case_104_a_subject_that_looks_like_a_formula_is_text_in_the_csv(
    mailbox: Mailbox, engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(schema.mail).values(subject="=1+1"))
    assert [line.split(",")[-2] for line in lines(capsys, "list", "--csv")] == ['"subject"', *['"\'=1+1"'] * 3]
