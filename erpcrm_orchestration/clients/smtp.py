"""An SMTP server, spoken to one command at a time so that it is known what was accepted and what is uncertain.

`smtplib.sendmail` hides two things that matter here: which recipients were refused for good or for now, and whether the
connection was lost before or after the whole message was handed over. Only the second is uncertain.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Timer
from typing import TYPE_CHECKING, Protocol

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from erpcrm_orchestration.domain.errors import ErpcrmError, InputError, PermanentFailure, TransientFailure, one_line
from erpcrm_orchestration.domain.mail import Answer, RecipientState, Transmission

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    SourceAddress = tuple[object, ...] | str | ReadableBuffer

LONGEST_ADDRESS = 254
"""Characters, from RFC 5321 by its erratum 1690."""

_INTERNAL_DOMAINS = frozenset({"local", "localhost", "test"})
_STAND_IN = ".example.com"
"""The validator refuses names that no public mail can reach. Inside a company they are real, so they are checked under this."""

_SEVERAL = re.compile(r"@.*[,;\s].*@", re.DOTALL)
_LOST = (smtplib.SMTPServerDisconnected, OSError)
OK = 250
GO_AHEAD = 354
CLOSING = 421


@dataclass(frozen=True)
class Address:
    """`shown` names the recipient in answers; `envelope` has its domain in ASCII; `needs_utf8` when the rest is not ASCII."""

    shown: str
    envelope: str
    needs_utf8: bool


@dataclass(frozen=True)
class SmtpServer:
    """Where mails go. `security` is none, starttls or tls; `timeout_s` bounds every answer and the whole of one mail."""

    host: str
    port: int
    security: str
    timeout_s: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


class Serialised(Protocol):
    """Turns a mail into bytes; with `utf8` the headers may hold addresses outside ASCII."""

    def __call__(self, *, utf8: bool) -> bytes: ...


def parse_address(text: str, *, where: str) -> Address:
    """Return one checked address; nothing is looked up. Raises InputError E-MAIL-080 (several), 081 (none), 082 (too long)."""
    if _SEVERAL.search(text):
        raise InputError("E-MAIL-080", where, "more than one address", "write one address per field")
    if len(text) > LONGEST_ADDRESS:
        raise InputError(
            "E-MAIL-082", where, f"an address of {len(text)} characters", f"an address has at most {LONGEST_ADDRESS}"
        )
    if not text:
        raise InputError("E-MAIL-081", where, "an empty address", "write one as name@example.com")
    return _parsed(text, where)


def _parsed(text: str, where: str) -> Address:
    suffix = _STAND_IN if text.rpartition("@")[2].rpartition(".")[2].casefold() in _INTERNAL_DOMAINS else ""
    try:
        checked: ValidatedEmail = validate_email(text + suffix, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        why = str(error).rstrip(".")
        raise InputError("E-MAIL-081", where, f"{text!r} is not an address ({why})", "write one as name@example.com") from error
    envelope = checked.ascii_email or f"{checked.local_part}@{checked.ascii_domain}"
    return Address(
        checked.normalized.removesuffix(suffix), envelope.removesuffix(suffix), needs_utf8=checked.ascii_email is None
    )


class SmtpSession:
    """An open connection. It may be lost at any time: `is_open` tells whether another mail can be sent through it."""

    def __init__(self, connection: smtplib.SMTP, server: SmtpServer) -> None:
        self._smtp = connection
        self._server = server

    @property
    def is_open(self) -> bool:
        return self._smtp.sock is not None

    def send(self, sender: Address, recipients: tuple[Address, ...], message: Serialised) -> Transmission:
        """Try to hand over one mail to all recipients, and return what became of it.

        No failure of the server is raised; ValueError when the message cannot be serialised, before the server sees anything.
        """
        utf8 = sender.needs_utf8 or any(person.needs_utf8 for person in recipients)
        if utf8 and not self._smtp.has_extn("smtputf8"):
            return self._send_ascii_only(sender, recipients, message)
        content = message(utf8=utf8)
        with _deadline(self._smtp, self._server.timeout_s):
            return self._send(sender.envelope, recipients, content, utf8=utf8)

    def _send_ascii_only(self, sender: Address, recipients: tuple[Address, ...], message: Serialised) -> Transmission:
        refusal = "the server takes no addresses outside ASCII (no SMTPUTF8)"
        refused = tuple(Answer(one.shown, RecipientState.REFUSED, refusal) for one in recipients if _outside(sender, one))
        rest = tuple(one for one in recipients if not _outside(sender, one))
        if not rest:
            return Transmission(refused)
        sent = self.send(sender, rest, message)
        return Transmission(refused + sent.answers, sent.uncertain, sent.reason)

    def _send(self, sender: str, recipients: tuple[Address, ...], message: bytes, *, utf8: bool) -> Transmission:
        try:
            code, text = self._smtp.mail(sender, ["SMTPUTF8", "BODY=8BITMIME"] if utf8 else [])
            if code != OK:
                return self._ended(recipients, code, text, "sender")
            answers = self._ask_for(recipients)
        except _LOST as error:
            return self._lost(recipients, error)
        accepted = tuple(one for one in recipients if answers[one.shown].state is RecipientState.ACCEPTED)
        if not accepted:
            self._reset()
            return Transmission(tuple(answers.values()))
        handed = self._hand_over(accepted, message)
        answers |= {answer.address: answer for answer in handed.answers}
        return Transmission(tuple(answers.values()), handed.uncertain, handed.reason)

    def _ask_for(self, recipients: tuple[Address, ...]) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        for one in recipients:
            code, text = self._smtp.rcpt(one.envelope)
            answers[one.shown] = self._answer(one, code, text)
            if code == CLOSING:
                self._smtp.close()
                raise smtplib.SMTPServerDisconnected(self._words(code, text))
        return answers

    def _hand_over(self, accepted: tuple[Address, ...], message: bytes) -> Transmission:
        try:
            code, text = self._smtp.docmd("DATA")
            if code != GO_AHEAD:
                return self._ended(accepted, code, text, "DATA")
            self._smtp.send(_dotted(message))
        except _LOST as error:
            return self._lost(accepted, error)
        try:
            code, text = self._smtp.getreply()
        except _LOST as error:
            self._smtp.close()
            reason = f"the whole message was handed over, and the answer was lost: {self._said(error)}"
            waiting = tuple(Answer(one.shown, RecipientState.PENDING, reason) for one in accepted)
            return Transmission(waiting, uncertain=True, reason=reason)
        if code != OK:
            return self._ended(accepted, code, text, "message")
        return Transmission(tuple(self._answer(one, code, text) for one in accepted))

    def _answer(self, one: Address, code: int, text: bytes) -> Answer:
        return Answer(one.shown, _state_of(code), self._words(code, text))

    def _ended(self, recipients: tuple[Address, ...], code: int, text: bytes, what: str) -> Transmission:
        """The server refuses the mail as a whole, for good (5xx) or for now."""
        self._reset(closing=code == CLOSING)
        words = f"{what} refused: {self._words(code, text)}"
        state = RecipientState.REFUSED if 500 <= code < 600 else RecipientState.PENDING
        return Transmission(tuple(Answer(one.shown, state, words) for one in recipients), reason=words)

    def _lost(self, recipients: tuple[Address, ...], error: Exception) -> Transmission:
        """The connection ended before the whole message was handed over: nobody has it."""
        self._smtp.close()
        words = f"connection lost before the message was handed over: {self._said(error)}"
        return Transmission(tuple(Answer(one.shown, RecipientState.PENDING, words) for one in recipients), reason=words)

    def _reset(self, *, closing: bool = False) -> None:
        if closing:
            self._smtp.close()
            return
        with suppress(*_LOST):
            self._smtp.rset()

    def _words(self, code: int, text: bytes) -> str:
        return _without_secret(f"{code} {text.decode('utf-8', 'replace')}", self._server)

    def _said(self, error: Exception) -> str:
        return _without_secret(_reason(error), self._server)


@contextmanager
def _deadline(connection: smtplib.SMTP, seconds: float) -> Iterator[None]:
    """End the connection when what is inside takes longer, however slowly the server drips.

    The socket's own timeout begins anew with every byte that arrives.
    """
    timer = Timer(seconds, _shut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _BoundedConnect(smtplib.SMTP):
    """Bounds the greeting, which smtplib awaits while it connects."""

    def connect(self, host: str = "localhost", port: int = 0, source_address: SourceAddress | None = None) -> tuple[int, bytes]:
        with _deadline(self, self.timeout):
            return super().connect(host, port, source_address)


class _BoundedConnectTls(_BoundedConnect, smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""


@contextmanager
def connect(server: SmtpServer) -> Iterator[SmtpSession]:
    """Yield a session, encrypted and logged in as the server asks. TLS certificates are always verified.

    Raises TransientFailure E-MAIL-101 (no server) or PermanentFailure E-MAIL-102 (TLS), 103 (login).
    """
    connection = _opened(server)
    try:
        with _deadline(connection, server.timeout_s):
            _secured(connection, server)
        yield SmtpSession(connection, server)
    finally:
        if connection.sock is not None:
            with suppress(smtplib.SMTPException, OSError), _deadline(connection, server.timeout_s):
                connection.quit()
        connection.close()


def _opened(server: SmtpServer) -> smtplib.SMTP:
    timeout, name = server.timeout_s, socket.gethostname()
    try:
        if server.security == "tls":
            context = ssl.create_default_context()
            return _BoundedConnectTls(server.host, server.port, name, timeout=timeout, context=context)
        return _BoundedConnect(server.host, server.port, name, timeout=timeout)
    except ssl.SSLError as error:
        raise _tls_failed(server, error) from error
    except (OSError, smtplib.SMTPException) as error:
        raise TransientFailure(
            "E-MAIL-101",
            f"mail server {server.place}",
            f"cannot be reached ({_without_secret(_reason(error), server)})",
            "check host, port and that it runs; the mails wait",
        ) from error


def _secured(connection: smtplib.SMTP, server: SmtpServer) -> None:
    """Say hello, turn on TLS and log in; any failure becomes an error that holds no password."""
    try:
        connection.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            connection.starttls(context=ssl.create_default_context())
            connection.ehlo()
        if server.user:
            connection.login(server.user, server.password or "")
    except ssl.SSLError as error:
        raise _tls_failed(server, error) from error
    except smtplib.SMTPNotSupportedError as error:
        raise _tls_failed(server, error) if "STARTTLS" in str(error) else _login_failed(server, error) from error
    except smtplib.SMTPAuthenticationError as error:
        raise _login_failed(server, error) from error
    except (OSError, smtplib.SMTPException) as error:
        raise TransientFailure(
            "E-MAIL-101",
            f"mail server {server.place}",
            f"ended the greeting ({_without_secret(_reason(error), server)})",
            "see the server's own log; the mails wait",
        ) from error


def _tls_failed(server: SmtpServer, error: Exception) -> ErpcrmError:
    return PermanentFailure(
        "E-MAIL-102",
        f"mail server {server.place}",
        f"{server.security} failed ({_without_secret(_reason(error), server)})",
        "check mail.security and that the certificate names this host and comes from an authority that this machine trusts",
    )


def _login_failed(server: SmtpServer, error: Exception) -> ErpcrmError:
    return PermanentFailure(
        "E-MAIL-103",
        f"mail server {server.place}",
        f"the login is refused ({_without_secret(_reason(error), server)})",
        "check mail.user, and the variable that mail.password refers to",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
    return str(error) or type(error).__name__


def _without_secret(text: str, server: SmtpServer) -> str:
    flat = one_line(text)
    return flat.replace(server.password, "***") if server.password else flat


def _outside(sender: Address, recipient: Address) -> bool:
    return sender.needs_utf8 or recipient.needs_utf8


def _state_of(code: int) -> RecipientState:
    if 200 <= code < 300:
        return RecipientState.ACCEPTED
    return RecipientState.REFUSED if 500 <= code < 600 else RecipientState.PENDING


def _dotted(message: bytes) -> bytes:
    """Return the message as DATA wants it: CRLF, no line that is a single dot, and the dot that ends it."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    quoted = re.sub(rb"(?m)^\.", b"..", lines)
    return quoted + (b".\r\n" if quoted.endswith(b"\r\n") else b"\r\n.\r\n")


def _shut(connection: smtplib.SMTP) -> None:
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
