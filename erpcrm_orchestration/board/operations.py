"""How the installation works: alerts, watchers, the ledger of ticks, mails; an alert is taken and put off here."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import RedirectResponse, Response

from erpcrm_orchestration.board.desk import InstallationViewer, Operator, Reader, Viewer, authorize, authorize_named
from erpcrm_orchestration.board.faults import Denied, Refused
from erpcrm_orchestration.board.pages import page
from erpcrm_orchestration.board.query import Counted, Number, Paged
from erpcrm_orchestration.board.spark import points
from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.mail import MailState
from erpcrm_orchestration.store import alert
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.mail import read_mail, release
from erpcrm_orchestration.store.mart import list_watchers
from erpcrm_orchestration.store.operations_list import alert_trend, find_alert, list_alerts, list_mails, list_ticks

LONGEST_SNOOZE_MIN = 7 * 24 * 60

api = APIRouter(prefix="/api/v1", tags=["operations"])
pages = APIRouter(include_in_schema=False)

TickState = Literal["", "REQUESTED", "RAN", "SKIPPED", "MISSED"]


class AlertQuery(Paged):
    """Which alerts."""

    dossier: str = Field("", max_length=16)
    state: Literal["open", "closed", "all"] = "open"
    check: str = Field("", max_length=80)


class TickQuery(Paged):
    """Which ticks of the ledger."""

    dossier: str = Field("", max_length=16)
    state: TickState = ""


class MailQuery(Paged):
    """Which mails; `SPOOLED` wait for the mail calendar or another attempt."""

    dossier: str = Field("", max_length=16)
    state: Literal["", "SPOOLED"] | MailState = ""


class AlertLine(BaseModel):
    """A failing check from its first failure to the evaluation that passed; no dossier: the installation itself."""

    alert_id: int
    dossier_code: str | None
    check_name: str
    severity: Literal["WARN", "ERROR"]
    opened_at: AwareDatetime
    last_seen_at: AwareDatetime
    closed_at: AwareDatetime | None
    details: dict[str, Any]
    recovery: str
    acknowledged_at: AwareDatetime | None
    acknowledged_by: str | None
    snoozed_until: AwareDatetime | None
    note: str | None


class AlertPage(Counted):
    """Alerts of one page."""

    alerts: list[AlertLine]


class AlertTake(BaseModel):
    """Somebody takes care of an alert; with `snooze_min` no mail is sent about it for so many minutes."""

    note: str = Field("", max_length=500)
    snooze_min: int = Field(0, ge=0, le=LONGEST_SNOOZE_MIN)


class TickLine(BaseModel):
    """A due tick and what became of it."""

    dossier_code: str
    process_code: str
    due_at: AwareDatetime
    state: str
    reason: str | None
    attempt: int
    requested_at: AwareDatetime | None
    closed_at: AwareDatetime | None
    run_id: str | None
    alerted_at: AwareDatetime | None


class TickPage(Counted):
    """Ticks of one page."""

    ticks: list[TickLine]


class MailLine(BaseModel):
    """A mail without its text and its addresses."""

    mail_id: int
    dossier_code: str | None
    cause: str
    subject: str
    state: MailState
    is_spooled: bool
    test_mode: bool
    attempts: int
    not_before: AwareDatetime
    created_at: AwareDatetime
    sent_at: AwareDatetime | None
    last_error: str | None
    accepted: int
    refused: int
    pending: int


class MailPage(Counted):
    """Mails of one page."""

    mails: list[MailLine]


class WatcherLine(BaseModel):
    """A watcher, ON while its heartbeat is at most two poll intervals old."""

    watcher_code: str
    state: Literal["ON", "OFF"]
    enabled: bool
    paused: bool
    heartbeat_age_s: int | None
    poll_interval_s: int
    heartbeat_at: AwareDatetime | None
    last_work: str | None


def find_alerts(reader: Reader, query: AlertQuery) -> AlertPage:
    """Return a page of the alerts that the reader may see."""
    authorize_named(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        rows, total = list_alerts(
            connection,
            reader.person.person_id,
            dossier_code=query.dossier or None,
            state=query.state,
            check_name=query.check or None,
            limit=query.size,
            offset=query.offset,
        )
    return AlertPage(alerts=[AlertLine(**row) for row in rows], **query.counted(total))


def find_ticks(reader: Reader, query: TickQuery) -> TickPage:
    """Return a page of the ledger."""
    authorize_named(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        rows, total = list_ticks(
            connection,
            reader.person.person_id,
            dossier_code=query.dossier or None,
            state=query.state or None,
            limit=query.size,
            offset=query.offset,
        )
    return TickPage(ticks=[TickLine(**row) for row in rows], **query.counted(total))


def find_mails(reader: Reader, query: MailQuery) -> MailPage:
    """Return a page of mails."""
    authorize_named(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        rows, total = list_mails(
            connection,
            reader.person.person_id,
            dossier_code=query.dossier or None,
            state=query.state or None,
            now=reader.desk.clock.now(),
            limit=query.size,
            offset=query.offset,
        )
    return MailPage(mails=[MailLine(**row) for row in rows], **query.counted(total))


def find_mail(reader: Reader, mail_id: int, access: Access = Access.OPERATE) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a mail with its text and recipients; addresses are for those who may act."""
    with reader.desk.engine.connect() as connection:
        try:
            row, people = read_mail(connection, mail_id)
        except InputError as error:
            raise Denied from error
    authorize(reader, access, row["dossier_code"] or EVERY_DOSSIER)
    return dict(row), [dict(one) for one in people]


