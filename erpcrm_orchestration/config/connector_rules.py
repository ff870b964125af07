"""What is wrong with a connector: how it reads, what it writes, how it proves who we are."""

from __future__ import annotations

from collections.abc import Iterator

from erpcrm_orchestration.config.call_rules import (
    AFTER,
    FOLLOW,
    HTTP,
    LIST,
    ONE,
    UNTIL,
    CallRules,
    Names,
    names_of,
    placeholders,
)
from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.mapping_rules import NOT_OURS, mapping_faults, path_faults, unfilled_references
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.config.table_rules import table_faults
from erpcrm_orchestration.domain.connection import (
    Auth,
    Call,
    ChangeMode,
    Connection,
    Connector,
    ConnectorEntity,
    ConnectorKind,
    EntityMapping,
    Follow,
    Writing,
)
from erpcrm_orchestration.domain.connection import (
    Reading as Reads,
)
from erpcrm_orchestration.domain.entity import ENTITIES, Entity, Kind
from erpcrm_orchestration.domain.errors import did_you_mean
from erpcrm_orchestration.domain.secret import references

MODE = "E-CFG-064"
PLACEHOLDER = "E-CFG-066"
WRONG_WRITE = "E-CFG-068"
TOPIC = "E-CFG-069"
AUTH = "E-CFG-078"


def connector_faults(reading: Reading, connector: Connector) -> Iterator[Fault]:
    """Yield everything that is wrong with a connector by itself."""
    path: Path = ("connectors", connector.connector_code)
    rules = CallRules(reading, connector, _credentials(reading, connector))
    yield from _auth_faults(rules, (*path, "auth"), connector.auth)
    yield from _topic_faults(reading, connector)
    yield from table_faults(reading, connector)
    for one in connector.entities:
        below = (*path, "entities", one.name)
        if one.read is not None:
            yield from _read_faults(rules, (*below, "read"), one.read)
        if one.map is not None:
            yield from mapping_faults(reading, (*below, "map"), one.map)
        if one.write is not None:
            yield from _write_faults(rules, (*below, "write"), one.write, one.map)


def connector_warnings(reading: Reading, connector: Connector) -> Iterator[Fault]:
    """Yield what may be meant: references that nothing fills, records that are read and not mapped."""
    yield from unfilled_references(reading, connector)
    for one in connector.entities:
        if one.map is None and (one.read is not None or one.topics):
            path: Path = ("connectors", connector.connector_code, "entities", one.name)
            yield reading.refuse(NOT_OURS, path, "read and not mapped", "give map: its records are kept and become nothing")


def used_credentials(connector: Connector) -> set[str]:
    """Return the names in braces that only the credentials of a connection can give."""
    auth = connector.auth
    proof = (auth.user or "{user}", auth.password or "{password}") if auth.kind == "basic" else ()
    named = {name for text in (*auth.headers.values(), *proof) for name in placeholders(text)}
    if auth.kind == "login":
        named.discard("token")
    named |= names_of(auth.login) if auth.login else set()
    for one in connector.entities:
        for call, names in _calls(one):
            named |= {name for name in names_of(call) if not names.has(name) and "." not in name}
    if connector.kind is ConnectorKind.SQL:
        named.discard("dossier")  # the connection's own, in the value of a column
    return named


def _calls(one: ConnectorEntity) -> Iterator[tuple[Call, Names]]:
    """Yield every request of an entity with what it may hold."""
    if one.read is not None:
        yield one.read.pages, LIST
        if one.read.one is not None:
            yield one.read.one, ONE
        yield from ((each.call, FOLLOW) for each in one.read.follow if each.call is not None)
    if one.write is not None:
        names = _written_names(one.write, one.map)
        yield from ((call, names) for _, call in _writing_calls(one.write))


def _writing_calls(write: Writing) -> Iterator[tuple[str, Call]]:
    for name in ("create", "update", "find", "check"):
        call: Call | None = getattr(write, name)
        if call is not None:
            yield name, call


