"""Stands before a real system and spoils what the simulated ones can spoil: faults by name, and a log of requests."""

from __future__ import annotations

from collections.abc import Callable

import requests

from erpcrm_orchestration.demo.message import Answer, Request
from erpcrm_orchestration.demo.web import WebSystem

OWN = frozenset({"host", "connection", "content-length", "accept-encoding"})
PASSED_ON = ("Content-Type", "Link", "Location", "Retry-After")


class Forward(WebSystem):
    """Passes requests on to `target` one by one; `meanwhile` is what fault `shifting_pages` does before the answer."""

    def __init__(self, target: str, meanwhile: Callable[[], None] = lambda: None, *, keep_host: bool = False) -> None:
        """With `keep_host` the target sees our address as its own, so that its links lead to us."""
        super().__init__()
        self.target = target
        self.own = OWN - {"host"} if keep_host else OWN
        self.meanwhile = meanwhile

    def answer(self, request: Request) -> Answer:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                request.method,
                self.target + request.path,
                params=dict(request.query),
                headers={name: value for name, value in request.headers.items() if name not in self.own},
                data=request.body,
                timeout=60,
                allow_redirects=False,
            )
        headers = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
        return Answer(answer.status_code, answer.content, headers)

    def disturb(self) -> None:
        self.meanwhile()
