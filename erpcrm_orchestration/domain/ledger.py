"""What becomes of due ticks: one is requested, the others are skipped or missed, every one of them is accounted for.

Dagster drops ticks that fall due while its daemon is down; this decides about them by policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from erpcrm_orchestration.domain.configuration import MissedTicks, ProcessState
from erpcrm_orchestration.domain.schedule import Window


class TickState(StrEnum):
    """REQUESTED is open; the others are final."""

    REQUESTED = "REQUESTED"
    RAN = "RAN"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"


@dataclass(frozen=True)
class DueProcess:
    """A process with due ticks; every tick up to `considered_until` has its row already."""

    dossier_code: str
    process_code: str
    state: str
    window: Window
    missed_ticks: str
    missed_max: int
    considered_until: datetime
    has_open_tick: bool = False


@dataclass(frozen=True)
class Tick:
    dossier_code: str
    process_code: str
    due_at: datetime
    state: TickState
    reason: str | None = None


def classify(process: DueProcess, due: Sequence[datetime], *, now: datetime, grace: timedelta) -> list[Tick]:
    """Return one tick for each due instant (ascending).

    A tick older than `grace` was missed while nothing ran; the policy says how many of the latest are made up for.
    Ticks that are made up for together are served by one evaluation, because the state of now is the same for all.
    """
    reason = _not_active(process.state)
    if reason:
        return [_tick(process, at, TickState.SKIPPED, reason) for at in due]
    missed = [at for at in due if now - at > grace]
    fresh = due[len(missed) :]
    requested = set(_made_up(missed, process, has_fresh=bool(fresh)))
    ticks = [
        _tick(process, at, TickState.REQUESTED)
        if at in requested
        else _tick(process, at, TickState.MISSED, "nothing ran when it was due")
        for at in missed
    ]
    for at in fresh:
        if process.has_open_tick:
            ticks.append(_tick(process, at, TickState.SKIPPED, "the previous evaluation is still open"))
        elif at != fresh[-1]:
            ticks.append(_tick(process, at, TickState.SKIPPED, f"served by the tick of {fresh[-1].isoformat()}"))
        else:
            ticks.append(_tick(process, at, TickState.REQUESTED))
    return ticks


def _made_up(missed: Sequence[datetime], process: DueProcess, *, has_fresh: bool) -> Sequence[datetime]:
    match MissedTicks(process.missed_ticks):
        case MissedTicks.NONE:
            return ()
        case MissedTicks.LAST:
            return () if has_fresh else missed[-1:]
        case MissedTicks.ALL:
            return missed[-process.missed_max :]


def _not_active(state: str) -> str | None:
    match ProcessState(state):
        case ProcessState.ACTIVE:
            return None
        case ProcessState.IN_MODIFICATION:
            return "the process is in modification"
        case ProcessState.EXPIRED:
            return "the process is expired"


def _tick(process: DueProcess, at: datetime, state: TickState, reason: str | None = None) -> Tick:
    return Tick(process.dossier_code, process.process_code, at, state, reason)
