"""Every error that a person may read, as a small tree.

ErpcrmError             one line: `E-AREA-nnn where: what was found; what to do`, never a secret
|- InputError           what a person or a file said is refused            exit code 2
|- SourceError          a system outside does not answer as it should      exit code 3
|  |- TransientFailure  worth another attempt: timeout, 5xx, connection lost
|  `- PermanentFailure  will fail again until somebody changes something
|     `- CredentialsRefused  the connection stops: 401, 403
|- StoreError           our own database                                   exit code 4
|  `- FenceError        somebody else holds the lease now: nothing was written
`- Findings             several of the above, reported together
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import ClassVar, Self


class ErpcrmError(Exception):
    """An error with a stable code, the place, what was found and what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, where: str, found: str, remedy: str) -> None:
        self.code = code
        self.where = where
        self.found = found
        self.remedy = remedy
        super().__init__(one_line(f"{code} {where}: {found}; {remedy}"))


class InputError(ErpcrmError):
    """What a person typed or a file says is refused."""

    exit_code = 2


class SourceError(ErpcrmError):
    """A system outside does not answer as it should.

    `is_refusal`: it is the system's answer to a change, which was therefore not carried out, and will not be.
    """

    exit_code = 3
    is_refusal = False

    def as_refusal(self) -> Self:
        """Return it as the answer to a change, unless another attempt may meet another answer."""
        self.is_refusal = not isinstance(self, TransientFailure | CredentialsRefused)
        return self


class TransientFailure(SourceError):
    """Worth another attempt. `retry_after_s` is when the other side wishes it, None when it says nothing."""

    def __init__(self, code: str, where: str, found: str, remedy: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(code, where, found, remedy)
        self.retry_after_s = retry_after_s


class PermanentFailure(SourceError):
    """Fails again until somebody changes something."""


class CredentialsRefused(PermanentFailure):
    """The other side does not let us in: everything with it stops until somebody changes the credentials."""


class StoreError(ErpcrmError):
    """Our own database refuses or cannot be reached."""

    exit_code = 4


class FenceError(StoreError):
    """Another writer holds the lease of this dossier and work: nothing was written."""


class Findings(ErpcrmError):
    """All errors of one check, in the order of their places."""

    def __init__(self, errors: Sequence[ErpcrmError]) -> None:
        if not errors:
            raise ValueError("Findings needs at least one error")
        self.errors = tuple(errors)
        first = errors[0]
        super().__init__(first.code, first.where, first.found, first.remedy)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(str(error) for error in self.errors)


def one_line(text: str) -> str:
    """Return the text without control characters, so that no value can forge a second line."""
    return "".join(" " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} else char for char in text)


def nearest(word: str, known: Iterable[str], *, count: int = 1) -> tuple[str, ...]:
    """Return the known names most like the word, best first; empty when none is close."""
    return tuple(get_close_matches(word, list(known), n=count, cutoff=0.6))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` for the nearest known name, or the list of what is known."""
    names = sorted(known)
    close = nearest(word, names)
    if close:
        return f"did you mean {close[0]}?"
    return "known: " + ", ".join(names) if names else "nothing is known yet"
