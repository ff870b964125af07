"""A real SMTP server on loopback that keeps every mail as a file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class MailboxFolder:
    """`*.eml` files below `folder`, in the order of arrival."""

    folder: Path
    port: int

    def headings(self) -> list[str]:
        """Return `recipients: subject` of every mail."""
        found = []
        for file in sorted(self.folder.glob("*.eml")):
            message = message_from_bytes(file.read_bytes(), policy=policy.default)
            found.append(f"{message['To']}: {message['Subject']}")
        return found


class _Keep:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = len(list(folder.glob("*.eml")))

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self._count += 1
        (self._folder / f"{self._count:05}.eml").write_bytes(envelope.original_content or b"")
        return "250 kept"


@contextmanager
def mail_server(folder: Path) -> Iterator[MailboxFolder]:
    """Run the server on a free port for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    controller = Controller(_Keep(folder), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield MailboxFolder(folder, port)
    finally:
        controller.stop()
