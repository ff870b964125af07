"""Which places of what is received feed a column of an entity, by the mappings of a dossier's connectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import sqlalchemy as sa

from erpcrm_orchestration.domain.connection import EntityMapping, FieldMap
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.services.connectors import connected

Sources = Mapping[str, tuple[str, ...]]
"""Column -> `<system> <path>`, in the order of the systems; a column that nothing feeds is missing."""


def column_sources(engine: sa.Engine, worked: Collection[tuple[str, str]]) -> dict[tuple[str, str], Sources]:
    """Return (dossier, entity) -> what feeds its columns."""
    with engine.connect() as connection:
        found = connected(connection, {code for code, _ in worked})
    sources: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {key: {} for key in worked}
    for one in found:
        for stream in one.streams:
            key = (one.connection.dossier, stream.map.entity if stream.map else "")
            if stream.map and key in sources:
                for column, paths in fed_columns(stream.map).items():
                    told = tuple(f"{one.connection.system} {path}" for path in paths)
                    sources[key][column] = (*sources[key].get(column, ()), *told)
    return dict(sources)


def fed_columns(mapping: EntityMapping) -> dict[str, tuple[str, ...]]:
    """Return column -> the dotted paths of the record that it is made from; an address from those of all its parts."""
    fields = {one.name: one.column for one in ENTITIES[mapping.entity].fields}
    found = {fields[name]: tuple(_paths(source)) for name, source in mapping.fields.items() if name in fields}
    return {column: paths for column, paths in found.items() if paths}


def _paths(source: FieldMap) -> Iterator[str]:
    if source.fields:
        below = f"{source.path}." if source.path else ""
        yield from (f"{below}{path}" for part in source.fields.values() for path in _paths(part))
    elif source.path:
        yield source.path
