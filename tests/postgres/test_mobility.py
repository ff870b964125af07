"""After an export of the agent the mobile synchronisation is started, once per export."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from erpcrm_orchestration.domain.call import Deliveries
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import CallTarget
from erpcrm_orchestration.services.mobility import deliver_calls, issue_calls
from erpcrm_orchestration.store.schema import dossier, logbook_entry, outbound_call
from tests.postgres.intake_company import company, table

EXPORT = "AGENT_EXPORT"


def log(
    engine: sa.Engine, key: str, at: datetime, *, action: str = EXPORT, recorded_at: datetime | None = None, code: str = "001"
) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(logbook_entry).values(
                dossier_code=code, at=at, origin="source:erp", entry_key=key, sync_id="s1", action=action, outcome="OK",
                recorded_at=recorded_at or at,
            )
        )  # fmt: skip


def set_up(engine: sa.Engine, *targets: CallTarget, **values: object) -> None:
    trigger = {"mobility_action": EXPORT, "mobility_target": targets[0].target_code, **values}
    company(engine, dossiers={"001": trigger, "002": {}}, targets=targets)


def deliver(engine: sa.Engine, clock: FixedClock, **environment: str) -> Deliveries:
    return deliver_calls(engine, clock=clock, environment=environment)


def test_one_call_is_issued_for_every_export_and_none_for_other_lines(engine: sa.Engine, clock: FixedClock) -> None:
    set_up(engine, CallTarget("mobile", folder="/nowhere"))
    log(engine, "1", clock.at)
    log(engine, "2", clock.at)
    log(engine, "3", clock.at, action="WEAVY_URL_FILE")
    log(engine, "4", clock.at, code="002")
    assert issue_calls(engine, clock=clock) == 2
    assert issue_calls(engine, clock=clock) == 0
    clock.at += timedelta(minutes=1)
    log(engine, "5", clock.at)
    assert issue_calls(engine, clock=clock) == 1
    found = table(engine, outbound_call, "dossier_code", "target_code", "cause", "state", "payload")
    assert [row[4]["entry_key"] for row in found] == ["1", "2", "5"]
    assert found[0] == (
        "001", "mobile", "mobility", "PENDING",
        {
            "cause": "mobility", "dossier_code": "001", "crm_project_code": "CRM001", "action": EXPORT,
            "at": "2026-11-18T12:00:00+00:00", "sync_id": "s1", "entry_key": "1",
        },
    )  # fmt: skip


def test_an_export_that_was_committed_late_still_starts_its_call(engine: sa.Engine, clock: FixedClock) -> None:
    set_up(engine, CallTarget("mobile", folder="/nowhere"))
    assert issue_calls(engine, clock=clock) == 0
    clock.at += timedelta(hours=2)
    assert issue_calls(engine, clock=clock) == 0
    log(engine, "late", clock.at - timedelta(minutes=50), recorded_at=clock.at - timedelta(minutes=50))
    clock.at += timedelta(minutes=1)
    assert issue_calls(engine, clock=clock) == 1


def test_exports_from_before_the_trigger_or_the_activation_start_nothing(engine: sa.Engine, clock: FixedClock) -> None:
    """A first load of an old logbook must not start hundreds of synchronisations."""
    set_up(engine, CallTarget("mobile", folder="/nowhere"), activated_at=clock.at - timedelta(days=2), updated_at=clock.at)
    log(engine, "before the trigger", clock.at - timedelta(hours=1))
    log(engine, "before the activation", clock.at - timedelta(days=3), recorded_at=clock.at)
    log(engine, "after", clock.at)
    for _ in range(3):
        issue_calls(engine, clock=clock)
        clock.at += timedelta(minutes=5)
    assert [payload["entry_key"] for (payload,) in table(engine, outbound_call, "payload")] == ["after"]


def test_an_inactive_dossier_starts_nothing(engine: sa.Engine, clock: FixedClock) -> None:
    set_up(engine, CallTarget("mobile", folder="/nowhere"))
    log(engine, "1", clock.at)
    with engine.begin() as connection:
        connection.execute(sa.update(dossier).values(active=False))
    assert issue_calls(engine, clock=clock) == 0


def test_a_call_is_a_post_with_its_key_and_its_headers(
    engine: sa.Engine, clock: FixedClock, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response(status=202)

    httpserver.expect_request("/start", method="POST").respond_with_handler(answer)
    set_up(engine, CallTarget("mobile", url=httpserver.url_for("/start"), headers={"Authorization": "Bearer ${env:ACCESS}"}))
    log(engine, "1", clock.at)
    issue_calls(engine, clock=clock)
    assert deliver(engine, clock, ACCESS="secret") == Deliveries(done=1)
    assert deliver(engine, clock, ACCESS="secret") == Deliveries()
    key = table(engine, outbound_call, "idempotency_key")[0][0]
    assert (seen[0].headers["Idempotency-Key"], seen[0].headers["Authorization"]) == (key, "Bearer secret")
    assert seen[0].get_json()["entry_key"] == "1"
    assert table(engine, outbound_call, "state", "attempts", "closed_at") == [("DONE", 1, clock.at)]


def test_a_call_to_a_folder_is_one_whole_file_however_often_it_is_written(
    engine: sa.Engine, clock: FixedClock, tmp_path: Path
) -> None:
    set_up(engine, CallTarget("mobile", folder=str(tmp_path)))
    log(engine, "1", clock.at)
    issue_calls(engine, clock=clock)
    assert deliver(engine, clock) == Deliveries(done=1)
    with engine.begin() as connection:
        connection.execute(
            sa.update(outbound_call).values(state="SENDING", closed_at=None, not_before=clock.at + timedelta(seconds=90))
        )
    assert deliver(engine, clock) == Deliveries()
    clock.at += timedelta(minutes=2)
    assert deliver(engine, clock) == Deliveries(done=1)
    (written,) = tmp_path.iterdir()
    assert written.name == f"{table(engine, outbound_call, 'idempotency_key')[0][0]}.json"
    assert json.loads(written.read_text())["entry_key"] == "1"


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [
        (200, "DONE", None),
        (302, "FAILED", "E-CALL-003 target mobile: status 302 leads elsewhere; give the final url of the target"),
        (401, "FAILED", "E-CALL-003 target mobile: status 401; correct the target or what it is sent"),
        (408, "PENDING", "E-CALL-002 target mobile: status 408; it is tried again"),
        (409, "PENDING", "E-CALL-002 target mobile: status 409; it is tried again"),
        (500, "PENDING", "E-CALL-002 target mobile: status 500; it is tried again"),
    ],
)
def test_the_status_of_the_answer_decides(
    engine: sa.Engine, clock: FixedClock, httpserver: HTTPServer, status: int, state: str, error: str | None
) -> None:
    httpserver.expect_request("/start").respond_with_data(status=status, headers={"Location": "http://elsewhere.invalid/"})
    set_up(engine, CallTarget("mobile", url=httpserver.url_for("/start")))
    log(engine, "1", clock.at)
    issue_calls(engine, clock=clock)
    deliver(engine, clock)
    assert table(engine, outbound_call, "state", "last_error") == [(state, error)]
    assert len(httpserver.log) == 1


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/?token=hunter2"


def test_F19_a_target_that_does_not_answer_rests_and_keeps_the_attempts_of_its_other_calls(
    engine: sa.Engine, clock: FixedClock, silent: str, tmp_path: Path
) -> None:
    set_up(engine, CallTarget("mobile", url=silent, timeout_s=1), CallTarget("other", folder=str(tmp_path)))
    with engine.begin() as connection:
        connection.execute(
            sa.update(dossier).where(dossier.c.dossier_code == "002").values(mobility_action=EXPORT, mobility_target="other")
        )
    for number in range(3):
        log(engine, str(number), clock.at)
    log(engine, "9", clock.at, code="002")
    issue_calls(engine, clock=clock)
    assert deliver(engine, clock) == Deliveries(done=1, retried=1)
    error = "E-CALL-001 target mobile: no answer in time; it is tried again"
    assert table(engine, outbound_call, "target_code", "state", "attempts", "last_error") == [
        ("mobile", "PENDING", 0, None),
        ("mobile", "PENDING", 0, None),
        ("mobile", "PENDING", 1, error),
        ("other", "DONE", 1, None),
    ]


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ({"url": "http://127.0.0.1:1/"}, "E-CALL-001 target mobile: no connection; it is tried again"),
        ({"folder": "/nowhere"}, "E-CALL-005 target mobile: folder: No such file or directory; it is tried again"),
        (
            {"url": "${env:PHONE}"},
            "E-CFG-046 target mobile url: environment variable PHONE is not set or empty; set PHONE where this process starts",
        ),
        ({"url": "nonsense"}, "E-CALL-004 target mobile: MissingSchema; correct url and headers of the target"),
        (
            {"url": "http://127.0.0.1:1/", "headers": {"X": "a\nb"}},
            "E-CALL-004 target mobile: InvalidHeader; correct url and headers of the target",
        ),
    ],
)
def test_a_call_that_cannot_be_sent_says_why_without_its_url(
    engine: sa.Engine, clock: FixedClock, target: dict[str, Any], error: str
) -> None:
    set_up(engine, CallTarget("mobile", **target))
    log(engine, "1", clock.at)
    issue_calls(engine, clock=clock)
    deliver(engine, clock)
    assert table(engine, outbound_call, "last_error") == [(error,)]


def test_two_deliverers_at_once_send_every_call_once(engine: sa.Engine, clock: FixedClock, httpserver: HTTPServer) -> None:
    """F35: calls are claimed; whoever comes second finds them taken."""
    httpserver.expect_request("/start").respond_with_data(status=200)
    set_up(engine, CallTarget("mobile", url=httpserver.url_for("/start")))
    for number in range(50):
        log(engine, str(number), clock.at)
    results: list[Deliveries] = []

    def work() -> None:
        issue_calls(engine, clock=clock)
        results.append(deliver(engine, clock))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliver(engine, clock)
    keys = [request.headers["Idempotency-Key"] for request, _ in httpserver.log]
    assert (len(keys), len(set(keys))) == (50, 50)
    assert {state for (state,) in table(engine, outbound_call, "state")} == {"DONE"}
