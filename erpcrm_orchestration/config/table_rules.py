"""What is wrong with how the kinds `sql` and `files` are told to read: tables and files are no requests of a web system."""

from __future__ import annotations

from collections.abc import Iterator

from erpcrm_orchestration.config.call_rules import placeholders
from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.domain.connection import Connector, ConnectorEntity, ConnectorKind, Follow
from erpcrm_orchestration.domain.connection import Reading as Reads
from erpcrm_orchestration.domain.errors import did_you_mean, nearest
from erpcrm_orchestration.domain.reading_words import FILE_FORMATS, FILE_WORDS, SHAPES

WRONG_TABLE = "E-CFG-079"
TABLES = frozenset({ConnectorKind.SQL, ConnectorKind.FILES})


def table_faults(reading: Reading, connector: Connector) -> Iterator[Fault]:
    """Yield what is wrong with the entities of a connector that reads tables or files."""
    if connector.kind not in TABLES:
        return
    for one in connector.entities:
        path: Path = ("connectors", connector.connector_code, "entities", one.name)
        yield from _entity_faults(reading, path, connector, one)


def _entity_faults(reading: Reading, path: Path, connector: Connector, one: ConnectorEntity) -> Iterator[Fault]:
    kind = connector.kind.value
    if one.write is not None:
        yield reading.refuse(WRONG_TABLE, (*path, "write"), f"{kind} is never written", "leave write out")
    if one.read is None:
        return
    yield from _shape_faults(reading, (*path, "read"), one.read)
    if connector.kind is ConnectorKind.SQL and one.read.record_segment is not None:
        yield reading.refuse(
            WRONG_TABLE, (*path, "read", "record_segment"), "a part of a key in a database", "read a view that has it whole"
        )
    if connector.kind is ConnectorKind.FILES:
        yield from _file_faults(reading, (*path, "read"), one.read)
        return
    for follow in one.read.follow:
        yield from _follow_faults(reading, (*path, "read", "follow", follow.into), follow)


def _shape_faults(reading: Reading, path: Path, read: Reads) -> Iterator[Fault]:
    shape = read.pages.query.get("shape")
    if shape is None:
        return
    below: Path = (*path, "pages", "query")
    if shape not in SHAPES:
        yield reading.refuse(WRONG_TABLE, (*below, "shape"), f"no shape {shape}", did_you_mean(shape, SHAPES))
    if not read.pages.query.get("table"):
        yield reading.refuse(WRONG_TABLE, below, f"shape {shape} without table", "name the table whose records are read")
    if read.follow:
        yield reading.refuse(WRONG_TABLE, (*path, "follow"), f"follow with shape {shape}", "the rows hold the parts already")


def _file_faults(reading: Reading, path: Path, read: Reads) -> Iterator[Fault]:
    below: Path = (*path, "pages", "query")
    for name, value in read.pages.query.items():
        if name not in FILE_WORDS:
            near = nearest(name, FILE_WORDS)
            remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(FILE_WORDS))}"
            yield reading.refuse(WRONG_TABLE, (*below, name), f"files know no {name}", remedy)
        elif name == "format" and value not in FILE_FORMATS:
            yield reading.refuse(WRONG_TABLE, (*below, name), f"no format {value}", did_you_mean(value, FILE_FORMATS))
    if read.follow:
        yield reading.refuse(
            WRONG_TABLE, (*path, "follow"), "follow in files", "put the parts into the file, or read a database"
        )


def _follow_faults(reading: Reading, path: Path, follow: Follow) -> Iterator[Fault]:
    if follow.link is not None:
        yield reading.refuse(WRONG_TABLE, (*path, "link"), "link in a database", "give call with the other table as its path")
    elif follow.call is not None and not any(name.startswith("parent.") for name in placeholders(dict(follow.call.query))):
        remedy = 'give query: {column: "{parent.column}"}'
        yield reading.refuse(WRONG_TABLE, (*path, "call"), "nothing links its rows to their parent", remedy)
