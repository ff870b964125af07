"""Rows for people: one page of a statement, and how many rows there are in all."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

Rows = list[dict[str, Any]]


def rows_of(connection: sa.Connection, statement: sa.Select[Any]) -> Rows:
    """Return the rows of a statement by the names of its columns."""
    return [dict(row) for row in connection.execute(statement).mappings()]


def page_of(
    connection: sa.Connection, statement: sa.Select[Any], order: tuple[sa.ColumnElement[Any], ...], limit: int, offset: int
) -> tuple[Rows, int]:
    """Return rows of a statement in this order, and how many it has in all."""
    total = connection.scalar(sa.select(sa.func.count()).select_from(statement.subquery())) or 0
    return rows_of(connection, statement.order_by(*order).limit(limit).offset(offset)), total
