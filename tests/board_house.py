"""The board as it runs: the real web server on a free port in a thread of the test, and people who use it."""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from html import unescape
from typing import Any, Protocol

import httpx
import sqlalchemy as sa
from fastapi import FastAPI
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from erpcrm_orchestration.board.app import board_app, web_server
from erpcrm_orchestration.board.desk import Desk
from erpcrm_orchestration.board.guard import csrf_token
from erpcrm_orchestration.board.settings import BoardSettings
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.services.sign_in import hashed
from erpcrm_orchestration.store import person as people

_numbers = itertools.count(1)


class Board(Protocol):
    """Whatever serves a board."""

    url: str


@dataclass
class Guest:
    """Somebody with a session, as a program that speaks HTTP; `get` and `post` go to paths of the board."""

    board: Board
    login: str
    person_id: int
    token: str
    client: httpx.Client

    def get(self, path: str, **changes: Any) -> httpx.Response:
        """Read a page or an address of the API."""
        return self.client.get(self.board.url + path, **changes)

    def post(self, path: str, form: Mapping[str, Any] | None = None, **changes: Any) -> httpx.Response:
        """Send a form as the board's own page would."""
        data = {"csrf": csrf_token(self.token), **(form or {})}
        return self.client.post(self.board.url + path, data=data, headers={"origin": self.board.url}, **changes)

    def call(self, path: str, content: Any) -> httpx.Response:
        """Send JSON to the API as a program of the board's own origin would."""
        headers = {"origin": self.board.url, "x-csrf-token": csrf_token(self.token)}
        return self.client.post(self.board.url + path, json=content, headers=headers)


@dataclass
class House:
    """A running board."""

    url: str
    desk: Desk
    app: FastAPI
    clients: list[httpx.Client] = field(default_factory=list)

    def guest(self, grants: Mapping[str, str] | None = None, *, language: str = "en", **columns: Any) -> Guest:
        """Return somebody who is signed in with these rights: dossier code -> view, refresh, operate, admin."""
        login, person_id, token = signed_in(
            self.desk.engine, grants or {}, now=self.desk.clock.now(), language=language, **columns
        )
        return Guest(self, login, person_id, token, self.client(cookie=token))

    def lift_limits(self) -> None:
        """Let a test ask more often than a person may."""
        self.desk.limiter = _Unlimited(MemoryStorage())

    def client(self, *, cookie: str | None = None) -> httpx.Client:
        """Return a client that follows no redirect; with a session when a cookie is given."""
        cookies = {self.desk.settings.cookie: cookie} if cookie else None
        # An idle connection is given up before the server does, or the next request may meet its end.
        limits = httpx.Limits(keepalive_expiry=2)
        client = httpx.Client(cookies=cookies, trust_env=False, timeout=60, limits=limits)
        self.clients.append(client)
        return client


class _Unlimited(MovingWindowRateLimiter):
    def hit(self, *_: object, **__: object) -> bool:
        return True


def signed_in(engine: sa.Engine, grants: Mapping[str, str], *, now: datetime, **columns: Any) -> tuple[str, int, str]:
    """Add somebody with these rights and a session; return login, number and token."""
    number = next(_numbers)
    login, token = f"guest{number}", f"token-{number}"
    with engine.begin() as connection:
        # A hash that no password matches: they come by their session.
        values = {"login": login, "display_name": login.title(), "password_hash": "-", **columns}
        person_id = people.add_person(connection, now=now, **values)
        rights = {code: Access(access) for code, access in grants.items()}
        people.set_grants(connection, person_id, rights, by="test", now=now)
        people.open_session(connection, person_id, hashed(token), now=now)
    return login, person_id, token


@contextmanager
def running_board(
    engine: sa.Engine, clock: Clock, *, environment: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[House]:
    """Run the board for the block."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    desk = Desk(engine, clock, dict(environment or {}), BoardSettings(url, **settings))
    app = board_app(desk)
    server = web_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    house = House(url, desk, app)
    try:
        yield house
    finally:
        for client in house.clients:
            client.close()
        server.should_exit = True
        thread.join()
        listener.close()


def text_of(answer: httpx.Response) -> str:
    """Return what a person reads of a page, without markup and with single spaces."""
    body = re.sub(r"<(script|style|head).*?</\1>", " ", answer.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
