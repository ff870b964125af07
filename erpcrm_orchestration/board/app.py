"""The board as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from erpcrm_orchestration.board import (
    bulk,
    classes,
    configuration,
    conflicts,
    dagster,
    datasets,
    door,
    dossiers,
    logbook,
    oidc,
    operations,
    orders,
    people,
    records,
    refresh,
)
from erpcrm_orchestration.board.desk import Desk, TheDesk
from erpcrm_orchestration.board.faults import ANSWERS, add_handlers
from erpcrm_orchestration.board.guard import Guard, require_token
from erpcrm_orchestration.board.pages import FOLDER, page
from erpcrm_orchestration.board.query import require_single
from erpcrm_orchestration.store.version import require_current

NOUNS = (
    *(door, dossiers, refresh, records, datasets, bulk, conflicts, orders, classes),
    *(logbook, operations, configuration, people),
)
"""Each module has `api` and `pages`: two routers over the same functions."""

DESCRIPTION = "What the board shows and does. Sign in at /sign-in; send the session's token as X-CSRF-Token with every POST."


def board_app(desk: Desk) -> FastAPI:
    """Return the application of one desk."""
    ways = dagster.DagsterProxies(desk.settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with ways.running():
            yield

    app = FastAPI(
        title="erpcrm board",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=lifespan,
    )
    app.state.desk = desk
    app.state.dagster = ways
    app.mount("/static", Kept(directory=FOLDER / "static"), name="static")
    app.include_router(dagster.router)
    for open_router in (door.open_pages, oidc.pages):
        app.include_router(open_router, dependencies=[Depends(require_single)])
    guarded = [Depends(require_single), Depends(require_token)]
    for noun in NOUNS:
        app.include_router(noun.api, dependencies=guarded, responses=ANSWERS)
        app.include_router(noun.pages, dependencies=guarded)
    app.add_api_route("/healthz", health, include_in_schema=False)
    add_handlers(app, _fault_page)
    app.add_middleware(Guard, host=desk.settings.host, is_secure=desk.settings.is_secure)
    return app


def web_server(app: FastAPI, **options: Any) -> uvicorn.Server:  # noqa: ANN401  options of uvicorn
    """Return the web server of the board: it tells nothing of itself and believes no header about who asks."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, ws="wsproto", **options
    )
    return uvicorn.Server(config)


class Kept(StaticFiles):
    """Files whose address changes with their content, so that browsers keep them."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        answer = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer


def health(desk: TheDesk) -> Response:
    """Answer 200 while the database answers and has this program's schema; 503 otherwise by the error handlers."""
    require_current(desk.engine)
    return PlainTextResponse("ok")


def _fault_page(request: Request, status: int, lines: tuple[str, ...]) -> Response:
    if request.headers.get("x-live"):
        return JSONResponse({"errors": list(lines)}, status)
    return page(request, "fault.html", {"status": status, "lines": lines}, status=status)
