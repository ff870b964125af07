"""Pages from templates: the same frame, the reader's language, and no markup from data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from erpcrm_orchestration.board.dagster import may_see_dagster
from erpcrm_orchestration.board.desk import Reader, language_of
from erpcrm_orchestration.board.guard import csrf_token
from erpcrm_orchestration.check_words import group_of_dataset, state_of_mail
from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access
from erpcrm_orchestration.languages import Language, Translator

FOLDER = Path(str(files("erpcrm_orchestration.board")))
LIVE_HEADER = "x-live"
"""A page asks with it for its living part alone."""


def page(request: Request, template: str, values: Mapping[str, object] | None = None, *, status: int = 200) -> Response:
    """Return a page in the frame, or its living part alone when the page itself asks for it.

    A living part that has not changed is answered with 304.
    """
    reader: Reader | None = getattr(request.state, "reader", None)
    say = reader.say if reader else Translator(language_of(request))
    context = {
        "request": request,
        "reader": reader,
        "say": say,
        "_": say.gettext,
        "languages": list(Language),
        "csrf": csrf_token(reader.visit.token) if reader else "",
        "Access": Access,
        "EVERY_DOSSIER": EVERY_DOSSIER,
        "has_dagster": bool(reader and may_see_dagster(reader)),
        "path": request.url.path,
        **(values or {}),
    }
    found = _environment().get_template(template)
    if request.headers.get(LIVE_HEADER):
        return _living(request, "".join(found.blocks["live"](found.new_context(context))))
    return HTMLResponse(found.render(context), status)


def _living(request: Request, text: str) -> Response:
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return HTMLResponse(text, headers={"etag": tag})


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        # They do not change under a running board.
        auto_reload=False,
    )
    made.globals |= {"asset": asset, "group_of_dataset": group_of_dataset, "state_of_mail": state_of_mail}
    made.filters["iso"] = iso
    return made


def iso(at: datetime) -> str:
    """Return an instant as machines read it on a page."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


@cache
def piece(template: str, name: str) -> Any:  # noqa: ANN401  a macro is called with what it takes, a value is what it is
    """Return a macro or a value of a template that needs nothing of a page."""
    return getattr(_environment().get_template(template).module, name)


@cache
def asset(name: str) -> str:
    """Return the address of a file of the board, which changes with its content, so that browsers may keep it."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"
