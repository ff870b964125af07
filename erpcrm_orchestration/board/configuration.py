"""Settings: the configuration entry by entry, with the validation of the files; every change is an audit row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import Administrator, Anybody, Reader, authorize
from erpcrm_orchestration.board.export import note_export
from erpcrm_orchestration.board.faults import Denied, Refused
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.config.export import to_yaml
from erpcrm_orchestration.config.form import FormField, form_fields, read_form
from erpcrm_orchestration.config.kinds import CODE, DOSSIER_CODE
from erpcrm_orchestration.config.plain import CODES, entries, plain
from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access
from erpcrm_orchestration.domain.configuration import Configuration, Dossier
from erpcrm_orchestration.domain.errors import ErpcrmError, Findings, InputError
from erpcrm_orchestration.services import configuration as service
from erpcrm_orchestration.services.mail_preview import Preview, preview
from erpcrm_orchestration.store.dossier import load_dossier, load_dossiers
from erpcrm_orchestration.store.widget_page import codes_granted

NEW = "new"
INSTALLATION_FIELDS = ("source", "hub_folder", "mobility")
"""Fields of a dossier that reach beyond it: paths and addresses of the machine, for administrators of the installation."""

api = APIRouter(prefix="/api/v1", tags=["settings"])
pages = APIRouter(include_in_schema=False)


class Changed(BaseModel):
    """What a change of the settings did: `add`, `change`, `remove` and the code, and warnings."""

    changes: list[str]
    warnings: list[str]


class PreviewWish(BaseModel):
    """A template as it is being written, and the dossier whose stored state fills it."""

    dossier: str = Field(min_length=1, max_length=16)
    subject: str = Field("", max_length=2_000)
    text: str = Field("", max_length=100_000)
    html: str | None = Field(None, max_length=100_000)


class PreviewAnswer(BaseModel):
    """The template filled; `faults` say what cannot be."""

    subject: str | None
    text: str | None
    html: str | None
    faults: list[str]


def sections(reader: Reader) -> dict[str, dict[str, Any]]:
    """Return section -> code -> entry, as far as the reader administers it."""
    with reader.desk.engine.connect() as connection:
        if not reader.person.may(Access.ADMIN, EVERY_DOSSIER):
            own = codes_granted(connection, reader.person.person_id, Access.ADMIN)
            return {"dossiers": dict(load_dossiers(connection, own))}
        current = service.current_configuration(connection)
    return {section: entries(current, section) for section in CODES}


def find(reader: Reader, section: str, code: str) -> Any:  # noqa: ANN401  an entry of any section
    """Return an entry; raise Denied when there is none or it is not the reader's to configure."""
    require(reader, section, code)
    with reader.desk.engine.connect() as connection:
        if section == "dossiers":
            found: Any = load_dossier(connection, code)
        else:
            found = entries(service.current_configuration(connection), section).get(code)
    if found is None:
        raise Denied
    return found


def require(reader: Reader, section: str, code: str) -> None:
    """Raise Denied unless the reader may configure this entry."""
    if section not in CODES:
        raise Denied
    authorize(reader, Access.ADMIN, code if section == "dossiers" else EVERY_DOSSIER)


def keep(reader: Reader, section: str, code: str, typed: Mapping[str, str]) -> Changed:
    """Write an entry as a form says it; raise Findings for everything that is wrong, and nothing is changed then."""
    require(reader, section, code)
    reading = read_form(section, code, typed)
    if section == "dossiers" and not reader.person.may(Access.ADMIN, EVERY_DOSSIER):
        before = find(reader, section, code)
        reading.configuration = _within(reading.configuration, before)
    outcome = service.apply(reader.desk.engine, reading, clock=reader.desk.clock, actor=reader.actor)
    return _changed(outcome)


def remove(reader: Reader, section: str, code: str) -> Changed:
    """Take an entry away; a dossier is not removed but made inactive, so that what it was stays readable."""
    find(reader, section, code)
    if section in {"dossiers", "general"}:
        raise InputError("E-WEB-027", section, "is not removed", "make the dossier inactive")
    return _changed(service.remove(reader.desk.engine, section, code, clock=reader.desk.clock, actor=reader.actor))


def see(reader: Reader, wish: PreviewWish) -> Preview:
    """Return a template filled with the stored state of a dossier that the reader may see."""
    authorize(reader, Access.VIEW, wish.dossier)
    with reader.desk.engine.connect() as connection:
        found = preview(connection, wish.dossier, subject=wish.subject, text=wish.text, html=wish.html or None)
    if found is None:
        raise Denied
    return found


@api.get("/settings")
def get_settings(reader: Anybody) -> dict[str, list[str]]:
    """List the sections of the configuration with the codes that you administer."""
    return {section: sorted(found) for section, found in sections(reader).items()}


@api.get("/settings/{section}/{code}")
def get_entry(reader: Anybody, section: str, code: str) -> dict[str, Any]:
    """Return an entry as the files would say it, defaults included; secrets are their names."""
    return dict(plain(find(reader, section, code), defaults=True, without=CODES[section]))


@api.post("/settings/{section}/{code}")
def post_entry(reader: Anybody, section: str, code: str, fields: dict[str, str]) -> Changed:
    """Write an entry; `fields` are texts by dotted path, lists and mappings as YAML. A flag `x` needs `x?` beside it."""
    _require_code(section, code)
    return keep(reader, section, code, fields)


