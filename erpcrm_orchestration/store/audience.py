"""Audiences as conditions on hub.customer."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.routine_settings import AccountField, Audience, AudienceKind, Comparison, Filter
from erpcrm_orchestration.store.entity_schema import address, entity_table
from erpcrm_orchestration.store.routine_schema import account_status

customer = entity_table["customer"]
employee = entity_table["employee"]

_OPERATORS: Mapping[Comparison, Callable[[Any, Any], Any]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.NOT_EQUAL: operator.ne,
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.AT_LEAST: operator.ge,
}


def accounts_of(dossier_code: str) -> sa.ColumnElement[bool]:
    """Return the condition of the accounts of a dossier that are not deleted."""
    return sa.and_(customer.c.dossier_code == dossier_code, customer.c.deleted_at.is_(None))


def condition_of(audience: Audience) -> sa.ColumnElement[bool]:
    """Return what an account must meet to be in an audience."""
    if audience.kind is AudienceKind.STATIC:
        return customer.c.code.in_(audience.accounts)
    return _holds(audience.where)


def _holds(one: Filter) -> sa.ColumnElement[bool]:
    if one.all:
        return sa.and_(*(_holds(each) for each in one.all))
    if one.any:
        return sa.or_(*(_holds(each) for each in one.any))
    return sa.true() if one.field is None else _compared(_value(one.field), one)


def _value(field: AccountField) -> sa.ColumnElement[Any]:
    match field:
        case AccountField.TYPE:
            return customer.c.type
        case AccountField.CLASS:
            return customer.c.class_code
        case AccountField.REGION:
            return _looked_up(address.c.region, address.c.address_hash == customer.c.billing_address_hash)
        case AccountField.RESPONSIBLE:
            return _looked_up(employee.c.code, employee.c.employee_id == customer.c.responsible_id)
        case AccountField.STATUS:
            return _looked_up(account_status.c.status_erp, account_status.c.customer_id == customer.c.customer_id)


def _looked_up(column: sa.Column[Any], condition: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    """Return a column of the one row of another table that the account of the outer query has in its dossier."""
    return sa.select(column).where(column.table.c.dossier_code == customer.c.dossier_code, condition).scalar_subquery()


def _compared(value: sa.ColumnElement[Any], one: Filter) -> sa.ColumnElement[bool]:
    """Return the comparison; texts compare byte by byte, so that the same filter means the same on every server."""
    if one.op is Comparison.IS_NULL:
        return value.is_(None)
    if one.op is Comparison.IN:
        return value.in_(one.values)
    if one.op is Comparison.CONTAINS:
        return value.contains(one.values[0], autoescape=True)
    found: sa.ColumnElement[bool] = _OPERATORS[one.op](sa.collate(value, "C"), one.values[0])
    return found


def sample(connection: sa.Connection, dossier_code: str, audience: Audience, *, limit: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many accounts an audience holds now, and the first of them."""
    condition = sa.and_(accounts_of(dossier_code), condition_of(audience))
    count = connection.scalar(sa.select(sa.func.count()).select_from(customer).where(condition)) or 0
    shown = (customer.c.customer_id, customer.c.code, customer.c.company, customer.c.first_name, customer.c.last_name)
    rows = connection.execute(sa.select(*shown).where(condition).order_by(customer.c.customer_id).limit(limit)).mappings()
    return count, [dict(row) for row in rows]


def names_of(
    connection: sa.Connection, dossier_code: str, account_ids: Collection[int]
) -> dict[int, tuple[str | None, str | None]]:
    """Return account -> its code and its name."""
    found = sa.select(customer.c.customer_id, customer.c.code, shown_name().label("name")).where(
        customer.c.dossier_code == dossier_code, customer.c.customer_id.in_(account_ids)
    )
    return {row.customer_id: (row.code, row.name) for row in connection.execute(found)}


def shown_name() -> sa.ColumnElement[str]:
    """Return what people call an account: its company, else first and last name, NULL without both."""
    person = sa.func.nullif(sa.func.concat_ws(" ", customer.c.first_name, customer.c.last_name), "")
    return sa.func.coalesce(customer.c.company, person)
