"""Q5: the same nested orders into the same PostgreSQL by dlt with merge disposition, the nearest library that does this work.

Both sides read the same pages over HTTP. dlt makes a table of orders and one of their lines; ours keeps the raw records too,
resolves references, and writes logbook and cursor. Needs the extra `bench`.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import requests
import sqlalchemy as sa

from benchmarks.measure import Ratio, fresh_database, seconds
from benchmarks.order_pages import PAGE, serving
from benchmarks.q3_intake import count, floor, ours

TURNS = 3


def peer(orders: int) -> float:
    """Return the seconds that dlt takes from the first page to the committed rows; importing it is not counted."""
    with fresh_database() as engine, serving(orders) as url, TemporaryDirectory(prefix="erpcrm-bench-dlt-") as folder:
        pipeline = _pipeline(engine.url, folder)
        taken = seconds(lambda: pipeline.run(_resource(url)).raise_on_failed_jobs())
        assert (count(engine, "peer.orders"), count(engine, "peer.orders__lines")) == (orders, 3 * orders)
    return taken


def _pipeline(url: sa.URL, folder: str) -> Any:  # noqa: ANN401 - the library is not always there
    os.environ.update({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"})
    import dlt  # noqa: PLC0415 - only where the extra is installed

    # The host in the query wins: dlt wants one in its place, and the server listens on a Unix socket alone.
    place = f"postgresql://{url.username}:unused@localhost:{url.query['port']}/{url.database}?host={url.query['host']}"
    destination = dlt.destinations.postgres(credentials=place)
    return dlt.pipeline("peer", pipelines_dir=folder, destination=destination, dataset_name="peer")


def _resource(url: str) -> Any:  # noqa: ANN401 - the library is not always there
    import dlt  # noqa: PLC0415 - only where the extra is installed

    @dlt.resource(name="orders", primary_key="id", write_disposition="merge")
    def orders() -> Iterator[list[dict[str, Any]]]:
        link: str | None = f"/orders?limit={PAGE}"
        with requests.Session() as session:
            while link:
                page = session.get(f"{url}{link}", timeout=30).json()
                yield page["items"]
                link = page["next"]

    return orders()


def run(*, full: bool) -> list[Ratio]:
    """20,000 orders of three lines when full, 2,000 otherwise."""
    orders = 20_000 if full else 2_000
    mine, theirs, typed = [], [], []
    for _ in range(TURNS):
        theirs.append(peer(orders))
        mine.append(ours(orders)[0])
        typed.append(floor(orders))
    work = f"intake of {orders:,} orders x 3 lines from HTTP, against dlt (merge)"
    return [
        _against_dlt(work, mine, theirs),
        _against_dlt("typed rows in memory, the floor of Q3, against the same", typed, theirs),
    ]


def _against_dlt(work: str, ours_s: list[float], theirs_s: list[float]) -> Ratio:
    ratios = sorted(a / b for a, b in zip(ours_s, theirs_s, strict=True))
    return Ratio("Q5", work, statistics.median(ours_s), statistics.median(theirs_s), 1 / 8, ratios[-1] - ratios[0])
