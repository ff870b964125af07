"""A webhook's delivery into the inbox: whose it is, whether its signature is right, and which record it carries.

The answer is 200 only after the record is stored. The signature covers the body alone: the address is to be reached over
TLS, because topic and delivery id are not signed. A replayed delivery is known by its id, a replayed body by its version.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from erpcrm_orchestration.clients.rest_record import received
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import ConnectorEntity, Reading
from erpcrm_orchestration.domain.errors import InputError, StoreError, did_you_mean
from erpcrm_orchestration.domain.failpoint import failpoint
from erpcrm_orchestration.domain.received import Received, Via
from erpcrm_orchestration.domain.secret import resolve
from erpcrm_orchestration.domain.values import shown
from erpcrm_orchestration.services.connectors import Connected
from erpcrm_orchestration.services.fetching import CONTRADICTED, request_missing
from erpcrm_orchestration.store.configuration import load_connection, load_connector
from erpcrm_orchestration.store.engine import in_each_others_way, reported
from erpcrm_orchestration.store.inbox import Arrival, StreamKey, has_delivery, head_of, receive

LARGEST_BYTES = 5_000_000
LONGEST_NAME = 200
STATEMENT_TIMEOUT_MS = 10_000
"""A sender waits for the answer; a database that takes longer is a failure, and the next poll brings the record."""
ATTEMPTS = 3
PING = re.compile(rb"webhook_id=[0-9]{1,20}")
"""What WooCommerce sends, unsigned and without topic, when a webhook is created."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """One request to a connection's address; header names are in lower case."""

    connection_code: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The status of HTTP and one line that says what became of the delivery, or why not."""

    status: int
    line: str


class DeliveryRefused(InputError):
    """A delivery that is not stored; `status` is the answer's."""

    def __init__(self, status: int, code: str, where: str, found: str, remedy: str) -> None:
        self.status = status
        super().__init__(code, where, found, remedy)


def too_large(connection_code: str) -> DeliveryRefused:
    """Return the refusal of a body over the limit."""
    found = f"more than {LARGEST_BYTES} bytes"
    return DeliveryRefused(413, "E-HOOK-002", _place(connection_code), found, "the poll brings the record")


def accept(engine: sa.Engine, delivery: Delivery, environment: Mapping[str, str], clock: Clock) -> Answer:
    """Store what the delivery carries and return the answer; nothing of a refused or failed one is stored."""
    place = _place(delivery.connection_code)
    try:
        with reported(engine):
            return Answer(200, _accepted(engine, delivery, environment, clock.now()))
    except DeliveryRefused as refused:
        return Answer(refused.status, str(refused))
    except (StoreError, sa.exc.SQLAlchemyError) as failure:
        _log.warning("%s: not stored: %s", place, type(failure).__name__)
        return Answer(503, f"E-HOOK-006 {place}: the record cannot be stored now; the poll brings it")


def _accepted(engine: sa.Engine, delivery: Delivery, environment: Mapping[str, str], now: datetime) -> str:
    with engine.connect() as connection:
        one = _addressed(connection, delivery)
    place = _place(delivery.connection_code)
    topic = _header(delivery, one.connector.webhook_topic_header)
    if topic is None and PING.fullmatch(delivery.body.strip()):
        return "the address is right"
    _verify(one, delivery, _secret(one, environment))
    arrived = _Arrived(delivery, topic, now)
    stream = _stream(one, topic, place)
    for _ in range(ATTEMPTS - 1):
        try:
            return _stored(engine, one, stream, arrived)
        except sa.exc.OperationalError as error:
            # The integration may hold what we need, and we what it needs; PostgreSQL then ends one of both.
            if not in_each_others_way(error):
                raise
    return _stored(engine, one, stream, arrived)


def _stored(engine: sa.Engine, one: Connected, stream: ConnectorEntity, arrived: _Arrived) -> str:
    """Store the delivery in one transaction; after it the record is durable."""
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(STATEMENT_TIMEOUT_MS)})
            told = _store(connection, one, stream, arrived)
            failpoint("webhook.before_commit")
        return told
    except sa.exc.IntegrityError as error:
        # Two deliveries with one id at the same time: the other one has stored it.
        if "inbox_delivery_key" not in str(error.orig):
            raise
        return "stored before"


@dataclass(frozen=True)
class _Arrived:
    """A delivery whose signature is right."""

    delivery: Delivery
    topic: str | None
    now: datetime


def _place(connection_code: str) -> str:
    return f"webhooks/{shown(connection_code)}"