def _written_names(write: Writing, mapping: EntityMapping | None) -> Names:
    entity = ENTITIES.get(mapping.entity) if mapping else None
    fields = {one.name for one in entity.fields} if entity else set()
    dotted = {one.name for one in entity.fields if one.kind is Kind.ADDRESS} if entity else set()
    rows = {one.name for one in entity.children} if entity else set()
    return Names(frozenset({"id", "key", *fields, *rows, *write.values}), frozenset({"ref", "row", *dotted, *rows}))


def _credentials(reading: Reading, connector: Connector) -> frozenset[str]:
    connections: tuple[Connection, ...] = reading.configuration.connections
    return frozenset(
        name for one in connections if one.connector == connector.connector_code for name in one.credentials
    )  # fmt: skip


def _auth_faults(rules: CallRules, path: Path, auth: Auth) -> Iterator[Fault]:
    reading = rules.reading
    needed = {"basic": (), "headers": ("headers",), "login": ("login", "headers"), "none": ()}[auth.kind]
    for name in needed:
        if not getattr(auth, name):
            yield reading.refuse(AUTH, path, f"auth {auth.kind} without {name}", f"give {name}")
    for name, kind in (("user", "basic"), ("password", "basic"), ("login", "login")):
        if getattr(auth, name) and auth.kind != kind:
            yield reading.refuse(AUTH, (*path, name), f"{name} with auth {auth.kind}", f"leave it out, or say kind: {kind}")
    yield from path_faults(reading, (*path, "token_path"), auth.token_path)
    yield from rules.call((*path, "login"), auth.login, Names())
    if auth.kind == "login" and auth.headers and "token" not in placeholders(dict(auth.headers)):
        yield reading.refuse(AUTH, (*path, "headers"), "a login whose token is not sent", 'write it as "Bearer {token}"')


def _topic_faults(reading: Reading, connector: Connector) -> Iterator[Fault]:
    owners: dict[str, str] = {}
    for one in connector.entities:
        for position, topic in enumerate(one.topics):
            owner = owners.get(topic)
            owners.setdefault(topic, one.name)
            if owner is not None:
                path: Path = ("connectors", connector.connector_code, "entities", one.name, "topics", position)
                yield reading.refuse(TOPIC, path, f"topic {topic} belongs to {owner} already", "name every topic once")


def _read_faults(rules: CallRules, path: Path, read: Reads) -> Iterator[Fault]:
    reading = rules.reading
    yield from rules.call((*path, "pages"), read.pages, LIST)
    yield from rules.call((*path, "one"), read.one, ONE)
    yield from rules.paging((*path, "paging"), read.paging, read.pages)
    for name in ("records", "one_record"):
        yield from path_faults(reading, (*path, name), getattr(read, name), may_be_empty=True)
    for name in ("record_id", "modified", "deleted"):
        yield from path_faults(reading, (*path, name), getattr(read, name))
    for name in read.deleted_when:
        yield from path_faults(reading, (*path, "deleted_when", name), name)
    yield from _mode_faults(rules, path, read)
    if rules.connector.kind in HTTP and read.one is not None and "id" not in names_of(read.one):
        yield reading.refuse(PLACEHOLDER, (*path, "one"), "no {id} in the request", "say where the id of the record goes")
    for follow in read.follow:
        yield from _follow_faults(rules, (*path, "follow", follow.into), follow)


def _mode_faults(rules: CallRules, path: Path, read: Reads) -> Iterator[Fault]:
    named = names_of(read.pages)
    if read.mode is ChangeMode.CURSOR:
        if read.modified is None:
            remedy = "say where the instant of the last change stands, or read by snapshot"
            yield rules.reading.refuse(MODE, path, "mode cursor without modified", remedy)
        if rules.connector.kind in HTTP and not AFTER & named and read.paging.kind.value != "keyset":
            remedy = "put {after} into query or path, or read by snapshot"
            yield rules.reading.refuse(MODE, (*path, "pages"), "mode cursor without {after} in the request", remedy)
    if read.mode is ChangeMode.SNAPSHOT:
        for name in sorted(named & (AFTER | UNTIL)):
            found = f"{{{name}}} in a snapshot, which reads everything"
            yield rules.reading.refuse(MODE, (*path, "pages"), found, f"leave {{{name}}} out, or say mode: cursor")
    if read.mode is ChangeMode.APPEND:
        for name in sorted(named & {"after_naive", *UNTIL}):
            found = f"{{{name}}} with mode append, which goes by the key"
            yield rules.reading.refuse(MODE, (*path, "pages"), found, "write {after} for the last key, or say mode: cursor")