@api.post("/settings/preview")
def post_preview(reader: Administrator, wish: PreviewWish) -> PreviewAnswer:
    """Fill a mail template with the stored state of a dossier; nothing is written or sent."""
    found = see(reader, wish)
    return PreviewAnswer(subject=found.subject, text=found.text, html=found.html, faults=list(found.faults))


@pages.get("/settings", name="settings")
def settings_page(request: Request, reader: Anybody) -> Response:
    """Show the sections with what is in them."""
    found = sections(reader)
    if not any(found.values()) and not reader.person.may(Access.ADMIN, EVERY_DOSSIER):
        raise Denied
    may_add = reader.person.may(Access.ADMIN, EVERY_DOSSIER)
    return page(request, "settings.html", {"sections": found, "may_add": may_add})


@pages.get("/settings.yaml", name="settings_export")
def export_page(reader: Administrator) -> Response:
    """Return the whole configuration as the file that `erpcrm config apply` reads."""
    text = to_yaml(service.export(reader.desk.engine))
    note_export(reader, "settings", text.count("\n"))
    headers = {"content-disposition": 'attachment; filename="erpcrm.yaml"'}
    return Response(text, media_type="application/yaml", headers=headers)


@pages.get("/settings/{section}/{code}", name="setting")
def entry_page(request: Request, reader: Anybody, section: str, code: str) -> Response:
    """Show an entry as a form, or an empty one."""
    if code == NEW and section != "general":
        authorize(reader, Access.ADMIN)
        require(reader, section, code)
        return _entry(request, reader, section, code, form_fields(section, {}))
    return _entry(request, reader, section, code, _fields(reader, section, code))


@pages.post("/settings/{section}/{code}")
async def entry_form(request: Request, reader: Anybody, section: str, code: str) -> Response:
    """Write an entry as the form says it."""
    typed = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_keep_form, request, reader, section, code, typed)


@pages.post("/settings/{section}/{code}/remove")
def remove_form(request: Request, reader: Anybody, section: str, code: str) -> Response:
    """Take an entry away."""
    try:
        remove(reader, section, code)
    except ErpcrmError as error:
        lines = error.lines if isinstance(error, Findings) else (str(error),)
        return _entry(request, reader, section, code, _fields(reader, section, code), faults=lines)
    return RedirectResponse("/settings", 303)


def _keep_form(request: Request, reader: Reader, section: str, code: str, typed: Mapping[str, str]) -> Response:
    chosen = typed.get("new_code", "").strip() if code == NEW else code
    shown: Mapping[str, Any] = {}
    try:
        if code == NEW:
            require(reader, section, NEW)
            _require_code(section, chosen)
            if chosen in sections(reader).get(section, {}):
                raise InputError("E-WEB-028", section, f"{chosen} is there already", "open it, or choose another code")
        changed = keep(reader, section, chosen, {name: text for name, text in typed.items() if name != "csrf"})
    except ErpcrmError as error:
        lines = error.lines if isinstance(error, Findings) else (str(error),)
        fields = [_typed_again(one, typed) for one in _shape(reader, section, code, shown)]
        return _entry(request, reader, section, code, fields, faults=lines, new_code=chosen)
    fields = _fields(reader, section, chosen)
    return _entry(request, reader, section, chosen, fields, done=changed)


def _shape(reader: Reader, section: str, code: str, empty: Mapping[str, Any]) -> list[FormField]:
    return form_fields(section, empty) if code == NEW else _fields(reader, section, code)


def _typed_again(one: FormField, typed: Mapping[str, str]) -> FormField:
    if one.kind == "flag":
        return replace(one, text="true" if one.path in typed else "")
    return replace(one, text=typed.get(one.path, one.text))


def _fields(reader: Reader, section: str, code: str) -> list[FormField]:
    found = find(reader, section, code)
    return form_fields(section, plain(found, defaults=True, without=CODES[section]))


def _entry(
    request: Request,
    reader: Reader,
    section: str,
    code: str,
    fields: list[FormField],
    **more: Any,  # noqa: ANN401
) -> Response:
    if section == "dossiers" and not reader.person.may(Access.ADMIN, EVERY_DOSSIER):
        fields = [one for one in fields if one.path.partition(".")[0] not in INSTALLATION_FIELDS]
    values = {"faults": (), "done": None, "new_code": "", **more}
    values |= {"section": section, "code": code, "fields": fields, "is_new": code == NEW}
    values |= {"default_dossier": reader.person.default_dossier_code or "", "quote": quote}
    return page(request, "setting.html", values, status=422 if values["faults"] else 200)


def _within(wanted: Configuration, before: Dossier) -> Configuration:
    """Return the dossier with the fields of the installation as they were: its administrator does not reach them."""
    kept = {name: getattr(before, name) for name in INSTALLATION_FIELDS}
    return replace(wanted, dossiers=tuple(replace(one, **kept) for one in wanted.dossiers))


def _require_code(section: str, code: str) -> None:
    rule = DOSSIER_CODE if section == "dossiers" else CODE
    if section != "general" and not rule.fullmatch(code):
        raise Refused(422, "E-CFG-045", section, f"{code!a:.60} is no code", "take letters, digits, _ . and -")


def _changed(outcome: service.Outcome) -> Changed:
    lines = [f"{one.action} {one.kind} {one.code}" for one in outcome.plan.changes]
    return Changed(changes=lines, warnings=list(outcome.warnings))
