"""How a system outside is connected: what a connector describes once, and what a connection says of one dossier's system.

A connector is YAML for a kind of system; a connection is one installation of it, for one dossier.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from typing import Literal


class ConnectorKind(StrEnum):
    """The programs that speak with systems. Each passes the same conformance tests."""

    WOOCOMMERCE = "woocommerce"
    REST = "rest"
    TRYTON = "tryton"
    SQL = "sql"
    FILES = "files"


class ChangeMode(StrEnum):
    """How changes of an entity are noticed.

    CURSOR: rows at or after an instant, with an overlap. APPEND: rows are only ever added and have a growing key.
    SNAPSHOT: everything is read and compared by content hash, deletes included.
    """

    CURSOR = "cursor"
    APPEND = "append"
    SNAPSHOT = "snapshot"


class PagingKind(StrEnum):
    """NONE: one answer holds all. LINK: header Link rel=next. NEXT: a path in the answer holds the next address.

    PAGE: a page number from 1. OFFSET: rows to skip. TOKEN: a path in the answer holds the token of the next page.
    KEYSET: the greatest key (APPEND) or instant (CURSOR) of the page is the start of the next.
    """

    NONE = "none"
    LINK = "link"
    NEXT = "next"
    PAGE = "page"
    OFFSET = "offset"
    TOKEN = "token"  # noqa: S105  a kind of paging
    KEYSET = "keyset"


@dataclass(frozen=True)
class Paging:
    """`size_parameter` and `parameter` are query parameters, or variables of a GraphQL query; paths are dotted.

    `size`: rows of one page that are asked for.
    """

    kind: PagingKind = PagingKind.NONE
    size: int = 100
    size_parameter: str | None = None
    parameter: str | None = None
    """Holds the page number, offset, token or key."""
    next_path: str | None = None
    """NEXT and TOKEN: where the answer holds the next address or token."""
    more_path: str | None = None
    """Where the answer says true or false whether there is more; without it an empty or absent token ends."""


@dataclass(frozen=True)
class Call:
    """One request to a system. Texts may hold {id}, {parent.<path>}, {after}, {until}, {size}, and credentials as {name}.

    `body` is sent as JSON; in it a text that is exactly "{name}" becomes the value itself, with its type.
    """

    path: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    graphql: str | None = None
    """The text of a GraphQL query; it is sent as POST with `variables`."""
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Follow:
    """A nested list or record that stands behind a link: it is fetched and put into the record at `into`.

    `link` is the path of the address in the record; or `call` is made with {parent.<path>}.
    """

    into: str
    link: str | None = None
    call: Call | None = None
    records: str | None = None
    """The path of the list in the answer; "" is the answer itself; None puts the answer there as it is."""
    paging: Paging = Paging()


@dataclass(frozen=True)
class Reading:
    """How the records of an entity are read.

    `records`: path of the list in the answer, "" for the answer itself. `record_id`, `modified`: paths in a record.
    `modified_zone`: zone of `modified` when it has none ("UTC" for *_gmt fields).
    """

    mode: ChangeMode
    pages: Call
    record_id: str = "id"
    record_segment: int | None = None
    """The n-th part of that id when it is a path or address, from the end with -1."""
    records: str = ""
    modified: str | None = None
    modified_zone: str = "UTC"
    modified_format: Literal["iso", "epoch_s", "epoch_ms"] = "iso"
    """How {after} and {until} are written in requests."""
    paging: Paging = Paging()
    one: Call | None = None
    """Fetches a single record by {id}; without it the entity cannot be fetched on demand."""
    one_record: str = ""
    """The path of the record in the answer of `one`."""
    follow: tuple[Follow, ...] = ()
    deleted: str | None = None
    """The path of a field that is true, or not null, in a deleted record."""
    deleted_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Path -> the words there of a record that is deleted and can still be fetched: what lies in a trash."""
    reread: int = 100
    """An append-only list is read again from so many numbers before its last id, for rows that were committed late."""
    every_s: int | None = None
    """Seconds between two readings; None takes the connection's poll interval. A snapshot is mostly read nightly."""


@dataclass(frozen=True)
class FieldMap:
    """Where a field's value comes from: `path` in the record, or a `constant`.

    Applied in this order: `segment` (the n-th part of a path or address, from the end with -1), `none`, `values`
    or `otherwise`, `factor`, then the cast to the field's kind. A naive instant is in `zone`.
    """

    path: str | None = None
    constant: str | None = None
    segment: int | None = None
    none: tuple[str, ...] = ()
    """Words that mean nothing, for instance "0" for the customer of a guest."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Their word -> ours."""
    otherwise: str | None = None
    """What a word that `values` does not have becomes; None rejects the record, "=" keeps the word."""
    factor: str | None = None
    """A decimal that a number is multiplied with, for instance "0.01" for cents."""
    lookup: str | None = None
    """A kind of value mapping, for instance `unit`: a word that has no mapping yet lets the record wait for a person."""
    zone: str = "UTC"
    fields: Mapping[str, FieldMap] = field(default_factory=dict)
    """The parts of an address; then `path` is the place they are below, or None for the record itself."""


