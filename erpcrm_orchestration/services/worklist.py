"""What people decide so that work goes on: words and units are mapped, fields accepted, connections resumed, work put back."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, Literal

import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.connection import ChangeMode
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.errors import InputError, StoreError, did_you_mean
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.services.connectors import Connected, compiled, connected
from erpcrm_orchestration.services.inbox_correction import Author
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.services.polling import poll_agreed
from erpcrm_orchestration.services.work import Work
from erpcrm_orchestration.store import worklist as store
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.configuration import load_connections
from erpcrm_orchestration.store.connection_state import resume_connection, stopped_streams
from erpcrm_orchestration.store.engine import reported
from erpcrm_orchestration.store.inbox import wake
from erpcrm_orchestration.store.work import drop as put_away
from erpcrm_orchestration.store.work import requeue as put_back

LARGEST = 2**63 - 1


def audited(connection: sa.Connection, row: AuditRow, author: Author, clock: Clock) -> None:
    """Write what a person changed; raise InputError E-WRK-009 without a reason."""
    if not author.reason.strip():
        raise InputError("E-WRK-009", f"{row.kind} {row.code}", "no reason", "say why, for the audit trail")
    record_changes(connection, [row], now=clock.now(), actor=author.actor, reason=author.reason)


# --- work items -------------------------------------------------------------------------------------------------------


def requeue(
    engine: sa.Engine, dossier_code: str, work_ids: Collection[int], author: Author, *, clock: Clock, not_done: bool = False
) -> int:
    """Put items back that were given up, all or none: attempts begin anew. Raises InputError E-WRK-001 to 003.

    `not_done`: the author looked, and the system did not carry them out.
    """
    after = {"state": "QUEUED", "attempts": 0, "last_error": None, **({"in_doubt": False} if not_done else {})}
    with reported(engine), engine.begin() as connection:
        for work_id, row in _given_up(connection, dossier_code, work_ids).items():
            if row["taken"]:
                found = "the same record is asked for already"
                raise InputError("E-WRK-003", f"work {dossier_code}/{work_id}", found, "see `erpcrm work list`")
            _audit_work(connection, dossier_code, row, "requeue", after, author, clock)
        return put_back(connection, dossier_code, work_ids, clock.now(), not_done=not_done)


def drop(engine: sa.Engine, dossier_code: str, work_ids: Collection[int], author: Author, *, clock: Clock) -> int:
    """Leave undone what was given up or forbidden, all or none: later changes go on. Raises InputError E-WRK-001 and 002."""
    with reported(engine), engine.begin() as connection:
        for row in _given_up(connection, dossier_code, work_ids).values():
            _audit_work(connection, dossier_code, row, "drop", {"state": "SUPERSEDED"}, author, clock)
        return put_away(connection, dossier_code, work_ids)


def _given_up(connection: sa.Connection, dossier_code: str, work_ids: Collection[int]) -> dict[int, Mapping[str, Any]]:
    found = {row["work_id"]: row for row in store.find_work(connection, dossier_code, work_ids)}
    for work_id in sorted(work_ids):
        _require_given_up(f"work {dossier_code}/{work_id}", found.get(work_id))
    return dict(sorted(found.items()))


def _audit_work(
    connection: sa.Connection, dossier_code: str, row: Mapping[str, Any], action: Literal["requeue", "drop"],
    after: dict[str, Any], author: Author, clock: Clock,
) -> None:  # fmt: skip
    before = {name: row[name] for name in ("state", "attempts", "last_error")}
    audited(connection, AuditRow("work_item", f"{dossier_code}/{row['work_id']}", action, before, after), author, clock)


def _require_given_up(where: str, row: Mapping[str, Any] | None) -> None:
    if row is None:
        raise InputError("E-WRK-001", where, "no such work item", "see `erpcrm work list`")
    if row["state"] not in {"DEAD", "CONFLICT"}:
        raise InputError("E-WRK-002", where, f"it is {row['state']}", "only DEAD and CONFLICT are put back or dropped")


# --- connections ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resumed:
    """`resumed` is False when nothing was stopped. `deleted`: stream -> records that a complete pass deleted."""

    resumed: bool
    deleted: dict[str, int]
    stopped: dict[str, str]
    """Streams that stopped again, and why."""


def listed_connections(engine: sa.Engine, dossier_code: str | None) -> list[dict[str, Any]]:
    """Return how the connections of a dossier stand, of all when None is given."""
    with reported(engine), engine.connect() as connection:
        found, states = load_connections(connection), store.connection_states(connection)
        streams: dict[str, list[dict[str, Any]]] = {}
        for row in store.stream_states(connection):
            streams.setdefault(row["connection_code"], []).append(row)
    return [
        {
            "connection_code": code,
            "dossier_code": one.dossier,
            "system": one.system,
            "active": one.active,
            **_standing(states.get(code, {}), streams.get(code, [])),
        }
        for code, one in sorted(found.items())
        if dossier_code in (None, one.dossier)
    ]


def _standing(state: Mapping[str, Any], streams: list[dict[str, Any]]) -> dict[str, Any]:
    stopped = [f"{row['stream']}: {row['stopped_reason']}" for row in streams if row["stopped_reason"]]
    reasons = [state["stopped_reason"], *stopped] if state.get("stopped_reason") else stopped
    failed = [
        f"{row['stream']}: {row['last_failure']}"
        for row in streams
        if row["last_failure_at"] and (not row["last_success_at"] or row["last_failure_at"] > row["last_success_at"])
    ]
    return {
        "polled_at": max((row["last_success_at"] for row in streams if row["last_success_at"]), default=None),
        "rest_until": state.get("rest_until"),
        "webhook_status": state.get("webhook_status"),
        "stopped": "; ".join(reasons) or None,
        "last_failure": "; ".join(failed) or None,
    }


def resume(
    engine: sa.Engine,
    connection_code: str,
    author: Author,
    *,
    accept_deletes: int = 0,
    clock: Clock,
    environment: Mapping[str, str],
    run_id: str,
) -> Resumed:
    """Let a connection and its streams go on.

    With `accept_deletes` its stopped complete streams are read at once, and so many missing records may be deleted; more
    stops the stream again. Raises InputError E-WRK-004, StoreError E-DB-031 while another run works on the dossier.
    """
    one = _connected(engine, connection_code)
    stopped = _stopped(engine, connection_code)
    if not accept_deletes:
        return Resumed(_resume(engine, one, stopped, author, clock), {}, {})
    with hold(engine, [one.connection.dossier], WORK, holder=run_id, clock=clock) as held:
        if held.refused:
            raise StoreError("E-DB-031", f"dossier {one.connection.dossier}", "another run works on it", "do it once more")
        resumed = _resume(engine, one, stopped, author, clock)
        work = Work(engine, clock, environment, run_id, held.epochs)
        deleted = _read_whole(work, one, set(stopped), accept_deletes)
    return Resumed(resumed, deleted, _stopped(engine, connection_code))


def _resume(engine: sa.Engine, one: Connected, stopped: Mapping[str, str], author: Author, clock: Clock) -> bool:
    code = one.connection.connection_code
    with reported(engine), engine.begin() as connection:
        state = store.connection_states(connection).get(code, {})
        before = {"stopped_reason": state.get("stopped_reason"), "streams": dict(stopped)}
        resumed = resume_connection(connection, one.connection.dossier, code)
        if resumed:
            audited(connection, AuditRow("connection_state", code, "resume", before), author, clock)
    return resumed


def _read_whole(work: Work, one: Connected, streams: Collection[str], agreed: int) -> dict[str, int]:
    deleted: dict[str, int] = {}
    for stream in one.streams:
        if stream.name in streams and stream.read and stream.read.mode is ChangeMode.SNAPSHOT:
            found = poll_agreed(work, one, stream, agreed)
            if found.failure:
                raise found.failure
            deleted[stream.name] = found.deleted
    return deleted


def _connected(engine: sa.Engine, connection_code: str) -> Connected:
    with reported(engine), engine.connect() as connection:
        found = {one.connection.connection_code: one for one in connected(connection)}
    if connection_code not in found:
        where = f"connection {connection_code}"
        raise InputError("E-WRK-004", where, "no such active connection", did_you_mean(connection_code, found))
    return found[connection_code]


def _stopped(engine: sa.Engine, connection_code: str) -> dict[str, str]:
    with reported(engine), engine.connect() as connection:
        return {stream: why for (code, stream), why in stopped_streams(connection).items() if code == connection_code}


def accept(
    engine: sa.Engine, connection_code: str, paths: Collection[str], author: Author, *, stream: str | None, clock: Clock
) -> list[str]:
    """Accept new fields of a connection; return `stream path` of each. Raises InputError E-WRK-005 for one that is not new."""
    with reported(engine), engine.begin() as connection:
        known = store.list_drift(connection, dossier_code=None, connection_code=connection_code, accepted=False)
        for path in paths:
            fields = {row["path"] for row in known if stream in (None, row["stream"])}
            if path not in fields:
                where = f"connection {connection_code}"
                raise InputError("E-WRK-005", where, f"{path} is no new field", did_you_mean(path, fields))
        found = store.accept_drift(connection, connection_code, paths, stream=stream, now=clock.now())
        accepted = sorted(f"{row['stream']} {row['path']}" for row in found)
        audited(connection, AuditRow("stream_drift", connection_code, "accept", None, accepted), author, clock)
    return accepted


# --- mappings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """A word of a system: `kind` is a kind of value mapping, for instance unit."""

    dossier_code: str
    system_code: str
    kind: str
    external_value: str

    @property
    def cause(self) -> str:
        """What a record waits for that has this word."""
        return f"{self.kind} {self.external_value}"


def causes(engine: sa.Engine, dossier_code: str | None) -> list[dict[str, Any]]:
    """Return what records wait for, with `to_do`: the command for it. What blocks most comes first."""
    with reported(engine), engine.connect() as connection:
        rows = store.blocking_causes(connection, dossier_code)
    return [{**row, "to_do": _to_do(row)} for row in rows]


def _to_do(row: Mapping[str, Any]) -> str:
    """Return a command for a shell; OURS and the dots are what a person fills in."""
    kind, _, value = row["cause"].partition(" ")
    if kind in ENTITIES and row["message_id"] is not None:
        return f"erpcrm inbox show {row['message_id']} --dossier {row['dossier_code']}"
    where = f"--dossier {row['dossier_code']} --system {shlex.quote(row['system_code'])}"
    if kind in ENTITIES:
        return _command("fetch", [kind, value], where)
    return _command("mapping set", [kind, value, "OURS"], f"{where} --reason '...'")


def _command(verb: str, words: Sequence[str], options: str) -> str:
    # A word that begins with a dash is taken for an option unless it stands behind two dashes.
    if any(word.startswith("-") for word in words):
        return f"erpcrm {verb} {options} -- {shlex.join(words)}"
    return f"erpcrm {verb} {shlex.join(words)} {options}"


def map_word(engine: sa.Engine, word: Word, ours: str, author: Author, *, clock: Clock) -> int:
    """Say what a word means; return how many waiting messages go on. Raises InputError E-MAP-001 to 003."""
    with reported(engine), engine.begin() as connection:
        _require_kind(connection, word)
        if not ours.strip() or not word.external_value:
            raise InputError("E-MAP-003", f"mapping {word.cause}", "an empty word", "give their word and ours")
        key = vars(word)
        before = store.word_of(connection, key)
        if before != ours:
            store.set_word(connection, key, ours, clock.now())
            audited(connection, AuditRow("value_mapping", _code(word), "set", before, ours), author, clock)
        return wake(connection, word.dossier_code, word.system_code, [word.cause])


def forget_word(engine: sa.Engine, word: Word, author: Author, *, clock: Clock) -> None:
    """Take a mapping away; records that come with the word wait again. Raises InputError E-MAP-004 when there is none."""
    with reported(engine), engine.begin() as connection:
        before = store.word_of(connection, vars(word))
        if before is None:
            raise InputError("E-MAP-004", f"mapping {word.cause}", "it is not mapped", "see `erpcrm mapping list`")
        store.remove_word(connection, vars(word))
        audited(connection, AuditRow("value_mapping", _code(word), "remove", before), author, clock)


def _code(word: Word) -> str:
    return "/".join(vars(word).values())


def _require_kind(connection: sa.Connection, word: Word) -> None:
    found = connected(connection, [word.dossier_code])
    systems = {one.connection.system for one in found}
    if word.system_code not in systems:
        where = f"dossier {word.dossier_code}"
        raise InputError("E-MAP-001", where, f"no system {word.system_code}", did_you_mean(word.system_code, systems))
    kinds = {
        source.lookup
        for one in found
        if one.connection.system == word.system_code
        for stream in one.streams
        if (mapping := compiled(stream)) is not None
        for source in mapping.sources()
        if source.lookup
    }
    if word.kind not in kinds:
        where = f"system {word.system_code}"
        raise InputError("E-MAP-002", where, f"its mapping asks for no {word.kind}", did_you_mean(word.kind, kinds))


@dataclass(frozen=True)
class Ratio:
    """The key of a ratio; an empty sku holds for every product."""

    dossier_code: str
    sku: str
    unit: str
    base_unit: str
    valid_from: date

    @property
    def code(self) -> str:
        return "/".join(str(value) for value in vars(self).values())


def exact(text: str) -> tuple[int, int]:
    """Return `12`, `1/12` or `0.75` as numerator and denominator; raise InputError E-MAP-005 for anything else."""
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= LARGEST or found.denominator > LARGEST or found.numerator > LARGEST:
        raise InputError("E-MAP-005", "ratio", f"{text!r} is no ratio", "write 12, 1/12 or 0.75, greater than zero")
    return found.numerator, found.denominator


def set_ratio(engine: sa.Engine, key: Ratio, ratio: tuple[int, int] | None, author: Author, *, clock: Clock) -> bool:
    """Keep a ratio from its day on, None takes it away; False when nothing changes. Raises InputError E-MAP-006 or 007."""
    if key.unit == key.base_unit or not key.unit.strip() or not key.base_unit.strip():
        raise InputError("E-MAP-006", f"ratio {key.unit} {key.base_unit}", "not two units", "give two different units")
    with reported(engine), engine.begin() as connection:
        before = store.ratio_of(connection, vars(key))
        if ratio is None and before is None:
            raise InputError("E-MAP-007", f"ratio {key.code}", "there is none", "see `erpcrm mapping ratio list`")
        if before == ratio:
            return False
        store.set_ratio(connection, vars(key), ratio)
        row = AuditRow("unit_ratio", key.code, "set" if ratio else "remove", _text(before), _text(ratio))
        audited(connection, row, author, clock)
    return True


def _text(ratio: tuple[int, int] | None) -> str | None:
    return None if ratio is None else f"{ratio[0]}/{ratio[1]}"
