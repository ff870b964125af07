"""The connections of the dossiers, and a session with the system of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from erpcrm_orchestration.clients.files import FilesClient
from erpcrm_orchestration.clients.rest import RestClient
from erpcrm_orchestration.clients.sql_table import SqlClient
from erpcrm_orchestration.clients.tryton import TrytonClient
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorEntity, ConnectorKind
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.mapping import CompiledMapping
from erpcrm_orchestration.domain.received import ConnectorClient
from erpcrm_orchestration.store.configuration import load_connections, load_connectors
from erpcrm_orchestration.store.inbox import StreamKey


@dataclass(frozen=True)
class Connected:
    """A connection with its connector."""

    connection: Connection
    connector: Connector

    @property
    def streams(self) -> tuple[ConnectorEntity, ...]:
        """What is read here: parents before what refers to them."""
        wanted = self.connection.entities
        found = [one for one in self.connector.entities if one.read and (not wanted or one.name in wanted)]
        order = list(ENTITIES)
        return tuple(sorted(found, key=lambda one: order.index(one.map.entity) if one.map else len(order)))

    def key(self, stream: ConnectorEntity) -> StreamKey:
        """Return where the records of a stream are kept; one without mapping is kept under its own name."""
        one = self.connection
        entity = stream.map.entity if stream.map else stream.name
        return StreamKey(one.dossier, one.connection_code, one.system, stream.name, entity)

    def stream_of(self, entity: str) -> ConnectorEntity | None:
        """Return what carries an entity of ours in this system, or None."""
        return next((one for one in self.streams if one.map and one.map.entity == entity), None)

    def open(self, environment: Mapping[str, str]) -> ConnectorClient:
        """Return a session; nothing is asked of the system yet."""
        kind = CLIENTS[self.connector.kind]
        client: ConnectorClient = kind(self.connector, self.connection, environment)
        return client


CLIENTS: Mapping[ConnectorKind, type] = {
    ConnectorKind.REST: RestClient,
    ConnectorKind.WOOCOMMERCE: RestClient,
    ConnectorKind.TRYTON: TrytonClient,
    ConnectorKind.SQL: SqlClient,
    ConnectorKind.FILES: FilesClient,
}


def connected(connection: sa.Connection, dossier_codes: Collection[str] | None = None) -> list[Connected]:
    """Return the active connections of these dossiers, of all when None is given, by their codes."""
    connectors = load_connectors(connection)
    found = load_connections(connection)
    return [
        Connected(one, connectors[one.connector])
        for _, one in sorted(found.items())
        if one.active and (dossier_codes is None or one.dossier in dossier_codes)
    ]


def compiled(stream: ConnectorEntity) -> CompiledMapping | None:
    """Return the mapping of a stream ready for use, None when it has none."""
    if stream.map is None:
        return None
    paths: list[str | None] = []
    if read := stream.read:
        paths += [read.record_id, read.modified, read.deleted, *read.deleted_when]
        paths += [path for one in read.follow for path in (one.into, one.link)]
    return CompiledMapping(ENTITIES[stream.map.entity], stream.map, [path for path in paths if path])
