"""What is wrong with a connection: its address, its part of the day, its options, and what its connector needs of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from erpcrm_orchestration.config.connector_rules import used_credentials
from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.mapping_rules import switches_of
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.config.reference_rules import Known
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorKind
from erpcrm_orchestration.domain.errors import did_you_mean, nearest

URL = "E-CFG-071"
PEAK = "E-CFG-072"
NOTHING_WRITTEN = "E-CFG-073"
SAME_SYSTEM = "E-CFG-074"
OPTION = "E-CFG-075"
NOT_OF_THE_CONNECTOR = "E-CFG-076"
SAME_ENTITY = "E-CFG-081"

OPTIONS: Mapping[ConnectorKind, tuple[frozenset[str], frozenset[str]]] = {
    ConnectorKind.WOOCOMMERCE: (frozenset(), frozenset()),
    ConnectorKind.REST: (frozenset(), frozenset()),
    ConnectorKind.TRYTON: (frozenset({"database"}), frozenset()),
    ConnectorKind.SQL: (frozenset(), frozenset()),
    ConnectorKind.FILES: (frozenset(), frozenset({"folder", "pattern"})),
}
"""Kind -> the options that it needs and those that it may have."""

_WEB = frozenset({ConnectorKind.WOOCOMMERCE, ConnectorKind.REST, ConnectorKind.TRYTON})


def connection_faults(reading: Reading, known: Known) -> Iterator[Fault]:
    """Yield everything that is wrong with the connections; a connector is looked for in the files, then in the database."""
    said = reading.codes("connectors")
    connectors = {one.connector_code: one for one in known.connectors if one.connector_code not in said}
    connectors |= {one.connector_code: one for one in reading.configuration.connectors}
    used = {code: used_credentials(one) for code, one in connectors.items()}
    for connection in reading.configuration.connections:
        path: Path = ("connections", connection.connection_code)
        connector = connectors.get(connection.connector)
        yield from _own_faults(reading, path, connection, connector)
        if connector is not None:
            yield from _option_faults(reading, path, connection, connector)
            yield from _need_faults(reading, path, connection, connector, used[connector.connector_code])
            yield from _same_entity_faults(reading, path, connection, connector)
    yield from _shared_systems(reading, known)


def _same_entity_faults(reading: Reading, path: Path, connection: Connection, connector: Connector) -> Iterator[Fault]:
    """Yield entities of ours that two lists are mapped to: what is received is keyed by our entity and the id in the system."""
    owners: dict[str, str] = {}
    for one in connector.entities:
        if one.map is None or one.read is None or (connection.entities and one.name not in connection.entities):
            continue
        owner = owners.setdefault(one.map.entity, one.name)
        if owner != one.name:
            found = f"{owner} and {one.name} of {connector.connector_code} are both mapped to {one.map.entity}"
            remedy = "choose by entities what a connection reads, each with a system of its own: equal ids would be one record"
            yield reading.refuse(SAME_ENTITY, (*path, "connector"), found, remedy)


def _own_faults(reading: Reading, path: Path, connection: Connection, connector: Connector | None) -> Iterator[Fault]:
    if connection.peak_from == connection.peak_to:
        found = f"peak_from and peak_to are both {connection.peak_from:%H:%M}"
        yield reading.refuse(PEAK, (*path, "peak_to"), found, "give two times: the part of the day in which requests wait")
    yield from _url_faults(reading, path, connection, connector)
    if connector is not None and connection.webhook_secret is not None and connector.webhook_signature_header is None:
        found = f"webhook_secret, and {connector.connector_code} names no header with the signature"
        remedy = "give webhook_signature_header of the connector, or leave the secret out"
        yield reading.refuse(NOT_OF_THE_CONNECTOR, (*path, "webhook_secret"), found, remedy)
    if connector is None or not connection.outbound_enabled:
        return
    if not any(one.write for one in connector.entities if not connection.entities or one.name in connection.entities):
        found = f"outbound_enabled, and nothing of {connector.connector_code} is written"
        remedy = "give write: to an entity of the connector, or say false"
        yield reading.refuse(NOTHING_WRITTEN, (*path, "outbound_enabled"), found, remedy)


def _shared_systems(reading: Reading, known: Known) -> Iterator[Fault]:
    """Yield connections that are the same system of the same dossier: what is received is keyed by it."""
    said = reading.codes("connections")
    owners = {(one.dossier, one.system): one.connection_code for one in known.connections if one.connection_code not in said}
    for one in reading.configuration.connections:
        owner = owners.setdefault((one.dossier, one.system), one.connection_code)
        if owner != one.connection_code:
            path: Path = ("connections", one.connection_code, "system")
            found = f"connection {owner} is {one.system} of dossier {one.dossier} already"
            yield reading.refuse(SAME_SYSTEM, path, found, "name each system of a dossier once, as shop, crm or erp")


def _url_faults(reading: Reading, path: Path, connection: Connection, connector: Connector | None) -> Iterator[Fault]:
    url = connection.url
    if url.casefold().startswith("file:"):
        yield reading.refuse(URL, (*path, "url"), "a file: address", "files are read by a connector of kind files")
    elif url.startswith("${env:"):
        return
    elif connector is not None and connector.kind in _WEB and not url.startswith(("http://", "https://")):
        yield reading.refuse(URL, (*path, "url"), "not an HTTP address", "start it with https:// or ${env:NAME}")
    elif _is_link_local(url):
        remedy = "name the host of the system: link-local addresses hold the secrets of machines"
        yield reading.refuse(URL, (*path, "url"), "a link-local address", remedy)


def _is_link_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address.is_link_local or (mapped is not None and mapped.is_link_local)


def _option_faults(reading: Reading, path: Path, connection: Connection, connector: Connector) -> Iterator[Fault]:
    needed, more = OPTIONS[connector.kind]
    for name in sorted(connection.options.keys() - needed - more):
        near = nearest(name, needed | more)
        known = f"{connector.kind.value} knows {', '.join(sorted(needed | more)) or 'no option'}"
        remedy = f"did you mean {near[0]}?" if near else known
        yield reading.refuse(OPTION, (*path, "options", name), f"{connector.kind.value} has no option {name}", remedy)
    for name in sorted(needed - connection.options.keys()):
        yield reading.refuse(OPTION, path, f"{connector.kind.value} without option {name}", f"give options: {{{name}: ...}}")


def _need_faults(reading: Reading, path: Path, connection: Connection, connector: Connector, used: set[str]) -> Iterator[Fault]:
    names = [one.name for one in connector.entities]
    for position, name in enumerate(connection.entities):
        if name not in names:
            found = f"{connector.connector_code} has no entity {name}"
            yield reading.refuse(NOT_OF_THE_CONNECTOR, (*path, "entities", position), found, did_you_mean(name, names))
    switches = switches_of(connector)
    for position, name in enumerate(connection.switches):
        if name not in switches:
            found = f"{connector.connector_code} has no switch {name}"
            remedy = did_you_mean(name, switches) if switches else "no condition of the connector names one: leave it out"
            yield reading.refuse(NOT_OF_THE_CONNECTOR, (*path, "switches", position), found, remedy)
    for name in sorted(used - connection.credentials.keys()):
        found = f"no credential {name}, which connector {connector.connector_code} uses"
        remedy = f"give credentials: {{{name}: ${{env:NAME}}}}"
        yield reading.refuse(NOT_OF_THE_CONNECTOR, (*path, "credentials"), found, remedy)
