"""The statements that read a stream, for PostgreSQL, SQLite and SQL Server, from names that the configuration gives.

Every name is a quoted identifier and every value a bound parameter. Instants are read as text: a driver that meets
`infinity` or a zero date in one row would refuse the whole page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mssql
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.type_api import TypeEngine

from erpcrm_orchestration.domain.configuration import TimeExportFilter
from erpcrm_orchestration.domain.errors import PermanentFailure, did_you_mean
from erpcrm_orchestration.domain.intake import Clocking, Stream

PLACE = "_place"
DOSSIER = "_dossier"
LOWEST = {"aware": "1970-01-01 00:00:00+00:00", "epoch": "0"}
HIGHEST = {"aware": "2101-01-02 00:00:00+00:00", "epoch": "4133980800"}
ODBC_CANONICAL = "121"

Statement = sa.Select[Any]


@dataclass(frozen=True)
class Dialect:
    """How a database reads and compares the ordering column; `name` is SQLAlchemy's name of the dialect."""

    name: str

    def clocking(self, kind: TypeEngine[Any], where: str) -> Clocking:
        """Return what a column of the type holds; raise PermanentFailure E-SRC-023 when it holds no instants."""
        if self.name == "sqlite":
            return "mixed"
        if isinstance(kind, mssql.DATETIMEOFFSET) or (isinstance(kind, sa.DateTime) and kind.timezone):
            return "aware"
        if isinstance(kind, (sa.DateTime, sa.Date)):
            return "naive"
        if isinstance(kind, (sa.Integer, sa.Numeric)):
            return "epoch"
        raise PermanentFailure(
            "E-SRC-023", where, f"a column of type {kind} does not order rows in time", "map a timestamp column"
        )

    def ordered(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what is compared. SQLite has no instants: its texts and numbers are brought to one form."""
        if self.name != "sqlite":
            return column
        form = "%Y-%m-%d %H:%M:%f"
        kind = sa.func.typeof(column)
        return sa.case(
            (kind == "text", sa.func.strftime(form, column)),
            (kind.in_(("integer", "real")), sa.func.strftime(form, column, "unixepoch")),
        )

    def shown(self, column: ColumnElement[Any], kind: TypeEngine[Any] | None) -> ColumnElement[Any]:
        """Return an instant as text; other columns as they are."""
        temporal = isinstance(kind, (sa.DateTime, sa.Date, sa.Time, sa.Interval, mssql.DATETIMEOFFSET))
        if self.name == "sqlite" or not temporal:
            return column
        if self.name == "mssql":
            return sa.func.convert(sa.literal_column("NVARCHAR(40)"), column, sa.literal_column(ODBC_CANONICAL))
        return sa.cast(column, sa.Text)

    def literal(self, text: str, kind: TypeEngine[Any] | None) -> ColumnElement[Any]:
        """Return a text as a bound value of the column's type."""
        value = sa.literal(text, sa.Text)
        if self.name == "sqlite" or kind is None or isinstance(kind, sa.types.NullType):
            return value
        if isinstance(kind, sa.String) and not isinstance(kind, sa.Enum):
            return value  # a reflected text type carries its collation, which a cast does not take
        if self.name == "mssql" and isinstance(kind, (sa.DateTime, mssql.DATETIMEOFFSET)):
            name = kind.compile(dialect=mssql.dialect())  # type: ignore[no-untyped-call]
            return sa.func.convert(sa.literal_column(name), value, sa.literal_column(ODBC_CANONICAL))
        return sa.cast(value, kind)


@dataclass(frozen=True)
class StreamReader:
    """The statements of one stream in one dialect; `types` are the columns of the table as the source declares them."""

    stream: Stream
    dialect: Dialect
    types: Mapping[str, TypeEngine[Any]]
    where: str

    def __post_init__(self) -> None:
        for name in (*self.stream.columns.values(), *self.stream.payload, *self.stream.where, *_switches(self.stream)):
            if name not in self.types:
                raise PermanentFailure(
                    "E-SRC-022", self.where, f"table {self.stream.table} has no column {name}", did_you_mean(name, self.types)
                )

    @property
    def clocking(self) -> Clocking:
        return self.dialect.clocking(self._order_type, f"{self.where} column {self._order_name}")

    def page(
        self, dossier_codes: Sequence[str], span: tuple[str, str], after: tuple[str, object, object] | None, size: int
    ) -> Statement:
        """Return the statement of the next page in keyset order (instant, key, dossier); `after` is the last row's."""
        order, key, dossier = self._order, self._key, self._dossier
        low, high = (self.dialect.literal(text, self._order_type) for text in span)
        statement = self._rows(dossier_codes).where(order >= low, order <= high, key.is_not(None))
        if after is not None:
            place = self.dialect.literal(after[0], self._order_type)
            later = [order > place, key > after[1]]
            if dossier is not None:
                later.append(sa.and_(key == after[1], dossier > after[2]))
            statement = statement.where(order >= place, sa.or_(*later))
        return statement.order_by(order, key, *([] if dossier is None else [dossier])).limit(size)

    def unplaced(self, dossier_codes: Sequence[str], size: int) -> Statement:
        """Return the statement of rows that no window can hold: without instant or key, or out of every range."""
        order, key = self._order, self._key
        low = self.dialect.literal(LOWEST.get(self.clocking, "1969-12-31 00:00:00.000"), self._order_type)
        high = self.dialect.literal(HIGHEST.get(self.clocking, "2101-01-02 00:00:00.000"), self._order_type)
        outside = sa.or_(order.is_(None), order < low, order > high, key.is_(None))
        return self._rows(dossier_codes).where(outside).limit(size)

    def after_key(self, dossier_codes: Sequence[str], after: object, size: int) -> Statement:
        """Return the statement of the next rows in the order of the key alone; a text is taken as the column's type."""
        statement = self._rows(dossier_codes).where(self._key.is_not(None))
        if after is not None:
            name = self.stream.columns["key"]
            statement = statement.where(self._key > self.typed(name, after))
        return statement.order_by(self._key).limit(size)

    def keyless(self, dossier_codes: Sequence[str], size: int) -> Statement:
        """Return the statement of the rows without a key."""
        return self._rows(dossier_codes).where(self._key.is_(None)).limit(size)

    def everything(self, dossier_codes: Sequence[str], order: Sequence[str]) -> Statement:
        """Return the statement of all rows."""
        return self._rows(dossier_codes).order_by(*(sa.column(name) for name in order))

    def among(self, dossier_codes: Sequence[str], keys: Mapping[str, Sequence[object]], order: Sequence[str]) -> Statement:
        """Return the statement of the rows whose columns hold one of the value rows; column -> its values, side by side."""
        names = list(keys)
        wanted: ColumnElement[bool]
        if len(names) == 1:
            wanted = sa.column(names[0]).in_([self.typed(names[0], value) for value in keys[names[0]]])
        else:
            sides = zip(*keys.values(), strict=True)
            wanted = sa.or_(
                *(sa.and_(*(sa.column(n) == self.typed(n, v) for n, v in zip(names, side, strict=True))) for side in sides)
            )
        return self.everything(dossier_codes, order).where(wanted)

    def typed(self, name: str, value: object) -> ColumnElement[Any]:
        """Return a value as a bound one; a text is given the type of the column."""
        return self.dialect.literal(value, self.types[name]) if isinstance(value, str) else sa.literal(value)

    def keyed(self, dossier_codes: Sequence[str], keys: Sequence[str]) -> Statement:
        """Return the statement of the rows with these keys, wherever they are in time."""
        name = self.stream.columns["key"]
        wanted = [self.dialect.literal(key, self.types[name]) for key in keys]
        return self._rows(dossier_codes).where(sa.column(name).in_(wanted))

    @property
    def _dossier(self) -> ColumnElement[Any] | None:
        name = self.stream.dossier_column
        return None if name is None else sa.column(name)

    @property
    def _key(self) -> ColumnElement[Any]:
        return sa.column(self.stream.columns["key"])

    @property
    def _order_name(self) -> str:
        return self.stream.columns[self.stream.order]

    @property
    def _order_type(self) -> TypeEngine[Any]:
        return self.types[self._order_name]

    @property
    def _order(self) -> ColumnElement[Any]:
        return self.dialect.ordered(sa.column(self._order_name))

    def _rows(self, dossier_codes: Sequence[str]) -> Statement:
        stream = self.stream
        place = self.dialect.shown(self._order, self._order_type).label(PLACE)
        dossier = sa.null() if self._dossier is None else self._dossier
        ours = [self._read(name).label(f"c_{our}") for our, name in sorted(stream.columns.items())]
        carried = [self._read(name).label(f"p_{at}") for at, name in enumerate(stream.payload)]
        conditions = [self._among(name, value, dossier_codes) for name, value in stream.where.items()]
        if stream.time_export:
            conditions += self._exported(stream.time_export)
        columns = (place, dossier.label(DOSSIER), *ours, *carried)
        return sa.select(*columns).select_from(self._table()).where(*conditions)

    def _among(self, name: str, value: str, dossier_codes: Sequence[str]) -> ColumnElement[bool]:
        """Return the filter of a column for these dossiers; more than one only for the column that tells them apart."""
        if "{dossier}" not in value:
            return self._equal(name, value)
        written = [value.replace("{dossier}", code) for code in dossier_codes]
        if len(written) == 1:
            return self._equal(name, written[0])
        kind = self.types[name]
        if isinstance(kind, sa.String) or self.dialect.name == "sqlite":
            return sa.column(name).in_(written)
        return sa.column(name).in_([self.dialect.literal(one, kind) for one in written])

    def _table(self) -> sa.TableClause:
        return sa.table(self.stream.table, schema=self.stream.schema)

    def _read(self, name: str) -> ColumnElement[Any]:
        return self.dialect.shown(sa.column(name), self.types[name])

    def _equal(self, name: str, value: str) -> ColumnElement[bool]:
        kind = self.types[name]
        if isinstance(kind, sa.Boolean) and self.dialect.name == "postgresql":
            return sa.column(name) == sa.literal(value.casefold() in {"1", "true", "t", "yes"})
        return sa.column(name) == self.dialect.literal(value, kind)

    def _exported(self, switches: TimeExportFilter) -> list[ColumnElement[bool]]:
        """Return the conditions of the agent's export of times (A50)."""
        columns = switches.columns
        found = [
            self._equal(columns["service_export"], "1"),
            sa.column(columns["user_start"]).is_not(None),
            sa.column(columns["user_end"]).is_not(None),
        ]
        if not switches.include_exported:
            found.append(self._equal(columns["exported"], "0"))
        if switches.closed_interventions_only:
            found.append(self._equal(columns["intervention_state"], switches.closed_value))
        if switches.validated_only:
            found.append(self._equal(columns["validated"], "1"))
        return found


def _switches(stream: Stream) -> tuple[str, ...]:
    return tuple(stream.time_export.columns.values()) if stream.time_export else ()
