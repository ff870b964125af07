"""The statement of a routine that a company adds: exactly one SELECT, with `:name` for what is bound, as text that can be run.

Its tokens are those of sqlglot, so that nothing in quotes or comments is taken for something else. What it means is asked of
PostgreSQL alone: a parser of ours, or of a library, would refuse some of what it takes. What it writes stands in a WITH before
the SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from erpcrm_orchestration.config.places import Fault, Place, fault
from erpcrm_orchestration.domain.custom_routine import CustomStatement

REFUSED = "E-ORD-040"
WRITERS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
SCOPE = "scope"
OUTCOME = "INSERT INTO routine_outcome (customer_id, outcome, message) "
"""Stands before the SELECT: the rows stay in the database, however many they are."""

_NAME = re.compile(r"[^\W\d]\w*")
_NOT_CLOSED = re.compile(r"Missing (?P<mark>.+) from \d+:(?P<at>\d+)", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """A piece of the text. `depth` is how many brackets are open around it."""

    text: str
    at: int
    depth: int

    @property
    def end(self) -> int:
        return self.at + len(self.text)

    @property
    def is_quoted(self) -> bool:
        return len(self.text) > 1 and self.text[-1] in "'\"$"

    @property
    def word(self) -> str:
        """Return a word as keywords are compared, nothing for what is no word."""
        return self.text.upper() if _NAME.fullmatch(self.text) else ""

    @property
    def parameter(self) -> str:
        """Return the name of what is bound here, nothing for anything else."""
        return self.text[1:] if self.text[0] == ":" and _NAME.fullmatch(self.text, 1) else ""


class _NoTokens(Exception):
    """The text cannot be split: what stands at `at`."""

    def __init__(self, at: int, found: str) -> None:
        self.at, self.found = at, found


def read_statement(text: str, *, name: str) -> tuple[CustomStatement | None, list[Fault]]:
    """Return the statement of a file, or what is wrong with it, told with its lines."""
    try:
        said = list(_tokens(text))
    except _NoTokens as error:
        return None, [fault(REFUSED, place_at(text, name, error.at), (), error.found, "close it")]
    wrong = next(_problems(said), None)
    if wrong is not None:
        at, found, remedy = wrong
        return None, [fault(REFUSED, place_at(text, name, at), (), found, remedy)]
    body = said[: _length(said)]
    main = _main(body)
    pieces, end = [], body[0].at
    for one in body:
        # What stands between tokens is blank or a comment: nothing in it is read again.
        pieces += [" "] * (one.at > end) + [OUTCOME] * (one is main) + [_bindable(one)]
        end = one.end
    uses = frozenset(one.parameter for one in body if one.parameter)
    return CustomStatement(name, "".join(pieces), uses, any(one.word in WRITERS for one in body)), []


def parameter_place(text: str, name: str, parameter: str) -> Place:
    """Return where a parameter is used first."""
    used = (one.at for one in _tokens(text) if one.parameter == parameter)
    return place_at(text, name, next(used, 0))


def place_at(text: str, name: str, at: int) -> Place:
    """Return line and column of a position in the text."""
    return Place(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _tokens(text: str) -> Iterator[Token]:
    """Yield the tokens, a parameter as one; raise _NoTokens for what is not closed."""
    from sqlglot import Dialect  # noqa: PLC0415 - only where a company has routines of its own
    from sqlglot.errors import TokenError  # noqa: PLC0415

    try:
        found = Dialect.get_or_raise("postgres").tokenize(text)
    except TokenError as error:
        raise _not_closed(text, error.__cause__) from error
    depth = taken = 0
    for one in found:
        at, end = max(one.start, taken), one.end + 1
        if at >= end:
            continue
        if text[at:end] == ":" and (name := _NAME.match(text, end)):
            end = name.end()
        depth -= text[at:end] in {")", "]"}
        yield Token(text[at:end], at, depth)
        depth += text[at:end] in {"(", "["}
        taken = end


def _not_closed(text: str, cause: BaseException | None) -> _NoTokens:
    quote = _NOT_CLOSED.search(str(cause))
    if quote is None:
        return _NoTokens(max(text.rfind("/*"), 0), "the comment is not closed")
    return _NoTokens(int(quote["at"]), f"the quote {quote['mark']} is not closed")


def _problems(said: Sequence[Token]) -> Iterator[tuple[int, str, str]]:
    """Yield what makes it no statement of a routine: position, what was found, what to do."""
    if not said:
        yield 0, "no statement", "write one SELECT"
        return
    if said[0].word not in {"SELECT", "WITH"}:
        yield said[0].at, f"it begins with {said[0].text}", "write one statement that begins with SELECT or WITH"
    end = _length(said)
    if end + 1 < len(said):
        yield said[end + 1].at, "a second statement", "write one; what it changes stands in a WITH before the SELECT"
    yield from _problems_of_main(said[:end])


def _length(said: Sequence[Token]) -> int:
    """Return how many tokens stand before the first semicolon."""
    return next((place for place, one in enumerate(said) if one.text == ";"), len(said))


def _problems_of_main(said: Sequence[Token]) -> Iterator[tuple[int, str, str]]:
    main = _main(said)
    if main is None:
        yield said[0].at, "no SELECT outside of brackets", "end with SELECT customer_id, outcome, message"
        return
    if main.word != "SELECT":
        yield main.at, f"it ends with {main.word}", "put that into a WITH, and end with SELECT customer_id, outcome, message"
    for before, one in pairwise(said):
        if one.word == "INTO" and before.word not in {"INSERT", "MERGE"}:
            yield one.at, "SELECT INTO", "a routine makes no table: write into one with INSERT in a WITH"
    if not any(one.text.lower() == SCOPE for one in said):
        yield main.at, "it does not read the table scope", "join it: the accounts of the slice stand there"


def _main(tokens: Sequence[Token]) -> Token | None:
    """Return the keyword of the statement itself, after its WITH."""
    return next((one for one in tokens if one.depth == 0 and one.word in {"SELECT", "VALUES", "TABLE", *WRITERS}), None)


def _bindable(one: Token) -> str:
    """Return a token as SQLAlchemy's text() takes it: a colon that is no parameter is escaped."""
    return re.sub(r"(?<!:):(?=\w)", r"\:", one.text) if one.is_quoted else one.text
