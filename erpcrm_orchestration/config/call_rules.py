"""What is wrong with the requests of a connector: their placeholders, paths, bodies, and how they go from page to page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.mapping_rules import path_faults
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.domain.connection import Call, Connector, ConnectorKind, Paging, PagingKind
from erpcrm_orchestration.domain.errors import nearest

PAGING = "E-CFG-065"
PLACEHOLDER = "E-CFG-066"
WRONG_CALL = "E-CFG-068"
ADDRESS = "E-CFG-071"

HTTP = frozenset({ConnectorKind.REST, ConnectorKind.WOOCOMMERCE})
"""Kinds whose requests are written out here; the other kinds make their own from what a reading says."""

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)(?::(?:int|text))?\}")


@dataclass(frozen=True)
class Names:
    """What a text may hold in braces: whole names, and first parts of dotted ones as `parent`."""

    whole: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """True when the name, or its first part, is known here."""
        return name in self.whole or ("." in name and name.partition(".")[0] in self.first)


LIST = Names(frozenset({"after", "after_naive", "until", "until_naive", "size"}))
ONE = Names(frozenset({"id"}))
AFTER = frozenset({"after", "after_naive"})
UNTIL = frozenset({"until", "until_naive"})
FOLLOW = Names(frozenset({"id", "size"}), frozenset({"parent"}))


def placeholders(content: object) -> Iterator[str]:
    """Yield every name in braces of a text, or of the texts of a mapping or list."""
    if isinstance(content, str):
        yield from _NAME.findall(content)
    elif isinstance(content, dict):
        for one in content.values():
            yield from placeholders(one)
    elif isinstance(content, list | tuple):
        for one in content:
            yield from placeholders(one)


def names_of(call: Call) -> set[str]:
    """Return every name in braces of a request; the text of a GraphQL query has none, its braces are its own."""
    return {name for _, part in _parts(call) for name in placeholders(part)}


def _parts(call: Call) -> tuple[tuple[str, object], ...]:
    return (
        ("path", call.path),
        ("query", dict(call.query)),
        ("headers", dict(call.headers)),
        ("body", call.body),
        ("variables", dict(call.variables)),
    )


@dataclass(frozen=True)
class CallRules:
    """The rules for the requests of one connector; `credentials` are the names that its connections give."""

    reading: Reading
    connector: Connector
    credentials: frozenset[str]

    def call(self, path: Path, call: Call | None, names: Names) -> Iterator[Fault]:
        """Yield what is wrong with a request that may hold these names."""
        if call is None:
            return
        for part, content in _parts(call):
            yield from self.unknown_names((*path, part), placeholders(content), names)
        if call.graphql is not None and call.body is not None:
            yield self.reading.refuse(WRONG_CALL, path, "both graphql and body", "give exactly one of both")
        if call.variables and call.graphql is None:
            yield self.reading.refuse(WRONG_CALL, (*path, "variables"), "variables without graphql", "give graphql or body")
        if self.connector.kind in HTTP:
            yield from self._http(path, call)

    def unknown_names(self, path: Path, found: Iterable[str], names: Names) -> Iterator[Fault]:
        """Yield names that are none here; one that resembles nothing is taken for a credential of the connection."""
        for name in found:
            if names.has(name) or name in self.credentials:
                continue
            near = nearest(name, names.whole | names.first)
            if "." in name or near:
                known = sorted({*(f"{{{one}}}" for one in names.whole), *(f"{{{one}.<path>}}" for one in names.first)})
                remedy = f"did you mean {{{near[0]}}}?" if near else f"known: {', '.join(known) or 'credentials only'}"
                yield self.reading.refuse(PLACEHOLDER, path, f"nothing is called {{{name}}} here", remedy)

    def paging(self, path: Path, paging: Paging, call: Call | None) -> Iterator[Fault]:
        """Yield what a way of paging needs and does not have."""
        if paging.size > self.connector.max_records_per_page:
            found = f"size {paging.size} is more than max_records_per_page {self.connector.max_records_per_page}"
            yield self.reading.refuse(PAGING, (*path, "size"), found, "ask for fewer, or accept more")
        for name in ("next_path", "more_path"):
            yield from path_faults(self.reading, (*path, name), getattr(paging, name))
        if self.connector.kind in HTTP:
            for name in _needs(paging, call):
                found = f"paging {paging.kind.value} without {name}"
                yield self.reading.refuse(PAGING, path, found, f"give {name}")

    def _http(self, path: Path, call: Call) -> Iterator[Fault]:
        if "://" in call.path or call.path.startswith("//"):
            found = "an address where a path belongs"
            remedy = "write the path below the url of the connection: credentials go nowhere else"
            yield self.reading.refuse(ADDRESS, (*path, "path"), found, remedy)
        if call.method == "GET" and call.body is not None:
            yield self.reading.refuse(WRONG_CALL, (*path, "body"), "a body with GET", "say method: POST, PUT or PATCH")


def _needs(paging: Paging, call: Call | None) -> list[str]:
    """Return the names of what is missing."""
    needed = {
        PagingKind.NEXT: ("next_path",),
        PagingKind.TOKEN: ("parameter", "next_path"),
        PagingKind.PAGE: ("parameter",),
        PagingKind.OFFSET: ("parameter",),
        PagingKind.KEYSET: ("parameter",),
    }.get(paging.kind, ())
    missing = [name for name in needed if not getattr(paging, name) and getattr(paging, name) != ""]
    if paging.kind is PagingKind.KEYSET and call is not None and AFTER & names_of(call):
        missing = []
    return missing
