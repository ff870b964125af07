"""Both sides of a stream compared: what differs, how it is called, and how many missing records may be taken for deleted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from erpcrm_orchestration.domain.checks import Metadata, Verdict

DELETE_SHARE_PERCENT = 20
DELETE_ALLOWANCE = 5
"""Above both, the number that a person agrees to must be the exact one."""
SAMPLE = 20
SYSTEMS_AGREE = "systems_agree"
DESCRIPTION = "Every system of the dossier holds what we hold, by the last complete comparison."
RECOVERY = "See what differs: erpcrm reconcile DOSSIER; let it be repaired: erpcrm reconcile DOSSIER --repair."


class Kind(StrEnum):
    """What can differ. ONLY_THERE: the system has it and we do not. ONLY_HERE: we have it and it is gone there.

    DIFFERENT: the system holds other values than those that it told us. NOT_TOLD: ours were not written there.
    """

    ONLY_THERE = "only_there"
    ONLY_HERE = "only_here"
    DIFFERENT = "different"
    NOT_TOLD = "not_told"


@dataclass(frozen=True)
class Difference:
    """One record: the system's id, or ours where the system has none, and why it counts as different."""

    kind: Kind
    source_id: str
    reason: str
    record_id: int | None = None


@dataclass(frozen=True)
class Counts:
    """How many records each side holds and how they compare. The hashes are equal when ids and contents are.

    `corrected`: the content differs because a person corrected it here. `ignored`: the mapping takes none of these,
    or another system has deleted them.
    """

    theirs: int = 0
    ours: int = 0
    equal: int = 0
    corrected: int = 0
    ignored: int = 0
    only_there: int = 0
    only_here: int = 0
    different: int = 0
    not_told: int = 0
    their_hash: str = ""
    our_hash: str = ""

    def of(self, kind: Kind) -> int:
        """Return how many records differ in this way."""
        return {
            Kind.ONLY_THERE: self.only_there,
            Kind.ONLY_HERE: self.only_here,
            Kind.DIFFERENT: self.different,
            Kind.NOT_TOLD: self.not_told,
        }[kind]

    @property
    def differences(self) -> int:
        return sum(self.of(kind) for kind in Kind)


@dataclass(frozen=True)
class Compared:
    """A stream as it was compared at an instant. `failure`: why the system could not be read to its end.

    `repaired`: what a repair did with how many records, `refused` why it deleted nothing.
    """

    dossier_code: str
    connection_code: str
    stream: str
    entity: str
    compared_at: datetime
    counts: Counts = Counts()
    samples: tuple[Difference, ...] = ()
    failure: str | None = None
    repaired: Mapping[str, int] = field(default_factory=dict)
    refused: str | None = None

    @property
    def is_complete(self) -> bool:
        return self.failure is None


def delete_refusal(gone: int, ours: int, agreed: int) -> str | None:
    """Return why so many missing records are not deleted, None when a person agreed to it.

    A few may be fewer than agreed. A large share is deleted only when the agreed number is exactly what is missing.
    """
    if gone > agreed:
        return f"{gone} are gone and {agreed} were agreed"
    if gone > DELETE_ALLOWANCE and gone * 100 > ours * DELETE_SHARE_PERCENT and gone != agreed:
        return f"{gone} of {ours} are gone, more than {DELETE_SHARE_PERCENT}%: agree to exactly {gone}"
    return None


def held_there(told: Mapping[str, object], theirs: Mapping[str, object], unjudged: Collection[str]) -> bool:
    """True when a system holds what it would be told; `unjudged` are fields whose values have no common form."""
    return all(name in unjudged or (name in theirs and theirs[name] == value) for name, value in told.items())


def systems_agree(found: Collection[Compared]) -> Verdict:
    """Return the verdict of a dossier: its last comparisons show no difference, and all of them are complete."""
    differing = [one for one in found if one.counts.differences or not one.is_complete]
    metadata: Metadata = {"streams": len(found), "streams_that_differ": len(differing)}
    for kind in Kind:
        metadata[kind.value] = sum(one.counts.of(kind) for one in found)
    for one in differing[:SAMPLE]:
        shown = ", ".join(f"{each.kind} {each.source_id} ({each.reason})" for each in one.samples[:5])
        metadata[f"{one.connection_code} {one.stream}"] = one.failure or shown
    return Verdict(not differing, "WARN", metadata)
