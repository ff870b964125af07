"""What every connector of kind tryton brings, against a real Tryton: everything it reads can be mapped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from erpcrm_orchestration.clients.tryton import TrytonClient
from erpcrm_orchestration.config.connection_models import ConnectorPart
from erpcrm_orchestration.config.presets import preset
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorEntity, ConnectorKind
from erpcrm_orchestration.domain.entity import ENTITIES
from erpcrm_orchestration.domain.mapping import CompiledMapping, MappedRecord
from erpcrm_orchestration.domain.received import Change, Span
from erpcrm_orchestration.domain.strict_json import loads
from tests.real.systems.tryton import TrytonErp


@pytest.fixture
def connector() -> Connector:
    """The connector that says nothing but its kind."""
    return ConnectorPart.model_validate(preset(ConnectorKind.TRYTON)).to_value(connector_code="tryton")


@pytest.fixture
def client(tryton_erp: TrytonErp, connector: Connector) -> Iterator[TrytonClient]:
    credentials = {"user": tryton_erp.user, "password": tryton_erp.password}
    options = {"database": tryton_erp.database}
    connection = Connection("erp998", "998", "erp", "tryton", tryton_erp.url, credentials, options=options)
    with TrytonClient(connector, connection, {}) as made:
        yield made


def _mapped(client: TrytonClient, entity: ConnectorEntity) -> dict[str, MappedRecord]:
    assert entity.map is not None
    mapping = CompiledMapping(ENTITIES[entity.map.entity], entity.map)
    records = [record for page in client.pages(entity, Span()) for record in page.records]
    contents = {record.source_id: loads(record.payload) for record in records}
    return {number: mapping.apply(content) for number, content in contents.items() if isinstance(content, dict)}


@pytest.mark.parametrize("name", ["parties", "products", "sales"])
def test_what_the_preset_reads_can_be_mapped(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp, name: str
) -> None:
    tryton_erp.place_sale("PRESET")
    entity = connector.entity(name)
    assert entity is not None
    assert _mapped(client, entity)


def test_a_customer_of_ours_is_created_by_the_preset_and_found_again(
    client: TrytonClient, connector: Connector, tryton_erp: TrytonErp
) -> None:
    entity = connector.entity("parties")
    assert entity is not None
    values = {
        "first_name": "Anne",
        "last_name": "Durand",
        "email": "anne.durand@example.com",
        "billing_address": {"line_1": "1 rue des Alpes", "postcode": "69001", "city": "Lyon"},
    }
    written = client.write(Change(entity, None, values, "key"))
    again = client.write(Change(entity, None, values, "key", doubtful=True))
    assert (again.external_id, again.found) == (written.external_id, True)
    client.write(Change(entity, written.external_id, {"first_name": "Anna", "last_name": "Durand"}, "key-2"))
    number = int(written.external_id or 0)
    party = tryton_erp.read("party.party", number, "name", "email", "addresses.city")
    assert (party["name"], party["email"], party["addresses."][0]["city"]) == ("Anna Durand", "anne.durand@example.com", "Lyon")
