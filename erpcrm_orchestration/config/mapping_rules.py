"""What is wrong with how a connector's records become ours: checked against the entities of the domain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.places import Fault, Path, shown
from erpcrm_orchestration.domain.connection import ChildMap, Condition, Connector, EntityMapping, FieldMap
from erpcrm_orchestration.domain.entity import ADDRESS_FIELDS, ENTITIES, Entity, Field, Kind
from erpcrm_orchestration.domain.errors import did_you_mean

NOT_OURS = "E-CFG-060"
NOT_MAPPED = "E-CFG-061"
ADDRESS = "E-CFG-062"
NOBODY_FILLS = "E-CFG-063"
WRONG_PATH = "E-CFG-067"
WRONG_FIELD = "E-CFG-070"
WRONG_CONDITION = "E-CFG-080"
WRONG_MATCH = "E-CFG-082"

_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


def mapping_faults(reading: Reading, path: Path, mapping: EntityMapping) -> Iterator[Fault]:
    """Yield what is wrong with one mapping; `path` is the way to it."""
    entity = ENTITIES.get(mapping.entity)
    if entity is None:
        remedy = did_you_mean(mapping.entity, ENTITIES)
        yield reading.refuse(NOT_OURS, (*path, "entity"), f"no entity {mapping.entity}", remedy)
        return
    yield from _fields_faults(reading, (*path, "fields"), mapping.fields, entity.fields, entity.name)
    for child in mapping.children:
        yield from _child_faults(reading, (*path, "children", child.child), child, entity)
    for position, name in enumerate(mapping.match):
        if name not in mapping.fields:
            found = f"field {name} is not mapped"
            yield reading.refuse(NOT_OURS, (*path, "match", position), found, did_you_mean(name, mapping.fields))
    if mapping.match and not mapping.creates:
        found = "match where no record is created: who comes first would decide whether it is ever linked"
        yield reading.refuse(WRONG_MATCH, (*path, "match"), found, "leave match out, or let the records be created")
    for position, wanted in enumerate(mapping.required):
        yield from path_faults(reading, (*path, "required", position), wanted)
    for place, condition in mapping.where.items():
        yield from _condition_faults(reading, (*path, "where", place), place, condition)


def switches_of(connector: Connector) -> set[str]:
    """Return the names of the switches that the conditions of a connector ask for."""
    conditions = [one for stream in connector.entities if stream.map for one in stream.map.where.values()]
    return {name for one in conditions for name in (one.switch, one.unless) if name is not None}


def _condition_faults(reading: Reading, path: Path, place: str, condition: Condition) -> Iterator[Fault]:
    yield from path_faults(reading, path, place)
    said = [name for name in ("present", "one_of", "none_of") if getattr(condition, name) not in (None, ())]
    if len(said) != 1:
        found = f"{' and '.join(said)} together" if said else "nothing that has to hold"
        yield reading.refuse(WRONG_CONDITION, path, found, "give exactly one of present, one_of and none_of")
    if condition.switch is not None and condition.unless is not None:
        found = "both switch and unless"
        yield reading.refuse(WRONG_CONDITION, path, found, "say where it counts by one of both")


def unfilled_references(reading: Reading, connector: Connector) -> Iterator[Fault]:
    """Yield fields that refer to an entity which no mapping of the connector fills: nothing is ever found for them."""
    filled = {one.map.entity for one in connector.entities if one.map is not None}
    for one in connector.entities:
        entity = ENTITIES.get(one.map.entity) if one.map else None
        if one.map is None or entity is None:
            continue
        path: Path = ("connectors", connector.connector_code, "entities", one.name, "map")
        rows = [((*path, "fields"), entity.fields, one.map.fields)]
        for child in one.map.children:
            known = entity.child(child.child)
            rows.append(((*path, "children", child.child, "fields"), known.fields if known else (), child.fields))
        for below, fields, mapped in rows:
            for field in fields:
                if field.name in mapped and field.refers_to and field.refers_to not in filled:
                    found = f"refers to {field.refers_to}, which no entity of {connector.connector_code} is mapped to"
                    remedy = f"map one to {field.refers_to}, or leave {field.name} out: a record that names one waits for it"
                    yield reading.refuse(NOBODY_FILLS, (*below, field.name), found, remedy)


def path_faults(reading: Reading, path: Path, written: str | None, *, may_be_empty: bool = False) -> Iterator[Fault]:
    """Yield E-CFG-067 for a way into a record that is empty or has an empty step."""
    if written is None or (may_be_empty and written == ""):
        return
    if not all(step.strip() == step and step for step in written.split(".")):
        found = "the path is empty" if not written.strip() else f"{shown(written)} has an empty step"
        yield reading.refuse(WRONG_PATH, path, found, "write names with a dot between them, as billing.city")


def _fields_faults(
    reading: Reading, path: Path, mapped: Mapping[str, FieldMap], fields: Iterable[Field], owner: str
) -> Iterator[Fault]:
    known = {one.name: one for one in fields}
    for name, source in mapped.items():
        if name in known:
            yield from _field_faults(reading, (*path, name), source, known[name])
        else:
            yield reading.refuse(NOT_OURS, (*path, name), f"{owner} has no field {name}", did_you_mean(name, known))
    for one in known.values():
        if one.required and one.name not in mapped:
            found = f"{owner} needs {one.name}, which is not mapped"
            yield reading.refuse(NOT_MAPPED, path, found, f"say where {one.name} stands, as {one.name}: <path>")


def _child_faults(reading: Reading, path: Path, child: ChildMap, entity: Entity) -> Iterator[Fault]:
    known = entity.child(child.child)
    yield from path_faults(reading, (*path, "records"), child.records)
    yield from path_faults(reading, (*path, "key"), child.key)
    if known is None:
        remedy = did_you_mean(child.child, [one.name for one in entity.children])
        yield reading.refuse(NOT_OURS, path, f"{entity.name} has no rows {child.child}", remedy)
        return
    yield from _fields_faults(reading, (*path, "fields"), child.fields, known.fields, f"{entity.name}.{known.name}")


def _field_faults(reading: Reading, path: Path, source: FieldMap, target: Field) -> Iterator[Fault]:
    if target.kind is Kind.ADDRESS:
        yield from _address_faults(reading, path, source)
        return
    if source.fields:
        yield reading.refuse(ADDRESS, (*path, "fields"), f"{target.name} is no address", "give its path alone")
    if (source.path is None) == (source.constant is None):
        found = "neither path nor constant" if source.path is None else "both path and constant"
        yield reading.refuse(WRONG_FIELD, path, found, "give exactly one of both")
    said = (*path, "path")
    yield from path_faults(reading, said if said in reading.document.values else path, source.path)
    if source.factor is not None and not _DECIMAL.fullmatch(source.factor):
        found = f"{shown(source.factor)} is no decimal"
        yield reading.refuse(WRONG_FIELD, (*path, "factor"), found, 'write digits and a point in quotes, as "0.01"')
    elif source.factor is not None and target.kind not in (Kind.DECIMAL, Kind.INTEGER):
        found = f"a factor for {target.name}, which is {target.kind.value}"
        yield reading.refuse(WRONG_FIELD, (*path, "factor"), found, "only numbers have a factor")
    if source.otherwise is not None and not source.values:
        found = "otherwise without values"
        yield reading.refuse(WRONG_FIELD, (*path, "otherwise"), found, "give values, or leave otherwise out")


def _address_faults(reading: Reading, path: Path, source: FieldMap) -> Iterator[Fault]:
    if not source.fields:
        remedy = f"give fields: with some of {', '.join(ADDRESS_FIELDS)}"
        yield reading.refuse(ADDRESS, path, "an address without parts", remedy)
    yield from path_faults(reading, (*path, "path"), source.path)
    for name, part in source.fields.items():
        if name in ADDRESS_FIELDS:
            yield from _field_faults(reading, (*path, "fields", name), part, Field(name))
        else:
            remedy = did_you_mean(name, ADDRESS_FIELDS)
            yield reading.refuse(ADDRESS, (*path, "fields", name), f"an address has no part {name}", remedy)
