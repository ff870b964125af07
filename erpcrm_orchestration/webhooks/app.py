"""The address that systems send their webhooks to: POST /webhooks/{connection_code}, as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import anyio.to_thread
import sqlalchemy as sa
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.services.webhook import LARGEST_BYTES, Answer, Delivery, DeliveryRefused, accept, too_large

AT_ONCE = 10
"""Deliveries that are stored at the same time: no more than the engine has connections."""
BODY_PATIENCE_S = 30


def webhook_app(engine: sa.Engine, environment: Mapping[str, str], clock: Clock) -> Starlette:
    """Return the application; every answer is JSON with one line, 200 only after the record is stored."""
    return Starlette(routes=[Route("/webhooks/{connection_code}", Receiver(engine, environment, clock).post, methods=["POST"])])


class Receiver:
    """Takes deliveries, each in a thread of its own."""

    def __init__(self, engine: sa.Engine, environment: Mapping[str, str], clock: Clock) -> None:
        self._engine, self._environment, self._clock = engine, environment, clock
        self._limiter: CapacityLimiter | None = None

    async def post(self, request: Request) -> Response:
        """Answer one delivery."""
        code = str(request.path_params["connection_code"])
        try:
            async with asyncio.timeout(BODY_PATIENCE_S):
                body = await _body(request, code)
        except DeliveryRefused as refused:
            return _response(Answer(refused.status, str(refused)))
        except TimeoutError:
            return _response(Answer(408, "E-HOOK-005 webhooks: the body did not come; send it at once"))
        except ClientDisconnect:
            return _response(Answer(400, "E-HOOK-005 webhooks: the body ended early; send it again"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        delivery = Delivery(code, headers, body)
        self._limiter = self._limiter or CapacityLimiter(AT_ONCE)
        answer = await anyio.to_thread.run_sync(
            accept, self._engine, delivery, self._environment, self._clock, limiter=self._limiter
        )
        return _response(answer)


async def _body(request: Request, code: str) -> bytes:
    """Return the body; raise DeliveryRefused 413 as soon as it is over the limit, announced or counted."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > LARGEST_BYTES:
        raise too_large(code)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BYTES:
            raise too_large(code)
    return bytes(body)


def _response(answer: Answer) -> JSONResponse:
    return JSONResponse({"status" if answer.status == 200 else "error": answer.line}, answer.status)
