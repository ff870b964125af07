"""Inter-company tasks are executed once by a call to their target; paused, suspended, reactivated."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from erpcrm_orchestration.domain.call import ATTEMPTS
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.configuration import CallTarget
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.intake import take_in
from erpcrm_orchestration.services.inter_company import Executions, due, execute, pause, reactivate, resume
from erpcrm_orchestration.store.schema import change, inter_company_task, outbound_call, watcher
from tests.postgres import child_work
from tests.postgres.intake_company import TASKS, company, source, sqlite_erp, table, write_task

TODAY = "2026-11-18"


class Crm:
    """A CRM on loopback that answers with `status` and remembers the idempotency keys that it acted on."""

    def __init__(self, server: HTTPServer) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.effects: dict[str, dict[str, Any]] = {}
        server.expect_request("/tasks", method="POST").respond_with_handler(self._answer)
        self.url = server.url_for("/tasks")

    def _answer(self, request: Request) -> Response:
        key, body = request.headers["Idempotency-Key"], request.get_json()
        self.received.append((key, body))
        if 200 <= self.status < 300:
            self.effects[key] = body
        return Response(status=self.status, headers=self.headers)


@pytest.fixture
def crm(httpserver: HTTPServer) -> Crm:
    return Crm(httpserver)


@pytest.fixture
def erp(tmp_path: Path, engine: sa.Engine, crm: Crm) -> Path:
    path = sqlite_erp(tmp_path / "erp.sqlite")
    company(
        engine,
        dossiers={"001": {"source_code": "erp"}, "998": {"source_code": "erp"}},
        sources=[source(f"sqlite:///{path}", tasks=TASKS)],
        targets=[CallTarget("crm", url=crm.url, timeout_s=2)],
    )
    return path


def take(engine: sa.Engine, clock: FixedClock) -> int:
    results = take_in(engine, ["001", "998"], clock=clock, environment={}, run_id=None)
    assert [result.failure for result in results.values()] == [None, None]
    return sum(result.task_rows for result in results.values())


def run(engine: sa.Engine, clock: FixedClock) -> Executions:
    return execute(engine, clock=clock, environment={}, run_id=None)


def states(engine: sa.Engine) -> list[tuple[Any, ...]]:
    return table(engine, inter_company_task, "task_key", "state", "attempts", "last_error")


def due_now(engine: sa.Engine, clock: FixedClock | None = None) -> list[str]:
    with engine.connect() as connection:
        return due(connection, clock.at if clock else None)


def test_a_task_is_executed_once_with_its_values(engine: sa.Engine, clock: FixedClock, erp: Path, crm: Crm) -> None:
    write_task(erp, "T1", f"{TODAY} 11:59:00")
    write_task(erp, "T2", f"{TODAY} 11:59:00", dossier="998")
    assert take(engine, clock) == 2
    assert due_now(engine) == ["001", "998"]
    assert run(engine, clock) == Executions(done=2)
    assert run(engine, clock) == Executions()
    assert due_now(engine) == []
    assert sorted(body["task_key"] for _, body in crm.received) == ["T1", "T2"]
    assert crm.received[0][1] == {
        "cause": "inter_company", "dossier_code": "001", "intake": "source:erp/tasks", "task_key": "T1", "kind": "ARTICLE",
        "at": "2026-11-18T11:59:00+00:00", "values": {"article": "A1", "quantite": 2},
    }  # fmt: skip
    assert table(engine, inter_company_task, "state", "done_at") == [("DONE", clock.at)] * 2


def test_A49_paused_tasks_are_recorded_and_not_executed_until_resume(
    engine: sa.Engine, clock: FixedClock, erp: Path, crm: Crm
) -> None:
    """A49: paused, a new task is recorded and 0 are executed; after resume it is executed."""
    assert pause(engine, reason="upgrade", actor="ann", clock=clock)
    assert not pause(engine, reason="upgrade", actor="ann", clock=clock)
    write_task(erp, "T1", f"{TODAY} 11:59:00")
    assert take(engine, clock) == 1
    assert due_now(engine) == []
    assert run(engine, clock) == Executions(paused=True)
    assert states(engine) == [("T1", "ACTIVE", 0, None)]
    assert crm.received == []
    assert resume(engine, reason="done", actor="ann", clock=clock)
    assert due_now(engine) == ["001"]
    assert run(engine, clock) == Executions(done=1)
    assert len(crm.received) == 1
    assert table(engine, watcher, "watcher_code", "paused") == [("INTERCOMPANY", False)]
    assert table(engine, change, "action", "reason", "before", "after") == [
        ("pause", "upgrade", {"paused": False}, {"paused": True}),
        ("resume", "done", {"paused": True}, {"paused": False}),
    ]


def test_A49_a_task_that_fails_is_suspended_and_reactivated(engine: sa.Engine, clock: FixedClock, erp: Path, crm: Crm) -> None:
    """A49: failed -> SUSPENDED with the reason; reactivate -> ACTIVE; then executed, with the same idempotency key."""
    crm.status = 422
    write_task(erp, "T1", f"{TODAY} 11:59:00")
    take(engine, clock)
    assert run(engine, clock) == Executions(suspended=1)
    fault = "E-CALL-003 target crm: status 422; correct the target or what it is sent"
    assert states(engine) == [("T1", "SUSPENDED", 1, fault)]
    assert due_now(engine) == []
    assert run(engine, clock) == Executions()
    assert reactivate(engine, "001", reason="article created", actor="ann", clock=clock) == ["T1"]
    assert states(engine)[0][:3] == ("T1", "ACTIVE", 0)
    crm.status = 201
    assert run(engine, clock) == Executions(done=1)
    assert states(engine) == [("T1", "DONE", 1, None)]
    assert len({key for key, _ in crm.received}) == 1
    assert table(engine, change, "object_code", "action", "before", "after") == [
        ("001/T1", "reactivate", {"state": "SUSPENDED", "last_error": fault}, {"state": "ACTIVE"})
    ]


def test_reactivating_what_is_not_suspended_is_refused(engine: sa.Engine, clock: FixedClock, erp: Path, crm: Crm) -> None:
    crm.status = 422
    write_task(erp, "T1", f"{TODAY} 11:59:00")
    take(engine, clock)
    with pytest.raises(InputError) as refused:
        reactivate(engine, "001", reason="x", actor="ann", clock=clock)
    remedy = "see `erpcrm tasks list --state SUSPENDED`"
    assert str(refused.value) == f"E-TASK-001 dossier 001: no task is suspended; {remedy}"
    run(engine, clock)
    with pytest.raises(InputError) as refused:
        reactivate(engine, "001", ["T1", "T9"], reason="x", actor="ann", clock=clock)
    assert str(refused.value) == f"E-TASK-001 dossier 001: task T9 is not suspended; {remedy}"
    assert states(engine)[0][1] == "SUSPENDED"


def test_a_failure_that_may_pass_is_tried_again_with_growing_waits_and_suspended_in_the_end(
    engine: sa.Engine, clock: FixedClock, erp: Path, crm: Crm
) -> None:
    crm.status = 503
    write_task(erp, "T1", f"{TODAY} 11:59:00")
    take(engine, clock)
    waits = []
    for _ in range(ATTEMPTS - 1):
        assert run(engine, clock) == Executions(retried=1)
        assert run(engine, clock) == Executions()
        assert (due_now(engine), due_now(engine, clock)) == (["001"], [])
        waits.append(table(engine, outbound_call, "not_before")[0][0] - clock.at)
        clock.at += waits[-1]
    assert [int(wait.total_seconds()) for wait in waits] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert run(engine, clock) == Executions(suspended=1)
    assert states(engine) == [("T1", "SUSPENDED", ATTEMPTS, "E-CALL-002 target crm: status 503; it is tried again")]
    assert len({key for key, _ in crm.received}) == 1


@pytest.mark.parametrize(("wish", "seconds"), [("120", 120), ("5", 30), ("1000000000", 900), ("soon", 30)])
def test_F17_the_wish_of_a_target_to_wait_is_followed_up_to_15_minutes(
    engine: sa.Engine, clock: FixedClock, erp: Path, crm: Crm, wish: str, seconds: int
) -> None:
    crm.status, crm.headers = 429, {"Retry-After": wish}
    write_task(erp, "T1", f"{TODAY} 11:59:00")
    take(engine, clock)
    run(engine, clock)
    assert table(engine, outbound_call, "not_before") == [(clock.at + timedelta(seconds=seconds),)]


@pytest.mark.parametrize("point", ["call.claimed", "call.sent", "call.closed"])
def test_kill_9_during_a_call_leads_to_one_effect(
    engine: sa.Engine, clock: FixedClock, erp: Path, crm: Crm, database_url: sa.URL, point: str
) -> None:
    """F6: a row left SENDING by a killed process is sent again with the same key, once its claim has ended."""
    write_task(erp, "T1", f"{TODAY} 11:59:00")
    write_task(erp, "T2", f"{TODAY} 11:59:00")
    take(engine, clock)
    assert child_work.run("tasks", database_url, f"{point}:kill") == -signal.SIGKILL
    run(engine, clock)
    assert "SENDING" in [state for (state,) in table(engine, outbound_call, "state")]
    clock.at += timedelta(minutes=2)
    run(engine, clock)
    assert [row[1] for row in states(engine)] == ["DONE", "DONE"]
    assert sorted(body["task_key"] for body in crm.effects.values()) == ["T1", "T2"]
    assert len(crm.effects) == 2
