"""The API keeps what its description promises, whatever is sent to it."""

from __future__ import annotations

import os
from typing import Any

import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from erpcrm_orchestration.board.guard import csrf_token
from erpcrm_orchestration.domain.clock import FixedClock
from tests.board_house import House, running_board
from tests.company import Company, ago

CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]
TRIES = int(os.environ.get("SCHEMA_TRIES", "6"))
"""Requests to each operation; more by SCHEMA_TRIES."""


def test_whatever_is_sent_to_the_api_no_answer_is_a_fault_of_ours(engine: sa.Engine, clock: FixedClock) -> None:
    company = Company(engine, clock)
    company.mail_group("anna@example.com")
    company.template("FORM.dossier_code", "FORM.TOUT")
    for code in ("001", "998"):
        company.dossier(code)
        company.log(code, ago(company, minutes=95))
        company.dataset(code, "TIME", "ERROR", ago(company, minutes=5))
    company.refresh("001", "998")
    with running_board(engine, clock) as house:
        house.lift_limits()
        guest = house.guest({"*": "admin"})
        description = guest.get("/api/v1/openapi.json").json()
        described = schemathesis.openapi.from_dict(description)
        headers = {"origin": house.url, "x-csrf-token": csrf_token(guest.token)}
        asked = [_try(one.ok(), house, guest.token, headers) for one in described.get_all_operations()]
    assert sum(asked) >= len(asked) * 2
    assert len(asked) == sum(len(methods) for methods in description["paths"].values())


def _try(operation: Any, house: House, token: str, headers: dict[str, str]) -> int:
    """Send generated requests to one operation; return how many."""
    count = 0

    @settings(max_examples=TRIES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def attempt(case: Any) -> None:
        nonlocal count
        count += 1
        answer = case.call(base_url=house.url, headers=headers, cookies={house.desk.settings.cookie: token})
        case.validate_response(answer, checks=CHECKS)

    attempt()
    return count