def take_alert(reader: Reader, alert_id: int, wish: AlertTake) -> None:
    """Note that the reader takes care of an alert; mails about it wait as long as wished."""
    now = reader.desk.clock.now()
    with reader.desk.engine.connect() as connection:
        found = find_alert(connection, alert_id)
    if found is None:
        raise Denied
    authorize(reader, Access.OPERATE, found["dossier_code"] or EVERY_DOSSIER)
    until = now + timedelta(minutes=wish.snooze_min) if wish.snooze_min else None
    with reader.desk.engine.begin() as connection:
        if not alert.take(connection, alert_id, actor=reader.actor, note=wish.note or None, until=until, now=now):
            raise Refused(409, "E-WEB-409", f"alert {alert_id}", "it is closed", "nothing needs to be done")
        after = {"note": wish.note, "snoozed_until": until.isoformat() if until else None}
        row = AuditRow("alert", str(alert_id), "acknowledge", None, after)
        record_changes(connection, [row], now=now, actor=reader.actor, reason=wish.note or None)


def release_mail(reader: Reader, mail_id: int) -> None:
    """Let a mail leave whose answer was lost: the reader knows that it did not arrive."""
    find_mail(reader, mail_id)
    with reader.desk.engine.begin() as connection:
        release(connection, mail_id, now=reader.desk.clock.now(), actor=reader.actor)


@api.get("/alerts")
def get_alerts(reader: Viewer, query: Annotated[AlertQuery, Query()]) -> AlertPage:
    """List alerts."""
    return find_alerts(reader, query)


@api.post("/alerts/{alert_id}/acknowledgement", status_code=204)
def post_acknowledgement(reader: Operator, alert_id: Number, wish: AlertTake) -> None:
    """Take care of an alert, and put its mails off."""
    take_alert(reader, alert_id, wish)


@api.get("/ticks")
def get_ticks(reader: Viewer, query: Annotated[TickQuery, Query()]) -> TickPage:
    """List the ledger of due ticks."""
    return find_ticks(reader, query)


@api.get("/mails")
def get_mails(reader: Viewer, query: Annotated[MailQuery, Query()]) -> MailPage:
    """List mails without texts and addresses."""
    return find_mails(reader, query)


@api.get("/watchers")
def get_watchers(reader: InstallationViewer) -> list[WatcherLine]:
    """List the watchers, ON or OFF at this moment."""
    with reader.desk.engine.connect() as connection:
        return [WatcherLine(**row) for row in list_watchers(connection)]


@pages.get("/alerts", name="alerts")
def alerts_page(request: Request, reader: Viewer, query: Annotated[AlertQuery, Query()]) -> Response:
    """Show what fails, since when, what to do about it, and who takes care."""
    found, now = find_alerts(reader, query), reader.desk.clock.now()
    with reader.desk.engine.connect() as connection:
        trend = alert_trend(connection, reader.person.person_id, now=now)
    repaired = [one.median_repair_s for one in trend if one.median_repair_s is not None]
    ages = {one.alert_id: reader.say.duration(max((one.closed_at or now) - one.opened_at, timedelta())) for one in found.alerts}
    values = {
        "query": query,
        "found": found,
        "ages": ages,
        "now": now,
        "trend": trend,
        "open_course": points([one.open_alerts for one in trend]),
        "repair_course": points([int(one) for one in repaired]),
        "repair": reader.say.duration(timedelta(seconds=repaired[-1])) if repaired else None,
        "operable": {
            one.alert_id for one in found.alerts if reader.person.may(Access.OPERATE, one.dossier_code or EVERY_DOSSIER)
        },
    }
    return page(request, "alerts.html", values)


@pages.post("/alerts/{alert_id}/take")
def take_form(
    reader: Operator,
    alert_id: Number,
    note: Annotated[str, Form(max_length=500)] = "",
    snooze_min: Annotated[int, Form(ge=0, le=LONGEST_SNOOZE_MIN)] = 0,
) -> Response:
    """Take care of an alert."""
    take_alert(reader, alert_id, AlertTake(note=note, snooze_min=snooze_min))
    return RedirectResponse("/alerts", 303)


@pages.get("/watchers", name="watchers")
def watchers_page(request: Request, reader: InstallationViewer) -> Response:
    """Show what is on."""
    return page(request, "watchers.html", {"watchers": get_watchers(reader)})


@pages.get("/ticks", name="ticks")
def ticks_page(request: Request, reader: Viewer, query: Annotated[TickQuery, Query()]) -> Response:
    """Show what was due, what ran, what is late and what was missed."""
    return page(request, "ticks.html", {"query": query, "found": find_ticks(reader, query), "now": reader.desk.clock.now()})


@pages.get("/mails", name="mails")
def mails_page(request: Request, reader: Viewer, query: Annotated[MailQuery, Query()]) -> Response:
    """Show which mails went out, which wait and why."""
    return page(request, "mails.html", {"query": query, "found": find_mails(reader, query), "states": list(MailState)})


@pages.get("/mails/{mail_id}", name="mail")
def mail_page(request: Request, reader: Operator, mail_id: Number) -> Response:
    """Show a mail with its text and what the server said of each recipient."""
    row, people = find_mail(reader, mail_id)
    return page(request, "mail.html", {"row": row, "people": people})


@pages.post("/mails/{mail_id}/release")
def release_form(reader: Operator, mail_id: Number) -> Response:
    """Let an uncertain mail leave once more."""
    release_mail(reader, mail_id)
    return RedirectResponse(f"/mails/{mail_id}", 303)


def _may_operate(reader: Reader, dossier_code: str | None) -> bool:
    return reader.person.may(Access.OPERATE, dossier_code or EVERY_DOSSIER)
