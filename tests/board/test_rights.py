"""Nobody sees or does more than they may: every route of the board, with each right, for each of many dossiers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.routine_settings import Audience
from erpcrm_orchestration.store import integration_schema, routine_schema, routine_settings, schema
from erpcrm_orchestration.store.entity_schema import entity_table
from tests.board_house import Guest, House
from tests.company import Company, ago

DOSSIERS = int(os.environ.get("RIGHTS_DOSSIERS", "8"))
"""`make crash` asks for twenty: each role has a fourth of them, every other one is foreign to it."""
CODES = [f"D{number:02}" for number in range(1, DOSSIERS + 1)]
ROLES = [access.value for access in Access]
OWN = {role: CODES[place::4] for place, role in enumerate(ROLES)}
"""Each person has one right, for a fourth of the dossiers."""

ANYBODY, INSTALLATION = "anybody", "installation"

NEEDED: Mapping[str, str] = {
    # pages and addresses that show a list: everybody who may view something, filtered
    "GET /": "view",
    "GET /interactions": "view",
    "GET /records": "view",
    "GET /records.{kind}": "view",
    "GET /datasets": "view",
    "GET /datasets.{kind}": "view",
    "GET /alerts": "view",
    "GET /ticks": "view",
    "GET /mails": "view",
    "GET /api/v1/dossiers": "view",
    "GET /api/v1/records": "view",
    "GET /api/v1/datasets": "view",
    "GET /api/v1/alerts": "view",
    "GET /api/v1/ticks": "view",
    "GET /api/v1/mails": "view",
    "GET /conflicts": "view",
    "GET /api/v1/conflicts": "view",
    "GET /orders": "view",
    "GET /api/v1/orders": "view",
    # one dossier, or something of it
    "GET /dossiers/{dossier_code}": "view",
    "GET /api/v1/dossiers/{dossier_code}": "view",
    "GET /api/v1/dossiers/{dossier_code}/history": "view",
    "GET /records/{dossier}/{message_id}": "view",
    "GET /api/v1/records/{dossier}/{message_id}": "view",
    "GET /journeys/{dossier}/{entity}": "view",
    "GET /api/v1/journeys/{dossier}/{entity}": "view",
    "GET /datasets/{number}": "view",
    "GET /api/v1/datasets/{number}": "view",
    "GET /logbook": "view",
    "GET /api/v1/logbook": "view",
    "GET /mails/{mail_id}": "operate",
    "POST /refresh": "refresh",
    "POST /api/v1/refreshes": "refresh",
    "GET /refreshes": "view",
    "GET /api/v1/refreshes": "view",
    "POST /records/{dossier}/{message_id}/correct": "operate",
    "POST /records/{dossier}/{message_id}/relaunch": "operate",
    "POST /api/v1/records/{dossier}/{message_id}/trial": "operate",
    "POST /api/v1/records/{dossier}/{message_id}/correction": "operate",
    "POST /api/v1/records/relaunch": "operate",
    "GET /relaunch": "operate",
    "POST /relaunch": "operate",
    "GET /relaunch-datasets": "operate",
    "POST /relaunch-datasets": "operate",
    "POST /datasets/{number}/correct": "operate",
    "POST /datasets/{number}/relaunch": "operate",
    "POST /api/v1/datasets/{number}/correction": "operate",
    "POST /api/v1/datasets/{number}/relaunch": "operate",
    "POST /conflicts/{dossier}/{conflict_id}": "operate",
    "POST /api/v1/conflicts/{dossier}/{conflict_id}": "operate",
    "POST /alerts/{alert_id}/take": "operate",
    "POST /api/v1/alerts/{alert_id}/acknowledgement": "operate",
    "POST /mails/{mail_id}/release": "operate",
    "GET /orders/new": "operate",
    "POST /orders/new": "operate",
    "GET /orders/{order_number}": "view",
    "POST /orders/{order_number}/cancel": "operate",
    "POST /orders/{order_number}/retry": "operate",
    "POST /api/v1/orders": "operate",
    "GET /api/v1/orders/{order_number}": "view",
    "POST /api/v1/orders/{order_number}/cancel": "operate",
    "POST /api/v1/orders/{order_number}/retry": "operate",
    "GET /api/v1/audiences/{audience}/preview": "view",
    "GET /classes/simulate": "view",
    "GET /api/v1/classes/simulation": "view",
    "POST /dossiers": "admin",
    "GET /settings": "admin",
    "GET /settings/{section}/{code}": "admin",
    "POST /settings/{section}/{code}": "admin",
    "POST /settings/{section}/{code}/remove": "admin",
    "GET /api/v1/settings/{section}/{code}": "admin",
    "POST /api/v1/settings/{section}/{code}": "admin",
    # of the person alone, or of nobody
    "GET /api/v1/me": ANYBODY,
    "GET /me": ANYBODY,
    "POST /me": ANYBODY,
    "POST /sign-out": ANYBODY,
    "GET /api/v1/settings": ANYBODY,
    "GET /sign-in": ANYBODY,
    "POST /sign-in": ANYBODY,
    "GET /sign-in/oidc": ANYBODY,
    "GET /sign-in/oidc/callback": ANYBODY,
    "GET /link/{token}": ANYBODY,
    "POST /link/{token}": ANYBODY,
    "GET /healthz": ANYBODY,
    # of the installation: no right for single dossiers reaches it
    "GET /watchers": INSTALLATION,
    "GET /api/v1/watchers": INSTALLATION,
    "GET /people": INSTALLATION,
    "POST /people": INSTALLATION,
    "GET /people/{person_id}": INSTALLATION,
    "POST /people/{person_id}": INSTALLATION,
    "POST /people/{person_id}/invite": INSTALLATION,
    "GET /events": INSTALLATION,
    "GET /api/v1/people": INSTALLATION,
    "POST /api/v1/people": INSTALLATION,
    "POST /api/v1/people/{person_id}": INSTALLATION,
    "POST /api/v1/people/{person_id}/invitation": INSTALLATION,
    "GET /api/v1/events": INSTALLATION,
    "GET /settings.yaml": INSTALLATION,
    "POST /api/v1/settings/preview": INSTALLATION,
    "GET /dagster": INSTALLATION,
    "GET /dagster/{path:path}": INSTALLATION,
    "POST /dagster/{path:path}": INSTALLATION,
}
"""What each route needs; one that is missing here fails the test."""

LISTS = frozenset(list(NEEDED)[:19]) | {"GET /settings"}
"""What is filtered by the rights of the person: it is asked for once."""
FILTERED = frozenset({"GET /api/v1/refreshes"})
"""What leaves out what is not the person's and is never missing itself."""
SHOW_THEIR_OWN = frozenset(
    {
        *("GET /dossiers/{dossier_code}", "GET /records/{dossier}/{message_id}", "GET /logbook", "GET /refreshes"),
        *("GET /orders/{order_number}", "GET /api/v1/audiences/{audience}/preview"),
    }
)


