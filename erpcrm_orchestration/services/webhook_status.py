"""Whether the systems still send their webhooks: a sender ends one after failures, and only a look at its list tells.

A webhook that was ended loses nothing, because the polls go on; changes come later, and some only with the nightly comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import (
    Call,
    ChangeMode,
    ConnectorEntity,
    ConnectorKind,
    Paging,
    PagingKind,
    Reading,
)
from erpcrm_orchestration.domain.errors import InputError, SourceError
from erpcrm_orchestration.domain.json_path import here
from erpcrm_orchestration.domain.received import Span
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.services.connectors import Connected, connected
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import connection_state
from erpcrm_orchestration.store.connection_state import webhook_states

LOOK_EVERY = timedelta(minutes=10)
STALE_AFTER = timedelta(hours=1)
ACTIVE = "active"
NONE = "none"
UNREAD = "unread"

LISTS: Mapping[ConnectorKind, ConnectorEntity] = {
    ConnectorKind.WOOCOMMERCE: ConnectorEntity(
        "webhooks",
        Reading(
            ChangeMode.SNAPSHOT,
            Call("/wp-json/wc/v3/webhooks", query={"orderby": "id", "order": "asc"}),
            paging=Paging(PagingKind.LINK, 100, "per_page"),
        ),
    )
}
"""Kind of connector -> its list of webhooks, read as any list is. Other kinds cannot tell."""


@dataclass(frozen=True)
class WebhookFault:
    """What is wrong with the webhooks of a connection. `is_error`: the system has ended one of them (B12)."""

    connection_code: str
    found: str
    seen_at: datetime | None
    is_error: bool


def look_at_webhooks(work: Work, one: Connected) -> str | None:
    """Store how the connection's webhooks stand, at most every ten minutes; return it, None when it was not looked at."""
    listing = LISTS.get(one.connector.kind)
    now = work.clock.now()
    if listing is None or one.connection.webhook_secret is None:
        return None
    with work.engine.connect() as connection:
        code = one.connection.connection_code
        states = webhook_states(connection, [code])
        left_alone = {*connection_state.stopped_connections(connection), *connection_state.resting_connections(connection, now)}
    seen_at = states[code].seen_at if code in states else None
    if code in left_alone or (seen_at is not None and seen_at + LOOK_EVERY > now):
        return None
    status = _status(work, one, listing)
    with work.engine.begin() as connection:
        connection_state.note(connection, one.connection, webhook_status=status, webhook_seen_at=now)
    return status


def webhook_faults(engine: sa.Engine, clock: Clock) -> dict[str, list[WebhookFault]]:
    """Return dossier -> the connections whose webhooks do not come, for every active connection that expects some."""
    with engine.connect() as connection:
        return faults_of(connection, clock.now())


def faults_of(connection: sa.Connection, now: datetime) -> dict[str, list[WebhookFault]]:
    """Return the same as `webhook_faults`, read in the caller's transaction."""
    expecting = [one for one in connected(connection) if one.connection.webhook_secret and one.connector.kind in LISTS]
    states = webhook_states(connection, [one.connection.connection_code for one in expecting])
    faults: dict[str, list[WebhookFault]] = {}
    for one in expecting:
        code = one.connection.connection_code
        state = states.get(code)
        found = None if state is None else _fault(state.status, state.seen_at, now)
        if state is not None and found is not None:
            is_error = state.status.startswith("disabled")
            faults.setdefault(one.connection.dossier, []).append(WebhookFault(code, found, state.seen_at, is_error))
    return faults


def _status(work: Work, one: Connected, listing: ConnectorEntity) -> str:
    """Return `active`, `none`, `unread: why`, or the topics that are not active, the disabled ones first."""
    try:
        with closing(one.open(work.environment)) as client:
            texts = [record.payload for page in client.pages(listing, Span()) for record in page.records]
        ours = [hook for hook in map(loads, texts) if _is_ours(hook, one.connection.connection_code)]
    except (SourceError, InputError) as failure:
        return f"{UNREAD}: {failure}"
    idle: dict[str, list[str]] = {}
    for hook in ours:
        if here(hook, "status") != ACTIVE:
            idle.setdefault(str(here(hook, "status")), []).append(str(here(hook, "topic")))
    # The status `disabled` stands before `paused` in the alphabet, too.
    told = "; ".join(f"{status}: {', '.join(sorted(topics))}" for status, topics in sorted(idle.items()))
    return told or (ACTIVE if ours else NONE)


def _is_ours(hook: object, connection_code: str) -> bool:
    """True when the webhook is sent to this connection's address, whatever host the receiver is reached by."""
    try:
        path = urlsplit(str(here(hook, "delivery_url"))).path
    except ValueError:
        return False
    return path.rstrip("/").endswith(f"/webhooks/{connection_code}")


def _fault(status: str, seen_at: datetime, now: datetime) -> str | None:
    if now - seen_at > STALE_AFTER:
        return f"the list of webhooks was last read at {seen_at:%Y-%m-%d %H:%M} UTC"
    if status == ACTIVE:
        return None
    if status == NONE:
        return "no webhook of the system is sent to this connection"
    return status if status.startswith(UNREAD) else f"the system does not send: {status}"
