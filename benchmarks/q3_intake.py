"""Q3 and Q4: intake of nested orders from HTTP pages, against typed rows in memory that are copied and merged.

Ours: pages, raw inbox, cross-reference, third normal form, logbook, cursor. The floor merges the same rows into the same
tables with the same keys. Q4 is the same intake once more, after one order in a hundred changed.
"""

from __future__ import annotations

import statistics
import urllib.request
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from benchmarks.measure import Ratio, fresh_database, seconds
from benchmarks.order_pages import order, serving
from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.entity import ORDER
from erpcrm_orchestration.domain.mapping import Address, CompiledMapping
from erpcrm_orchestration.services.round import Round, work_round
from erpcrm_orchestration.store import configuration_write as write
from erpcrm_orchestration.store import schema
from erpcrm_orchestration.store.record_merge import RecordMerge, Rows

NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
BATCH = 1_000
TURNS = 3
CONNECTIONS = """
connectors:
  orders:
    kind: rest
    requests_per_s: 1000
    entities:
      customers:
        read: {{mode: snapshot, pages: {{path: /customers}}, records: items, every_s: 86400}}
        map: {{entity: customer, fields: {{email: email}}}}
      products:
        read: {{mode: snapshot, pages: {{path: /products}}, records: items, every_s: 86400}}
        map: {{entity: product, fields: {{sku: sku, name: name}}}}
      orders:
        read:
          mode: cursor
          pages: {{path: /orders, query: {{after: "{{after}}"}}}}
          records: items
          modified: modified_at
          paging: {{kind: next, next_path: next, size: 1000, size_parameter: limit}}
        map:
          entity: order
          fields:
            number: number
            status: status
            currency: currency
            customer: customer_id
            total: total
            tax_total: tax
            customer_note: note
            ordered_at: created_at
            billing_address:
              path: address
              fields:
                {{first_name: first_name, last_name: last_name, line_1: line_1, postcode: postcode, city: city, country: country,
                 email: email}}
          children:
            lines:
              records: lines
              key: id
              fields:
                {{product: product_id, sku: sku, name: name, quantity: quantity, unit_price: price, total: total}}
connections:
  orders_998: {{dossier: "998", system: shop, connector: orders, url: "{url}"}}
"""


def connect(engine: sa.Engine, url: str) -> None:
    """Store dossier 998 and its connection."""
    reading = read_text(CONNECTIONS.format(url=url))
    assert not reading.faults, reading.faults
    with engine.begin() as connection:
        connection.execute(
            sa.insert(schema.dossier).values(
                dossier_code="998", crm_project_code="CRM", activated_at=NOW, created_at=NOW, updated_at=NOW
            )
        )
        write.write_connectors(connection, reading.configuration.connectors, now=NOW)
        write.write_connections(connection, reading.configuration.connections, now=NOW)


def take_in(engine: sa.Engine, clock: FixedClock, expected: int) -> None:
    """Do one round and check what it did."""
    done = work_round(engine, ["998"], Round(clock, {}))["998"]
    assert done.failures == [], done.failures
    assert done.tallies["orders_998", "orders"].transformed == expected, done.tallies


def count(engine: sa.Engine, table: str) -> int:
    """Return the rows of a table."""
    with engine.connect() as connection:
        found: int = connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0  # noqa: S608 - our own words
        return found


def ours(orders: int) -> tuple[float, float]:
    """Return the seconds of the first intake, and of the second after 1 % changed."""
    clock = FixedClock(NOW)
    with fresh_database() as engine, serving(orders) as url:
        connect(engine, url)
        first = seconds(lambda: take_in(engine, clock, orders))
        assert (count(engine, "hub.order_header"), count(engine, "hub.order_line")) == (orders, 3 * orders)
        urllib.request.urlopen(f"{url}/change", data=b"", timeout=10).close()  # noqa: S310 - loopback
        clock.at += timedelta(minutes=2)
        again = seconds(lambda: take_in(engine, clock, orders // 100))
        assert count(engine, "hub.order_header") == orders
    return first, again


def floor(orders: int) -> float:
    """Return the seconds of merging typed rows, customers and products being there."""
    with fresh_database() as engine, serving(0) as url:
        connect(engine, url)
        work_round(engine, ["998"], Round(FixedClock(NOW), {}))
        batches = list(_typed(engine, orders))

        def merge() -> None:
            for batch in batches:
                with engine.begin() as connection:
                    RecordMerge(connection, "998", ORDER, NOW).merge(batch, creates=True)

        taken = seconds(merge)
        assert (count(engine, "hub.order_header"), count(engine, "hub.order_line")) == (orders, 3 * orders)
    return taken


def _typed(engine: sa.Engine, orders: int) -> list[Rows]:
    """Return the rows of all orders, as they would be in memory after mapping, in batches."""
    stream = read_text(CONNECTIONS.format(url="http://127.0.0.1")).configuration.connectors[0].entity("orders")
    assert stream is not None
    assert stream.map is not None
    mapping = CompiledMapping(ORDER, stream.map)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT entity, external_id, record_id FROM hub.cross_reference"))
        ids = {(row.entity, row.external_id): row.record_id for row in found}
    batches = []
    for begin in range(1, orders + 1, BATCH):
        rows = Rows(mapping.fields, mapping.child_fields)
        for number in range(begin, min(begin + BATCH, orders + 1)):
            mapped = mapping.apply(order(number))
            header = []
            for field, value in zip(mapping.fields, mapped.header, strict=True):
                if isinstance(value, Address):
                    rows.addresses[value.address_hash] = value.parts
                header.append(_ours(field.refers_to, value, ids))
            rows.header.append((10_000_000 + number, *header))
            fields = mapping.child_fields["lines"]
            rows.children.setdefault("lines", []).extend(
                (10_000_000 + number, key, at, *(_ours(f.refers_to, v, ids) for f, v in zip(fields, row, strict=True)))
                for key, at, row in mapped.children["lines"]
            )
        batches.append(rows)
    return batches


def _ours(refers_to: str | None, value: object, ids: dict[tuple[str, str], int]) -> object:
    if isinstance(value, Address):
        return value.address_hash
    return ids[refers_to, str(value)] if refers_to else value


def run(*, full: bool) -> list[Ratio]:
    """50,000 orders of three lines when full, 5,000 otherwise."""
    orders = 50_000 if full else 5_000
    typed, pairs = [], []
    for _ in range(TURNS):
        typed.append(floor(orders))
        pairs.append(ours(orders))
    first, again = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = sorted(mine[0] / theirs for mine, theirs in zip(pairs, typed, strict=True))
    spread = ratios[-1] - ratios[0]
    shares = [second / whole for whole, second in pairs]
    work = f"intake of {orders:,} orders x 3 lines from HTTP"
    return [
        Ratio("Q3", f"{work}, against typed rows", first, statistics.median(typed), 1 / 0.45, spread),
        Ratio("Q4", f"{work}, 1 % changed, against the first time", again, first, 0.15, max(shares) - min(shares)),
    ]
