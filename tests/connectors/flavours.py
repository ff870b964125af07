"""The four flavours of the small REST system, each as a system under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from erpcrm_orchestration.clients.rest import RestClient
from erpcrm_orchestration.clients.rest_session import Surroundings
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.connection import (
    Auth,
    Call,
    ChangeMode,
    Connection,
    Connector,
    ConnectorEntity,
    ConnectorKind,
    Paging,
    PagingKind,
    Reading,
    Writing,
)
from tests.connectors.rest_system import API_KEY, RestSystem, lost, status

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
QUERY = "query Orders($size: Int!, $cursor: String, $after: String) { orders(size: $size) { nodes pageInfo } }"
BODY = {"status": "{status}", "total": "{total}"}
AUTH = Auth("headers", headers={"X-Api-Key": "{key}"})


@dataclass
class StandStill:
    """Time that passes only when somebody sleeps; `pauses` are the sleeps."""

    at: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += seconds

    def around(self) -> Surroundings:
        return Surroundings(self.sleep, lambda: self.at, lambda: 0.5, FixedClock(NOW))


def writing(name: str) -> Writing:
    return Writing(
        create=Call(f"/{name}", "POST", body=BODY),
        update=Call(f"/{name}/{{id}}", "PUT", body={"status": "{status}"}),
        find=Call(f"/{name}", query={"key": "{key}"}),
        find_records={"events": "results", "accounts": "open.accounts"}.get(name, ""),
        fields=("status", "total"),
        values={"status": {"shipped": "completed"}},
    )


def paged(kind: PagingKind, parameter: str | None = None, size: int = 3, **more: str) -> Paging:
    return Paging(kind, size, "size", parameter, **more)


ORDERS = Reading(
    ChangeMode.CURSOR,
    Call("/orders", query={"after": "{after}", "until": "{until}"}),
    modified="modified",
    paging=paged(PagingKind.PAGE, "page"),
    one=Call("/orders/{id}"),
)
CURSOR = ConnectorEntity("orders", ORDERS, write=writing("orders"))
KEYSET = replace(CURSOR, read=replace(ORDERS, paging=paged(PagingKind.KEYSET)))
EVENTS = Reading(
    ChangeMode.APPEND,
    Call("/events"),
    records="results",
    paging=paged(PagingKind.OFFSET, "offset"),
    one=Call("/events/{id}"),
)
APPEND = ConnectorEntity("events", EVENTS, write=writing("events"))
ACCOUNTS = Reading(
    ChangeMode.SNAPSHOT,
    Call("/accounts"),
    records="open.accounts",
    paging=paged(PagingKind.OFFSET, "offset"),
    one=Call("/accounts/{id}"),
)
SNAPSHOT = ConnectorEntity("accounts", ACCOUNTS, write=writing("accounts"))
GRAPHQL = ConnectorEntity(
    "orders",
    Reading(
        ChangeMode.CURSOR,
        Call("/graphql", graphql=QUERY, variables={"after": "{after}"}),
        records="data.orders.nodes",
        modified="modified",
        paging=paged(
            PagingKind.TOKEN,
            "cursor",
            next_path="data.orders.pageInfo.endCursor",
            more_path="data.orders.pageInfo.hasNextPage",
        ),
        one=Call("/orders/{id}"),
    ),
    write=writing("orders"),
)
FLAVOURS = {"cursor": CURSOR, "keyset": KEYSET, "append": APPEND, "snapshot": SNAPSHOT, "graphql": GRAPHQL}
CANNOT = {
    "append": {"change": "rows are only added", "equal_times": "rows have no instant"},
    "snapshot": {"change": "everything is read", "equal_times": "rows have no instant"},
}


def client_of(
    system: RestSystem, *, key: str = API_KEY, time: StandStill | None = None, url: str | None = None, **of_connector: object
) -> RestClient:
    """Return a client of the small system whose pauses take no time."""
    given = {"auth": AUTH, "timeout_s": 5, **of_connector}
    connector = Connector("small", ConnectorKind.REST, (), **given)  # type: ignore[arg-type]
    connection = Connection("small-998", "998", "shop", "small", url or system.url, {"key": "${env:SMALL_KEY}"})
    return RestClient(connector, connection, {"SMALL_KEY": key}, (time or StandStill()).around())


@dataclass
class RestUnderTest:
    """A flavour of the small system as the conformance tests see it."""

    system: RestSystem
    entity: ConnectorEntity
    cannot: Mapping[str, str]
    page_size: int = 3
    secrets: tuple[str, ...] = (API_KEY, "canary-wrong-key")
    update: Mapping[str, object] = field(default_factory=lambda: {"status": "shipped"})

    def client(self, *, wrong_credentials: bool = False) -> RestClient:
        return client_of(self.system, key="canary-wrong-key" if wrong_credentials else API_KEY)

    def add(self, at: datetime) -> str:
        return str(self.system.add(self.entity.name, at))

    def change(self, record: str, at: datetime) -> None:
        self.system.change(self.entity.name, int(record), at)

    def spoil(self, record: str) -> None:
        text = self.system.text(self.entity.name, int(record))
        self.system.texts[self.entity.name, int(record)] = text.replace('"10.00"', "NaN")

    def fail_next(self) -> None:
        self.system.faults.append(status(503))

    def lose_next_answer(self) -> None:
        self.system.faults.append(lost)

    def effects(self) -> int:
        return self.system.creates
