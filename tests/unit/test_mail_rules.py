"""Rules of mails without a server: what an attempt means, when the next one is, which addresses are addresses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from erpcrm_orchestration.clients.smtp import parse_address
from erpcrm_orchestration.domain.configuration import MailSettings, MailTemplate, OnUncertain
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.mail import (
    GIVE_UP_AFTER,
    Answer,
    ClaimedMail,
    MailDraft,
    MailState,
    RecipientState,
    Transmission,
    is_resent,
    merged,
    retry_delay,
    settle,
)
from erpcrm_orchestration.services.mail import compose_alert, message_of, server_of

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
OK = RecipientState.ACCEPTED
NO = RecipientState.REFUSED
LATER = RecipientState.PENDING

MAIL = ClaimedMail(
    mail_id=1,
    idempotency_key="998/2026-11-18",
    subject="Alerte > 30",
    text="texte",
    html=None,
    on_uncertain=OnUncertain.RESEND,
    attempts=1,
    uncertain_attempts=0,
    recipients=("a@x.org", "b@x.org"),
    pending=("a@x.org", "b@x.org"),
    accepted_before=False,
)


def sent(*states: RecipientState) -> Transmission:
    return Transmission(tuple(Answer(f"{name}@x.org", state, "words") for name, state in zip("abc", states, strict=False)))


@pytest.mark.parametrize(
    ("attempts", "minutes"), [(0, 1), (1, 1), (2, 2), (3, 5), (4, 10), (5, 20), (6, 40), (7, 60), (53, 60)]
)
def test_F37_attempts_get_rarer_and_stay_hourly(attempts: int, minutes: int) -> None:
    assert retry_delay(attempts) == timedelta(minutes=minutes)


def test_F37_after_two_days_nobody_tries_any_more() -> None:
    delays = [retry_delay(attempts) for attempts in range(1, GIVE_UP_AFTER)]
    assert timedelta(days=2) <= sum((delay for delay in delays if delay), timedelta()) <= timedelta(days=2, hours=6)
    assert retry_delay(GIVE_UP_AFTER) is None


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((OK, OK), MailState.SENT),
        ((OK, NO), MailState.SENT),
        ((NO, NO), MailState.FAILED),
        ((OK, LATER), MailState.PENDING),
        ((NO, LATER), MailState.PENDING),
        ((), MailState.FAILED),
    ],
)
def test_F37_an_attempt_means_what_the_worst_open_recipient_needs(
    states: tuple[RecipientState, ...], expected: MailState
) -> None:
    outcome = settle(MAIL, sent(*states))
    assert outcome.state is expected
    assert (outcome.retry_after is not None) == (expected is MailState.PENDING)


def test_F37_who_is_still_unanswered_when_attempts_are_used_up_counts_as_refused() -> None:
    tired = replace(MAIL, attempts=GIVE_UP_AFTER)
    outcome = settle(tired, sent(OK, LATER))
    assert outcome.state is MailState.SENT
    assert outcome.answers[1] == Answer("b@x.org", NO, "gave up after 54 attempts: words")
    assert settle(tired, sent(LATER, LATER)).state is MailState.FAILED


def test_a_mail_that_reached_somebody_before_is_sent_even_when_the_rest_is_refused() -> None:
    assert settle(replace(MAIL, accepted_before=True), sent(NO)).state is MailState.SENT


def test_F7_a_lost_answer_is_uncertain_and_resent_once_at_most() -> None:
    assert settle(MAIL, Transmission((), uncertain=True, reason="lost")).state is MailState.UNCERTAIN
    assert [is_resent(OnUncertain.RESEND, count) for count in (1, 2, 3)] == [True, False, False]
    assert not is_resent(OnUncertain.HOLD, 1)


def test_case_89_the_same_person_twice_is_one_recipient_in_the_first_spelling() -> None:
    assert merged(["Ann@x.org", "bob@x.org", "ann@X.ORG", "bob@x.org"]) == ("Ann@x.org", "bob@x.org")


@pytest.mark.parametrize("text", ["a@b.c, evil@x.y", "a@b.c;evil@x.y", "a@b.c evil@x.y", "a@b.c\nBcc: evil@x.y"])
def test_case_80_one_field_holds_one_address(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text, where="recipient")
    assert str(caught.value) == "E-MAIL-080 recipient: more than one address; write one address per field"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty address"),
        ("not-an-address", "'not-an-address' is not an address (An email address must have an @-sign)"),
        ("a@b.c.", "'a@b.c.' is not an address (An email address cannot end with a period)"),
        ("@example.com", "'@example.com' is not an address (There must be something before the @-sign)"),
        ("a@", "'a@' is not an address (There must be something after the @-sign)"),
        (
            '"quoted"@example.com',
            "'\"quoted\"@example.com' is not an address (Quoting the part before the @-sign is not allowed here)",
        ),
        (
            "Ann <ann@example.com>",
            "'Ann <ann@example.com>' is not an address (A display name and angle brackets around the email address"
            " are not permitted here)",
        ),
    ],
)
def test_case_81_82_what_is_no_address_is_refused_with_the_reason(text: str, found: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text, where="recipient")
    assert str(caught.value) == f"E-MAIL-081 recipient: {found}; write one as name@example.com"


@pytest.mark.parametrize("text", ["a\0@example.com", "a\r@example.com", "a\u2028b@example.com", "a b@example.com"])
def test_case_79_81_control_characters_and_blanks_make_no_address(text: str) -> None:
    with pytest.raises(InputError, match=r"^E-MAIL-081 recipient: .* is not an address") as caught:
        parse_address(text, where="recipient")
    assert len(str(caught.value).splitlines()) == 1


def test_case_82_an_address_of_255_characters_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        parse_address("a" * 60 + "@" + ".".join(["b" * 48] * 4)[: 255 - 61], where="recipient")
    assert str(caught.value) == "E-MAIL-082 recipient: an address of 255 characters; an address has at most 254"


@pytest.mark.parametrize(
    ("text", "envelope", "needs_utf8"),
    [
        ("Zoe@Exämple.DE", "Zoe@xn--exmple-cua.de", False),
        ("почта@пример.рф", "почта@xn--e1afmkfd.xn--p1ai", True),
        ("ops@server.local", "ops@server.local", False),
        ("Root@LOCALHOST", "Root@localhost", False),
        ("ops@mail.test", "ops@mail.test", False),
    ],
)
def test_case_82_international_and_local_domains_are_addresses(text: str, envelope: str, needs_utf8: bool) -> None:
    address = parse_address(text, where="recipient")
    assert (address.envelope, address.needs_utf8) == (envelope, needs_utf8)


def composed(*recipients: str, test_mode: bool = False, settings: MailSettings | None = None) -> MailDraft:
    return compose_alert(
        MailTemplate("t", "Etat: FORM.etatsynchro", "FORM.TOUT", "<b>FORM.crm_project_code</b>"),
        {"sync_state_label": "Alerte > 30", "crm_project_code": "<script>"},
        dossier_code="998",
        cause="interactions_alert",
        idempotency_key="k",
        recipients=recipients,
        on_uncertain=OnUncertain.HOLD,
        test_mode=test_mode,
        settings=settings or MailSettings(administrator="admin@example.com"),
        now=NOW,
    )


def test_A30_an_alert_says_the_state() -> None:
    draft = composed("ann@example.com")
    assert draft.subject == "Etat: Alerte > 30"
    assert draft.html == "<b>&lt;script&gt;</b>"
    assert draft.not_before == NOW


def test_A42_in_test_mode_the_administrator_alone_gets_the_mail_and_it_says_so() -> None:
    draft = composed("ann@example.com", "bob@example.com", test_mode=True)
    assert draft.recipients == ("admin@example.com",)
    assert draft.subject == "[TEST] Etat: Alerte > 30"
    assert draft.test_mode


def test_case_88_more_recipients_than_allowed_hold_the_mail() -> None:
    limit = MailSettings(max_recipients=2)
    assert composed("a@x.org", "b@x.org", settings=limit).held is None
    assert composed("a@x.org", "b@x.org", "A@X.ORG", settings=limit).held is None
    assert composed("a@x.org", "b@x.org", "c@x.org", settings=limit).held == (
        "E-MAIL-088 recipients: 3 where at most 2 are allowed; release the mail if this is meant"
    )


def test_an_address_that_is_none_is_refused_alone() -> None:
    draft = composed("ann@example.com", "nobody", "a@b.c, evil@x.y")
    assert draft.recipients == ("ann@example.com",)
    assert [answer.address for answer in draft.refused] == ["nobody", "a@b.c, evil@x.y"]
    assert {answer.state for answer in draft.refused} == {NO}


def test_a_message_tells_its_origin_and_is_recognised_when_it_comes_twice() -> None:
    sender = parse_address("erpcrm@exämple.de", where="sender")
    first, second = message_of(MAIL, sender, NOW), message_of(replace(MAIL, attempts=2), sender, NOW + timedelta(hours=1))
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Message-ID"].endswith("@xn--exmple-cua.de>")
    assert first["Date"] == "Wed, 18 Nov 2026 12:00:00 +0000"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["To"] == "a@x.org, b@x.org"
    other = message_of(replace(MAIL, idempotency_key="other"), sender, NOW)
    assert other["Message-ID"] != first["Message-ID"]


def test_secrets_of_the_server_come_from_the_environment_and_stay_out_of_sight() -> None:
    reference = "${env:MAIL_PASSWORD}"
    settings = MailSettings(host="${env:MAIL_HOST}", port="${env:MAIL_PORT}", user="u", password=reference)
    server = server_of(settings, {"MAIL_HOST": "mail.example.com", "MAIL_PORT": "587", "MAIL_PASSWORD": "correct horse"})
    assert (server.host, server.port, server.password) == ("mail.example.com", 587, "correct horse")
    assert "correct horse" not in repr(server)


@pytest.mark.parametrize("port", ["0", "65536", "smtp", "-1", "2 5", "٢٥", "1e3"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(InputError) as caught:
        server_of(MailSettings(port=port), {})
    assert str(caught.value) == f"E-MAIL-097 general.mail.port: {port!r} is not a port; give a number from 1 to 65535"
