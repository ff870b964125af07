"""The statement of a routine that a company adds: exactly one SELECT, with `:name` for what is bound, as text that can be run.

Read by its tokens, as PostgreSQL splits them, so that nothing in quotes or comments is taken for something else. What it writes
stands in a WITH before the SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from erpcrm_orchestration.config.places import Fault, Place, fault
from erpcrm_orchestration.domain.custom_routine import CustomStatement

REFUSED = "E-ORD-040"
WRITERS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
SCOPE = "scope"
OUTCOME = "INSERT INTO routine_outcome (customer_id, outcome, message) "
"""Stands before the SELECT: the rows stay in the database, however many they are."""

_TOKEN = re.compile(
    r"""
    (?P<space> \s+ | --[^\n]* )
    | (?P<comment> /\* )
    | (?P<quoted> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ )
    | (?P<parameter> (?<!:):[^\W\d]\w* )
    | (?P<word> [^\W\d][\w$]* | \d[\w.]* )
    | (?P<other> :: | . )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A piece of the text. `depth` is how many brackets are open around it."""

    kind: str
    text: str
    at: int
    depth: int

    @property
    def word(self) -> str:
        """Return a word as keywords are compared, nothing for what is no word."""
        return self.text.upper() if self.kind == "word" else ""


def read_statement(text: str, *, name: str) -> tuple[CustomStatement | None, list[Fault]]:
    """Return the statement of a file, or what is wrong with it, told with its lines."""
    tokens = list(_tokens(text))
    wrong = next(_problems(tokens), None)
    if wrong is not None:
        at, found, remedy = wrong
        return None, [fault(REFUSED, place_at(text, name, at), (), found, remedy)]
    body = list(takewhile(lambda one: one.text != ";", tokens))
    main = _main(body)
    pieces = [piece for one in body for piece in ((OUTCOME,) if one is main else ()) + (_bindable(one),)]
    uses = frozenset(one.text[1:] for one in body if one.kind == "parameter")
    return CustomStatement(name, "".join(pieces).strip(), uses, any(one.word in WRITERS for one in body)), []


def parameter_place(text: str, name: str, parameter: str) -> Place:
    """Return where a parameter is used first."""
    used = (one.at for one in _tokens(text) if one.kind == "parameter" and one.text[1:] == parameter)
    return place_at(text, name, next(used, 0))


def place_at(text: str, name: str, at: int) -> Place:
    """Return line and column of a position in the text."""
    return Place(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _tokens(text: str) -> Iterator[Token]:
    at = depth = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise AssertionError("every character is a token")
        kind, end = str(found.lastgroup if found.lastgroup != "tag" else "quoted"), found.end()
        if kind == "comment":
            kind, end = "space", _end_of_comment(text, at)
        depth -= text[at] in ")]"
        # What stands for a comment is a blank: nothing in it is read again.
        yield Token(kind, " " if kind == "space" else text[at:end], at, depth)
        depth += text[at] in "(["
        at = end


def _end_of_comment(text: str, at: int) -> int:
    """Return the end of a comment, in which others may be nested; one that is not closed goes to the end."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return at + mark.end()
    return len(text)


def _problems(tokens: Sequence[Token]) -> Iterator[tuple[int, str, str]]:
    """Yield what makes it no statement of a routine: position, what was found, what to do."""
    said = [one for one in tokens if one.kind != "space"]
    if not said:
        yield 0, "no statement", "write one SELECT"
        return
    for one in said:
        if one.kind == "other" and one.text in "'\"":
            yield one.at, f"the quote {one.text} is not closed", "close it"
    if said[0].word not in {"SELECT", "WITH"}:
        yield said[0].at, f"it begins with {said[0].text}", "write one statement that begins with SELECT or WITH"
    end = next((place for place, one in enumerate(said) if one.text == ";"), len(said))
    if end + 1 < len(said):
        yield said[end + 1].at, "a second statement", "write one; what it changes stands in a WITH before the SELECT"
    yield from _problems_of_main(said[:end])


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
    if not any(one.kind == "word" and one.text.lower() == SCOPE for one in said):
        yield main.at, "it does not read the table scope", "join it: the accounts of the slice stand there"


def _main(tokens: Sequence[Token]) -> Token | None:
    """Return the keyword of the statement itself, after its WITH."""
    return next((one for one in tokens if one.depth == 0 and one.word in {"SELECT", "VALUES", "TABLE", *WRITERS}), None)


def _bindable(one: Token) -> str:
    """Return a token as SQLAlchemy's text() takes it: a colon that is no parameter is escaped."""
    return re.sub(r"(?<!:):(?=\w)", r"\:", one.text) if one.kind == "quoted" else one.text
