"""Sends one call to its target: an HTTP POST with an idempotency key, or a file that appears whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from erpcrm_orchestration.domain.call import Call, failure_of_status
from erpcrm_orchestration.domain.configuration import CallTarget
from erpcrm_orchestration.domain.errors import InputError, PermanentFailure, SourceError, TransientFailure
from erpcrm_orchestration.domain.secret import resolve

CONNECT_TIMEOUT_S = 5


@dataclass(frozen=True)
class Answer:
    """`failure` is None when the target has it; `retry_after_s` is its wish, `unreachable` means that nobody answered."""

    failure: SourceError | None = None
    retry_after_s: int | None = None
    unreachable: bool = False


def send(call: Call, target: CallTarget, environment: Mapping[str, str]) -> Answer:
    """Send the call and return the answer; a failure names the target and no secret."""
    where = f"target {target.target_code}"
    try:
        if target.folder is not None:
            return _write(call, Path(resolve(target.folder, environment, where=f"{where} folder")), where)
        url = resolve(target.url or "", environment, where=f"{where} url")
        headers = {name: resolve(value, environment, where=f"{where} header {name}") for name, value in target.headers.items()}
    except InputError as error:
        return Answer(PermanentFailure(error.code, error.where, error.found, error.remedy))
    return _post(call, url, headers, target.timeout_s, where)


def body(call: Call) -> bytes:
    """Return what is sent: the same bytes at every attempt."""
    return json.dumps(dict(call.payload), ensure_ascii=False, sort_keys=True).encode()


def _post(call: Call, url: str, headers: Mapping[str, str], timeout_s: int, where: str) -> Answer:
    sent = {"Content-Type": "application/json", **headers, "Idempotency-Key": call.idempotency_key}
    try:
        with requests.Session() as session:
            session.trust_env = False
            # The body of the answer is never read: a target that drips bytes cannot hold us.
            with session.post(
                url, data=body(call), headers=sent, timeout=(CONNECT_TIMEOUT_S, timeout_s), allow_redirects=False, stream=True
            ) as answer:
                failure = failure_of_status(answer.status_code, where)
                return Answer(failure, _seconds(answer.headers.get("Retry-After")))
    except (requests.ConnectionError, requests.Timeout) as error:
        found = "no answer in time" if isinstance(error, requests.Timeout) else "no connection"
        return Answer(TransientFailure("E-CALL-001", where, found, "it is tried again"), unreachable=True)
    except (requests.RequestException, ValueError) as error:
        # The text of the exception repeats the URL, which may hold a secret.
        return Answer(PermanentFailure("E-CALL-004", where, type(error).__name__, "correct url and headers of the target"))


def _write(call: Call, folder: Path, where: str) -> Answer:
    final, unfinished = folder / f"{call.idempotency_key}.json", folder / f".{call.idempotency_key}.tmp"
    try:
        with open(unfinished, "wb") as file:
            file.write(body(call))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, final)
    except OSError as error:
        found = error.strerror or type(error).__name__
        return Answer(TransientFailure("E-CALL-005", where, f"folder: {found}", "it is tried again"), unreachable=True)
    return Answer()


def _seconds(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None