@dataclass(frozen=True)
class Things:
    """What a dossier has: numbers that stand in addresses."""

    code: str
    message_id: int
    number: int
    alert_id: int
    mail_id: int
    request_id: int
    conflict_id: int
    order_number: int


@pytest.fixture
def things(company: Company) -> dict[str, Things]:
    """Twenty dossiers; everything of one carries its marker."""
    company.mail_group("anna@example.com")
    company.template("FORM.dossier_code marker-FORM.dossier_code", "FORM.TOUT")
    for code in CODES:
        company.dossier(code, name=f"marker-{code}")
        company.log(code, ago(company, minutes=95), message=f"marker-{code}")
        company.dataset(code, "TIME", "ERROR", ago(company, minutes=5), last_error=f"marker-{code}")
    company.refresh(*CODES)
    now = company.clock.now()
    with company.engine.begin() as connection:
        routine_settings.write(connection, "audiences", [Audience("everybody")], now=now)
        for code in CODES:
            tick = {"dossier_code": code, "process_code": "interactions_erpcrm", "due_at": now, "state": "MISSED"}
            connection.execute(sa.insert(schema.tick).values(**tick, reason=f"marker-{code}", recorded_at=now, closed_at=now))
            request = {"dossier_code": code, "requested_by": "test", "requested_at": now, "state": "FAILED"}
            connection.execute(sa.insert(schema.refresh_request).values(**request, closed_at=now, reason=f"marker-{code}"))
            key = {"dossier_code": code, "system_code": "shop", "entity": "order"}
            message = {
                **key, "connection_code": "shop", "stream": "orders", "source_id": "1", "content_hash": "h", "received_at": now,
                "via": "poll",
                "payload": f'{{"id": "marker-{code}"}}', "state": "REJECTED", "closed_at": now,
                "error": f"E-MAP-001 shop orders 1: $.total: marker-{code}",
            }  # fmt: skip
            inbox = integration_schema.inbox
            number = connection.execute(sa.insert(inbox).values(**message).returning(inbox.c.message_id)).scalar_one()
            head = {**key, "external_id": "1", "message_id": number, "content_hash": "h", "first_received_at": now}
            order = {"dossier_code": code, "program": "account_status", "requested_by": f"marker-{code}", "summary": False}
            connection.execute(sa.insert(routine_schema.execution_order).values(**order, scheduled_at=now, created_at=now))
            account = {"dossier_code": code, "customer_id": 1, "company": f"marker-{code}", "updated_at": now}
            connection.execute(sa.insert(entity_table["customer"]).values(**account))
            record_id = sa.text("nextval('hub.record_id_seq')")
            conflict = {**key, "record_id": 1, "field": "email", "their_value": f"marker-{code}", "opened_at": now}
            connection.execute(sa.insert(integration_schema.field_conflict).values(**conflict))
            connection.execute(sa.insert(integration_schema.cross_reference).values(**head, record_id=record_id))

    def by_dossier(table: sa.Table, column: str) -> dict[str, int]:
        return {row.dossier_code: getattr(row, column) for row in company.rows(table) if row.dossier_code}

    messages = by_dossier(integration_schema.inbox, "message_id")
    numbers, alerts = by_dossier(schema.hub_dataset, "dataset_number"), by_dossier(schema.alert, "alert_id")
    conflicts = by_dossier(integration_schema.field_conflict, "conflict_id")
    mails, requests = by_dossier(schema.mail, "mail_id"), by_dossier(schema.refresh_request, "request_id")
    orders = by_dossier(routine_schema.execution_order, "order_number")
    found = (messages, numbers, alerts, mails, requests, conflicts, orders)
    return {code: Things(code, *(one[code] for one in found)) for code in CODES}


