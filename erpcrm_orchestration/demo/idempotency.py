"""How the simulated CRM and ERP treat a request that comes again with the same Idempotency-Key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from erpcrm_orchestration.demo.message import Answer, Refused, Request

HEADER = "idempotency-key"


class Idempotency:
    """Remembers answers of success by key. `effects` counts what was really done, per key; without a key under ""."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self._answers: dict[str, tuple[tuple[str, str, bytes], Answer]] = {}

    def once(self, request: Request, act: Callable[[], Answer]) -> Answer:
        """Do what is asked, or give the first answer again; raise Refused (422) for the key with another content."""
        key = request.headers.get(HEADER, "")
        content = (request.method, request.path, request.body)
        if key in self._answers:
            before, answer = self._answers[key]
            if before != content:
                raise Refused(422, "idempotency_key_reused", "this key was used for another request")
            return replace(answer, headers={**answer.headers, "Idempotent-Replayed": "true"})
        answer = act()
        self.effects[key] += 1
        if key:
            self._answers[key] = (content, answer)
        return answer
