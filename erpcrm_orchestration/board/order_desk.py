"""What people do with execution orders: the functions behind pages and API, and the words that the API speaks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from erpcrm_orchestration.board.desk import Reader, authorize, authorize_named
from erpcrm_orchestration.board.faults import Denied
from erpcrm_orchestration.board.query import Counted, Number, Paged
from erpcrm_orchestration.domain.access import Access
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.domain.routine import NewOrder, Order, OrderState
from erpcrm_orchestration.services import audience as audiences
from erpcrm_orchestration.services import order as service
from erpcrm_orchestration.services.mail import checked
from erpcrm_orchestration.store import order as store
from erpcrm_orchestration.store.routine import page_results

SAME_WITHIN = timedelta(seconds=10)
"""What the same person schedules alike within this time is one order: a second click joins the first."""
SAMPLE = 10
"""So many accounts of an audience are shown before an order is made of it."""
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))]

DossierCode = Annotated[str, Field(min_length=1, max_length=16)]


class OrderQuery(Paged):
    """Which orders."""

    dossier: str = Field("", max_length=16)
    state: Literal[""] | OrderState = ""
    program: str = Field("", max_length=60)


class ResultQuery(Paged):
    """Which page of what became of single accounts."""


class OrderWish(BaseModel):
    """What is to be executed, and when: `date` and `hour` are those of the dossier, without both it is at once.

    `agenda` follows the agenda of the program. `email`: who gets the summary, by default you. `summary`: true or false to mail
    one or none, null as the program does.
    """

    model_config = ConfigDict(extra="forbid")

    dossier: DossierCode
    program: str = Field(min_length=1, max_length=60)
    date: Day | None = None
    hour: time | None = None
    agenda: bool = False
    server: str | None = Field(None, max_length=64)
    audience: str | None = Field(None, max_length=64)
    parameters: dict[Annotated[str, Field(max_length=60)], Annotated[str, Field(max_length=2_000)]] = Field({}, max_length=50)
    depends_on: Number | None = None
    dry_run: bool = False
    email: str | None = Field(None, max_length=254)
    summary: bool | None = None

    @field_validator("hour")
    @classmethod
    def local(cls, hour: time | None) -> time | None:
        """Refuse an hour with a zone: it is that of the dossier."""
        if hour is not None and hour.tzinfo is not None:
            raise ValueError("the hour is that of the dossier and has no zone")
        return hour


class OrderLine(BaseModel):
    """An order; the counts are of accounts, `considered` is the sum of the others."""

    order_number: int
    dossier_code: str
    program: str
    state: OrderState
    scheduled_at: AwareDatetime
    time_zone: str
    server_code: str | None
    auto_agenda: bool
    origin: str
    audience_code: str | None
    dry_run: bool
    requested_by: str
    attempt: int
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    failure: str | None
    considered: int
    changed: int
    unchanged: int
    skipped: int
    errors: int

    @classmethod
    def of(cls, order: Order, **more: object) -> Self:
        """Return an order as the API says it."""
        values = {**vars(order), **vars(order.counts), "considered": order.counts.considered, **more}
        return cls(**{name: values[name] for name in cls.model_fields})


class OrderPage(Counted):
    """Orders of one page."""

    orders: list[OrderLine]


class ResultLine(BaseModel):
    """What became of one account."""

    customer_id: int
    code: str | None
    name: str | None
    outcome: str
    message: str | None
    details: dict[str, Any]


class OrderAnswer(OrderLine):
    """An order with what it was given, the next one of its agenda, and a page of what became of accounts, errors first."""

    parameters: dict[str, Any]
    depends_on: int | None
    email: str | None
    summary: bool
    run_id: str | None
    next_order: int | None
    results: list[ResultLine]
    total: int
    page: int
    pages: int


class OrderMade(BaseModel):
    """The number of the order."""

    order_number: int


class AccountLine(BaseModel):
    """An account of an audience."""

    customer_id: int
    code: str | None
    name: str


class AudiencePreview(BaseModel):
    """How many accounts an audience holds now, and the first of them."""

    count: int
    accounts: list[AccountLine]


def find_orders(reader: Reader, query: OrderQuery) -> tuple[list[Order], int]:
    """Return a page of the orders that the reader may see, and how many there are."""
    authorize_named(reader, Access.VIEW, query.dossier)
    with reader.desk.engine.connect() as connection:
        return store.page_orders(
            connection,
            reader.person.person_id,
            dossier_code=query.dossier or None,
            state=query.state or None,
            program=query.program or None,
            limit=query.size,
            offset=query.offset,
        )


def find_order(reader: Reader, order_number: int, access: Access = Access.VIEW) -> Order:
    """Return one order; raise Denied when there is none that the reader may see or act upon."""
    try:
        with reader.desk.engine.connect() as connection:
            order = store.read_order(connection, order_number)
    except InputError as error:
        raise Denied from error
    authorize(reader, access, order.dossier_code)
    return order


def read(reader: Reader, order_number: int, query: ResultQuery) -> OrderAnswer:
    """Return an order with a page of its results, errors first."""
    order = find_order(reader, order_number)
    with reader.desk.engine.connect() as connection:
        rows, total = page_results(connection, order, limit=query.size, offset=query.offset)
        following = store.has_next_of_agenda(connection, order.dossier_code, order.program) if order.auto_agenda else None
    found = [ResultLine(**row) for row in rows]
    more = {"next_order": None if following == order.order_number else following, "results": found, **query.counted(total)}
    return OrderAnswer.of(order, **more)


def schedule(reader: Reader, wish: OrderWish) -> int:
    """Write an order and return its number; one that says the same and is seconds old is joined.

    Raises Denied without the right for the dossier, InputError E-ORD-001 to 009 for what cannot be executed.
    """
    authorize(reader, Access.OPERATE, wish.dossier)
    engine, clock = reader.desk.engine, reader.desk.clock
    _require_own_parent(reader, wish)
    _, refused = checked([wish.email] if wish.email else [])
    for one in refused:
        raise InputError("E-ORD-013", "e-mail", f"{one.address!a} is no address", "write name@example.com, or nothing")
    at = None if wish.agenda else service.local_time(engine, wish.dossier, wish.date, wish.hour, clock=clock)
    new = NewOrder(
        wish.dossier, wish.program, reader.actor, at, wish.agenda, wish.server or None, wish.audience or None,
        wish.parameters, wish.depends_on, wish.dry_run, wish.email or None, wish.summary,
    )  # fmt: skip
    return service.schedule(engine, new, clock=clock, same_within=SAME_WITHIN)


def _require_own_parent(reader: Reader, wish: OrderWish) -> None:
    """Raise InputError when the parent is not of the dossier: one of a foreign dossier reads like one that is not there."""
    if wish.depends_on is None:
        return
    with reader.desk.engine.connect() as connection:
        if store.dossier_of(connection, wish.depends_on) != wish.dossier:
            raise InputError(
                "E-ORD-001", f"order {wish.depends_on}", f"dossier {wish.dossier} has none of this number", "see its orders"
            )


def cancel(reader: Reader, order_number: int) -> None:
    """Cancel an order that has not started; raise InputError E-ORD-010 when it has."""
    find_order(reader, order_number, Access.OPERATE)
    service.cancel(reader.desk.engine, order_number, clock=reader.desk.clock, actor=reader.actor)


def retry(reader: Reader, order_number: int) -> None:
    """Let a failed order start again; raise InputError E-ORD-011 when it did not fail."""
    find_order(reader, order_number, Access.OPERATE)
    service.retry(reader.desk.engine, order_number, clock=reader.desk.clock, actor=reader.actor)


def preview(reader: Reader, dossier: str, audience: str) -> AudiencePreview:
    """Return what an audience holds in a dossier at this moment; raise Denied when there is none of it."""
    authorize(reader, Access.VIEW, dossier)
    try:
        count, rows = audiences.preview(reader.desk.engine, dossier, audience, limit=SAMPLE)
    except InputError as error:
        raise Denied from error
    return AudiencePreview(count=count, accounts=[_account(row) for row in rows])


def _account(row: Mapping[str, Any]) -> AccountLine:
    name = row["company"] or " ".join(part for part in (row["first_name"], row["last_name"]) if part)
    return AccountLine(customer_id=row["customer_id"], code=row["code"], name=name)
