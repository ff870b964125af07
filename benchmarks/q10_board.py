"""Q10: the widget page of the board, against the bare framework that answers with the same rows of the same queries."""

from __future__ import annotations

import http.client
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from benchmarks.company import fill
from benchmarks.measure import Ratio, fresh_database
from erpcrm_orchestration.board.app import board_app, web_server
from erpcrm_orchestration.board.desk import Desk
from erpcrm_orchestration.board.dossiers import SPARK_DAYS
from erpcrm_orchestration.board.settings import BoardSettings
from erpcrm_orchestration.cli.deployment import free_port
from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access
from erpcrm_orchestration.domain.clock import FixedClock, SystemClock
from erpcrm_orchestration.services.sign_in import hashed
from erpcrm_orchestration.services.supervision import Refresh, refresh
from erpcrm_orchestration.store import person
from erpcrm_orchestration.store.engine import create_engine
from erpcrm_orchestration.store.widget_page import Wanted, read_page, read_series

DOSSIERS = 1000
CLIENTS = 4
ROUNDS = 5
TOKEN = "benchmark"  # noqa: S105  of a database that is gone afterwards
PATIENCE_S = 60


def run(*, full: bool) -> list[Ratio]:
    """1,000 dossiers with some history; the first page, asked for by four clients at once, each server in a process."""
    requests = 400 if full else 100
    clock = FixedClock(SystemClock().now())
    with fresh_database() as engine:
        fill(engine, dossiers=DOSSIERS, lines=20_000, datasets=5_000, now=clock.now(), days=3)
        codes = [f"D{number:06}" for number in range(1, DOSSIERS + 1)]
        for _ in range(12):
            clock.at += timedelta(minutes=5)
            refresh(engine, codes, Refresh(clock, {}, notify=False))
        person_id = _somebody(engine)
        url = engine.url.render_as_string(hide_password=False)
        with _serving(_bare, url, person_id) as floor, _serving(_board, url, person_id) as ours:
            assert "D000001" in _get(floor)[1]
            assert "D000001" in _get(ours)[1]
            return _compared(ours, floor, requests)


def _compared(ours: int, floor: int, requests: int) -> list[Ratio]:
    taken: dict[int, list[tuple[float, float]]] = {ours: [], floor: []}
    for place in range(ROUNDS + 1):
        for port in (floor, ours):
            found = _load(port, requests)
            if place:
                taken[port].append(found)
    ratios = []
    for part, work in ((0, f"{requests} widget pages of {DOSSIERS:,} dossiers"), (1, "the same, 99th percentile of one")):
        mine, theirs = ([one[part] for one in taken[port]] for port in (ours, floor))
        single = sorted(a / b for a, b in zip(mine, theirs, strict=True))
        ratios.append(Ratio("Q10", work, statistics.median(mine), statistics.median(theirs), 2.0, single[-1] - single[0]))
    return ratios


def _load(port: int, requests: int) -> tuple[float, float]:
    """Return the seconds of so many requests by all clients, and the 99th percentile of one."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        begin = time.perf_counter()
        times = [one for found in pool.map(lambda _: _ask(port, requests // CLIENTS), range(CLIENTS)) for one in found]
        total = time.perf_counter() - begin
    return total, statistics.quantiles(times, n=100)[-1]


def _ask(port: int, requests: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    times = []
    for _ in range(requests):
        begin = time.perf_counter()
        connection.request("GET", "/", headers={"cookie": f"erpcrm={TOKEN}", "accept-language": "fr"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        times.append(time.perf_counter() - begin)
    connection.close()
    return times


def _get(port: int) -> tuple[int, str]:
    limit = time.monotonic() + PATIENCE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/", headers={"cookie": f"erpcrm={TOKEN}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionRefusedError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


@contextmanager
def _serving(serve: object, url: str, person_id: int) -> Iterator[int]:
    port = free_port(0)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(url, port, person_id), daemon=True)  # type: ignore[arg-type]
    process.start()
    try:
        yield port
    finally:
        process.terminate()
        process.join()


def _board(url: str, port: int, _person_id: int) -> None:
    desk = Desk(create_engine(url), SystemClock(), {}, BoardSettings(f"http://127.0.0.1:{port}"))
    web_server(board_app(desk), host="127.0.0.1", port=port).run()


def _bare(url: str, port: int, person_id: int) -> None:
    engine, clock, app = create_engine(url), SystemClock(), FastAPI()

    @app.get("/")
    def rows() -> dict[str, object]:
        with engine.connect() as connection:
            found, total = read_page(connection, person_id, Wanted())
            codes = [one.widget.dossier_code for one in found]
            series = read_series(connection, codes, since=clock.now() - timedelta(days=SPARK_DAYS))
        return {"rows": [asdict(one) for one in found], "total": total, "series": series}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def _somebody(engine: sa.Engine) -> int:
    now = SystemClock().now()
    with engine.begin() as connection:
        number = person.add_person(connection, now=now, login="bench", display_name="bench", language="fr")
        person.set_grants(connection, number, {EVERY_DOSSIER: Access.ADMIN}, by="bench", now=now)
        person.open_session(connection, number, hashed(TOKEN), now=now)
    return number