@dataclass(frozen=True)
class ChildMap:
    """Where the rows of a child come from. `records` is the path of the list; `key` the path of a row's own id."""

    child: str
    records: str
    fields: Mapping[str, FieldMap]
    key: str | None = None


@dataclass(frozen=True)
class Condition:
    """What must hold at a path of a record for it to be integrated: exactly one of the first three is said.

    With `switch` it counts where the connection has that switch on, with `unless` where it has it off.
    """

    present: bool | None = None
    """True: something stands there. False: nothing, null, or an empty text."""
    one_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    switch: str | None = None
    unless: str | None = None

    def counts(self, switches: Collection[str]) -> bool:
        """Return whether it is asked for where these switches are on."""
        return (self.switch is None or self.switch in switches) and self.unless not in switches


@dataclass(frozen=True)
class EntityMapping:
    """How a record becomes rows of our entity.

    `creates` false: only records that are known already are updated, others are not ours.
    `match`: fields by which a new record is taken for one that we have from another system.
    """

    entity: str
    fields: Mapping[str, FieldMap]
    children: tuple[ChildMap, ...] = ()
    creates: bool = True
    match: tuple[str, ...] = ()
    owns: tuple[str, ...] = ()
    """Fields of which this system has the last word in a dossier; a field that nobody owns is merged three ways."""
    required: tuple[str, ...] = ()
    """Paths that must be there, besides the id and the fields that the entity requires."""
    where: Mapping[str, Condition] = field(default_factory=dict)
    """Path -> what must hold there. A record for which it does not is kept and not integrated, until a newer version passes."""
    known: tuple[str, ...] = ()
    """Top-level keys that are known and not mapped; any other new key is reported as drift. ("*",) knows all."""


@dataclass(frozen=True)
class Writing:
    """How changes of ours are written to an entity of a system.

    In the bodies, {field} is a field of our record, {field.path} a part of it, {ref.<entity>} the other system's id of what
    it refers to, {key} the idempotency key. `find` looks for a record that an earlier attempt may have created.
    """

    create: Call | None = None
    update: Call | None = None
    created_id: str = "id"
    """The path of the new id in the answer of `create`."""
    find: Call | None = None
    find_records: str = ""
    find_id: str = "id"
    idempotency_header: str | None = "Idempotency-Key"
    fields: tuple[str, ...] = ()
    """The fields of ours whose change is sent."""
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Field -> our word -> theirs. A word that is missing is not sent."""
    check: Call | None = None
    """Reads the record before an update; `refuse_when` says at which of its values the update is a conflict."""
    refuse_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ConnectorEntity:
    """One kind of record of a system, named as the system calls it."""

    name: str
    read: Reading | None = None
    map: EntityMapping | None = None
    write: Writing | None = None
    topics: tuple[str, ...] = ()
    """The topics of webhooks that carry it, for instance order.created."""


@dataclass(frozen=True)
class Auth:
    """How requests prove who we are. `headers` may hold credentials as {name}; basic takes {user} and {password}."""

    kind: Literal["none", "basic", "headers", "login"] = "none"
    headers: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    password: str | None = None
    login: Call | None = None
    """LOGIN: the call that gives a token; then `headers` may hold {token}."""
    token_path: str = "token"  # noqa: S105  a path


@dataclass(frozen=True)
class Connector:
    """What is the same for every installation of a kind of system."""

    connector_code: str
    kind: ConnectorKind
    entities: tuple[ConnectorEntity, ...] = ()
    auth: Auth = Auth()
    requests_per_s: float = 10.0
    timeout_s: int = 30
    max_records_per_page: int = 10_000
    max_answer_mb: int = 50
    webhook_signature_header: str | None = None
    """The header with the base64 HMAC-SHA256 of the body, X-WC-Webhook-Signature for WooCommerce."""
    webhook_topic_header: str | None = None
    webhook_delivery_header: str | None = None
    """The header that identifies one delivery; it is the same when the sender repeats it."""

    def entity(self, name: str) -> ConnectorEntity | None:
        """Return the entity of this name, or None."""
        return next((one for one in self.entities if one.name == name), None)


@dataclass(frozen=True)
class Connection:
    """One system of one dossier. `system` is its role there: shop, crm, erp; what was received is keyed by it."""

    connection_code: str
    dossier: str
    system: str
    connector: str
    url: str
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Names and `${env:NAME}`."""
    active: bool = True
    poll_interval_s: int = 60
    overlap_floor_s: int = 120
    time_zone: str = "UTC"
    entities: tuple[str, ...] = ()
    """The connector's entities that are read here; empty reads all."""
    outbound_enabled: bool = False
    """Whether anything is ever written to this system."""
    peak_from: time = time(9, 0)
    peak_to: time = time(22, 0)
    """Requests that can wait are not sent in this part of the dossier's day."""
    webhook_secret: str | None = None
    ca_file: str | None = None
    switches: tuple[str, ...] = ()
    """The switches of the connector's conditions that are on here."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What only one kind of connector knows: `database` for tryton, `folder` and `pattern` for files."""