def _addressed(connection: sa.Connection, delivery: Delivery) -> Connected:
    """Return the connection; one that is unknown, inactive or takes no webhooks is refused in the same words."""
    code = delivery.connection_code
    found = load_connection(connection, code) if code.isprintable() and len(code) <= LONGEST_NAME else None
    connector = load_connector(connection, found.connector) if found and found.active and found.webhook_secret else None
    if found is None or connector is None:
        raise DeliveryRefused(404, "E-HOOK-001", _place(code), "no such address", "correct the address of the webhook")
    return Connected(found, connector)


def _secret(one: Connected, environment: Mapping[str, str]) -> str:
    place = _place(one.connection.connection_code)
    try:
        return resolve(one.connection.webhook_secret or "", environment, where=place)
    except InputError as missing:
        _log.error("%s", missing)
        raise DeliveryRefused(
            503, "E-HOOK-007", place, "the receiver has no secret", "the operator of the receiver sets it"
        ) from None


def _verify(one: Connected, delivery: Delivery, secret: str) -> None:
    """Compare the signature in constant time; raise DeliveryRefused 401 when it is missing or of something else."""
    given = _header(delivery, one.connector.webhook_signature_header)
    right = base64.b64encode(hmac.new(secret.encode(), delivery.body, hashlib.sha256).digest())
    if given is None or not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), right):
        found = "no signature" if given is None else "the signature is not that of the body"
        raise DeliveryRefused(
            401, "E-HOOK-003", _place(delivery.connection_code), found, "give sender and connection one secret"
        )


def _stream(one: Connected, topic: str | None, place: str) -> ConnectorEntity:
    """Return what a topic carries.

    An unknown topic is refused (400): a webhook has one topic, so the sender ends only the one that nobody here reads.
    """
    streams = {name: stream for stream in one.streams for name in stream.topics}
    if topic is None and one.connector.webhook_topic_header is None and len({one.name for one in streams.values()}) == 1:
        return next(iter(streams.values()))
    if topic is None:
        raise DeliveryRefused(400, "E-HOOK-004", place, "no topic", "send the header with the topic")
    if topic not in streams:
        raise DeliveryRefused(400, "E-HOOK-004", place, f"unknown topic {shown(topic)}", did_you_mean(topic, streams))
    return streams[topic]


def _store(connection: sa.Connection, one: Connected, stream: ConnectorEntity, arrived: _Arrived) -> str:
    """Put the record into the inbox; what the webhook does not carry as a whole, or contradicts, is asked for."""
    code, key, now = one.connection.connection_code, one.key(stream), arrived.now
    delivery_id = _delivery_id(one, arrived.delivery)
    if delivery_id is not None and has_delivery(connection, code, delivery_id):
        return "stored before"
    if stream.read is None:
        raise AssertionError("streams are read")
    record = _record(connection, key, stream.read, arrived)
    if stream.read.follow and record.fault is None and not record.deleted:
        request_missing(connection, one, [(key.entity, record.source_id)], "a webhook tells of it", now)
        return "noted, the record is fetched"
    receipt = receive(connection, key, [record], Arrival(Via.WEBHOOK, now, delivery_id=delivery_id))
    # A deletion says nothing of its time: the record may have been restored before it came.
    if receipt.rivals or (record.deleted and receipt.new):
        request_missing(connection, one, [(key.entity, record.source_id)], CONTRADICTED, now)
    return "stored" if receipt.new or receipt.refused else "known already"


def _record(connection: sa.Connection, key: StreamKey, reading: Reading, arrived: _Arrived) -> Received:
    """Return the record; a deletion says only which one, and is newer than all that we have of it."""
    if not (arrived.topic or "").endswith(".deleted"):
        return received(arrived.delivery.body, reading)
    record = received(arrived.delivery.body, replace(reading, modified=None))
    if record.fault is not None:
        return record
    known = head_of(connection, key, record.source_id).version_at
    # The sender's clock may be ahead of ours.
    at = arrived.now if known is None else max(arrived.now, known + timedelta(milliseconds=1))
    return Received(record.source_id, record.payload, version_at=at, deleted=True)


def _header(delivery: Delivery, name: str | None) -> str | None:
    return delivery.headers.get(name.casefold()) if name else None


def _delivery_id(one: Connected, delivery: Delivery) -> str | None:
    found = _header(delivery, one.connector.webhook_delivery_header)
    return found if found and len(found) <= LONGEST_NAME and found.isprintable() else None
