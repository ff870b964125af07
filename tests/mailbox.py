"""A real SMTP server on a free loopback port that keeps what it takes, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Received:
    """One message as it was accepted, with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    raw: bytes

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content())


@dataclass
class Mailbox:
    """What the server took, and how it behaves. `answers` maps an address to its answers to RCPT, the last one for ever."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    sender_answer: str | None = None
    data_answers: list[str] = field(default_factory=list)
    data_refusal: str | None = None
    """The answer to the command DATA, before any of the message."""
    drop_after_data: int = 0
    """How many messages are accepted without a word: the connection is cut instead of the answer."""
    drop_before_data: int = 0
    """How often the connection is cut at DATA, before any of the message."""
    silent_after_data: bool = False
    """The message is accepted, and no answer ever comes."""
    logins: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0
    taken: threading.Event = field(default_factory=threading.Event)
    """Set whenever a message was accepted."""

    @property
    def subjects(self) -> list[str]:
        return [one.subject for one in self.received]

    @property
    def definition(self) -> dict[str, str | int]:
        """The server as `general.mail` names it."""
        return {"host": "127.0.0.1", "port": str(self.port)}


class _Server(SMTP):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.event_handler.mailbox.connections += 1
        super().connection_made(transport)


class _Handler:
    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    async def handle_MAIL(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if self.mailbox.sender_answer:
            return self.mailbox.sender_answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        answers = self.mailbox.answers.get(address, [])
        answer = (answers.pop(0) if len(answers) > 1 else answers[0]) if answers else "250 OK"
        if answer == "drop":
            _cut(server)
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        box = self.mailbox
        if box.data_answers:
            answer = box.data_answers.pop(0)
            if not answer.startswith("2"):
                return answer
        raw = envelope.original_content or b""
        message = message_from_bytes(raw, policy=policy.default)
        assert isinstance(message, EmailMessage)
        box.received.append(Received(str(envelope.mail_from), tuple(envelope.rcpt_tos), message, raw))
        box.taken.set()
        if box.silent_after_data:
            await asyncio.Event().wait()
        if box.drop_after_data:
            box.drop_after_data -= 1
            _cut(server)
        return "250 OK"


class _DroppingServer(_Server):
    async def smtp_DATA(self, arg: str) -> None:
        box: Mailbox = self.event_handler.mailbox
        if box.drop_before_data:
            box.drop_before_data -= 1
            _cut(self)
            return
        if box.data_refusal:
            await self.push(box.data_refusal)
            return
        await super().smtp_DATA(arg)


class _Controller(Controller):
    """A controller that binds its port before it starts, so that no other program can take it in between."""

    def __init__(self, mailbox: Mailbox, **options: Any) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        mailbox.port = self._socket.getsockname()[1]
        super().__init__(_Handler(mailbox), hostname="127.0.0.1", port=mailbox.port, **options)

    def factory(self) -> SMTP:
        return _DroppingServer(self.handler, **self.SMTP_kwargs)

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._socket, ssl=self.ssl_context)


@contextmanager
def running_mailbox(
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    login: tuple[str, str] | None = None,
    utf8: bool = True,
) -> Iterator[Mailbox]:
    """Yield the mailbox of a running server: plain, with STARTTLS or with TLS from the first byte; it may offer a login."""
    mailbox = Mailbox()

    def authenticate(_server: object, _session: object, _envelope: object, mechanism: str, data: LoginPassword) -> AuthResult:
        del mechanism
        given = (data.login.decode(), data.password.decode())
        mailbox.logins.append(given)
        return AuthResult(success=given == login, handled=False)

    options: dict[str, Any] = {"enable_SMTPUTF8": utf8, "ssl_context": tls, "tls_context": starttls}
    if login:
        options |= {"authenticator": authenticate, "auth_require_tls": False}
    controller = _Controller(mailbox, **options)
    controller.start()
    mailbox.connections = 0
    try:
        yield mailbox
    finally:
        controller.stop()


def free_port() -> int:
    """Return a loopback port on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _cut(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()