def routes(house: House) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route of the running board."""

    def below(found: list[BaseRoute]) -> Iterator[tuple[str, str]]:
        for route in found:
            if isinstance(route, APIRoute):
                for method in sorted((route.methods or set()) - {"HEAD"}):
                    yield method, route.path
            elif hasattr(route, "original_router"):
                yield from below(route.original_router.routes)

    yield from below(house.app.routes)


def address(path: str, of: Things, person_id: int) -> str:
    """Return the address of a route for what a dossier has."""
    values = {
        **vars(of), "dossier_code": of.code, "dossier": of.code, "section": "dossiers", "kind": "json", "entity": "order",
        "token": "x", "person_id": person_id, "path:path": "graphql", "audience": "everybody",
    }  # fmt: skip
    made = re.sub(r"\{([^}]+)\}", lambda found: str(values[found[1]]), path)
    queries = {"/logbook": f"dossier={of.code}", "/refreshes": f"request_id={of.request_id}", "/relaunch": f"dossier={of.code}"}
    own = f"dossier={of.code}"
    queries |= dict.fromkeys(("/relaunch-datasets", "/orders/new", "/classes/simulate", "/classes/simulation"), own)
    queries["/audiences/everybody/preview"] = own
    queries |= {"/api/v1" + name: query for name, query in queries.items()}
    if "/journeys/" in made:
        return f"{made}?source_id=1"
    return f"{made}?{queries[made]}" if made in queries else made


def send(guest: Guest, method: str, path: str, of: Things) -> tuple[int, str]:
    """Return status and text of a well-formed request to a route."""
    where = address(path, of, guest.person_id)
    if method == "GET":
        answer = guest.get(where)
    elif where.startswith("/api/"):
        answer = guest.call(where, BODIES.get(path, lambda _: {"reason": "x"})(of))
    else:
        answer = guest.post(where, FORMS.get(path, lambda _: {"reason": "x"})(of))
    return answer.status_code, answer.text


BODIES = {
    "/api/v1/refreshes": lambda of: {"dossiers": [of.code]},
    "/api/v1/orders": lambda of: {"dossier": of.code, "program": "account_complement"},
    "/api/v1/records/relaunch": lambda of: {"dossier": of.code, "messages": [of.message_id], "reason": "x"},
    "/api/v1/records/{dossier}/{message_id}/trial": lambda _: {"set": {"id": "2"}},
    "/api/v1/records/{dossier}/{message_id}/correction": lambda _: {"set": {"id": "2"}, "reason": "x"},
    "/api/v1/datasets/{number}/correction": lambda _: {"fields": {"a": "b"}, "reason": "x"},
    "/api/v1/datasets/{number}/relaunch": lambda _: {"state_number": 1, "reason": "x"},
    "/api/v1/alerts/{alert_id}/acknowledgement": lambda _: {},
    "/api/v1/conflicts/{dossier}/{conflict_id}": lambda _: {"whose": "ours", "reason": "x"},
    "/api/v1/settings/{section}/{code}": lambda _: {"alert_delay_min": "-1"},
    "/api/v1/settings/preview": lambda of: {"dossier": of.code, "subject": "a", "text": "b"},
    "/api/v1/people": lambda _: {"login": "eve"},
    "/api/v1/people/{person_id}": lambda _: {"grants": {"*": "admin"}},
}
FORMS = {
    "/refresh": lambda of: {"dossier": of.code},
    "/orders/new": lambda of: {"dossier": of.code, "program": "account_complement"},
    "/conflicts/{dossier}/{conflict_id}": lambda _: {"whose": "ours", "reason": "x"},
    "/dossiers": lambda of: {"dossier": of.code, "crm_project_code": "x"},
    "/datasets/{number}/relaunch": lambda _: {"state_number": "1", "reason": "x"},
    "/settings/{section}/{code}": lambda _: {"alert_delay_min": "-1"},
    "/people": lambda _: {"login": "eve"},
    "/people/{person_id}": lambda _: {"grants": "* admin", "active": "true"},
}


def test_every_route_says_what_it_needs(house: House) -> None:
    found = {f"{method} {path}" for method, path in routes(house)}
    assert found == set(NEEDED)


def test_no_route_shows_or_does_more_than_a_person_may(things: dict[str, Things], house: House) -> None:
    """Each right for a fourth of the dossiers; a foreign dossier reads like one that is not there, and nothing leaks."""
    house.lift_limits()
    guests = {role: house.guest(dict.fromkeys(OWN[role], role)) for role in ROLES}
    leaks, wrong, asked = [], [], 0
    for method, path in routes(house):
        name = f"{method} {path}"
        need = NEEDED[name]
        if need == ANYBODY:
            continue
        for role, guest in guests.items():
            foreign = [f"marker-{code}" for code in CODES if code not in OWN[role]]
            for code in CODES:
                status, text = send(guest, method, path, things[code])
                asked += 1
                leaks += [(name, role, code, marker) for marker in foreign if marker in text]
                may = need != INSTALLATION and Access(role).includes(Access(need))
                is_list = name in LISTS
                expected = may and (is_list or code in OWN[role])
                if name not in FILTERED and (status == 404) == expected:
                    wrong.append((name, role, code, status))
                if name in SHOW_THEIR_OWN and expected and f"marker-{code}" not in text:
                    wrong.append((name, role, code, "its own is not shown"))
                if is_list:
                    break
    assert leaks == []
    assert not wrong, "\n".join(map(str, sorted({(*one[:2], one[3]) for one in wrong})))
    assert asked > 150 * DOSSIERS