def _follow_faults(rules: CallRules, path: Path, follow: Follow) -> Iterator[Fault]:
    if (follow.link is None) == (follow.call is None):
        found = "neither link nor call" if follow.link is None else "both link and call"
        yield rules.reading.refuse("E-CFG-068", path, found, "give exactly one of both")
    yield from path_faults(rules.reading, (*path, "link"), follow.link)
    yield from path_faults(rules.reading, (*path, "records"), follow.records, may_be_empty=True)
    yield from rules.call((*path, "call"), follow.call, FOLLOW)
    yield from rules.paging((*path, "paging"), follow.paging, follow.call)


def _write_faults(rules: CallRules, path: Path, write: Writing, mapping: EntityMapping | None) -> Iterator[Fault]:
    names = _written_names(write, mapping)
    for name, call in _writing_calls(write):
        yield from rules.call((*path, name), call, names)
    for name in ("created_id", "find_id"):
        yield from path_faults(rules.reading, (*path, name), getattr(write, name))
    yield from path_faults(rules.reading, (*path, "find_records"), write.find_records, may_be_empty=True)
    for found, remedy in _write_gaps(write, mapping):
        yield rules.reading.refuse(WRONG_WRITE, path, found, remedy)
    entity = ENTITIES.get(mapping.entity) if mapping else None
    if entity is not None:
        yield from _written_field_faults(rules, path, write, entity)


def _write_gaps(write: Writing, mapping: EntityMapping | None) -> Iterator[tuple[str, str]]:
    """Yield what is missing for a change to be written, with what to do."""
    if mapping is None:
        yield "write without map", "say by map: which entity of ours it is"
    if write.create is None and write.update is None:
        yield "neither create nor update", "give at least one of both"
    if not write.fields:
        yield "no fields", "name the fields of ours whose change is sent"
    if write.find is not None and write.create is None:
        yield "find without create", "leave find out, or give create"
    if (write.check is None) != (not write.refuse_when):
        yield "only one of check and refuse_when", "give both: check reads the record, refuse_when says what is a conflict"


def _written_field_faults(rules: CallRules, path: Path, write: Writing, entity: Entity) -> Iterator[Fault]:
    known = {one.name for one in entity.fields} | {one.name for one in entity.children}
    for position, name in enumerate(write.fields):
        if name not in known:
            found = f"{entity.name} has no field {name}"
            yield rules.reading.refuse(NOT_OURS, (*path, "fields", position), found, did_you_mean(name, known))
    used = {name.partition(".")[0] for _, call in _writing_calls(write) for name in names_of(call)}
    for name in write.values:
        if name not in used:
            found = f"words for {name}, which no request sends"
            yield rules.reading.refuse(WRONG_WRITE, (*path, "values", name), found, did_you_mean(name, used))
    for name in write.refuse_when:
        yield from path_faults(rules.reading, (*path, "refuse_when", name), name)


def environment_faults(reading: Reading, connector: Connector) -> Iterator[Fault]:
    """Yield references to the environment in a connector, which is the same for every installation."""
    for path, text in _texts(reading.document.data["connectors"].get(connector.connector_code), ()):
        for name in references(text):
            remedy = "write {name} here, and name: ${env:NAME} below credentials of the connection"
            full: Path = ("connectors", connector.connector_code, *path)
            yield reading.refuse("E-CFG-077", full, f"${{env:{name}}} in a connector", remedy)


def _texts(content: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(content, dict):
        for key, one in content.items():
            yield from _texts(one, (*path, key))
    elif isinstance(content, list):
        for position, one in enumerate(content):
            yield from _texts(one, (*path, position))
    elif isinstance(content, str):
        yield path, content
