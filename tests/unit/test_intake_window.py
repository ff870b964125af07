"""What a pass over a stream reads: the window, its overlap, and the statements for three databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, postgresql, sqlite

from erpcrm_orchestration.clients.sql_statement import Dialect, StreamReader
from erpcrm_orchestration.domain.configuration import DatasetMapping, LogbookMapping, Source, StateGroup, TimeExportFilter
from erpcrm_orchestration.domain.errors import PermanentFailure
from erpcrm_orchestration.domain.intake import Cursor, Stream, Window, deep_look_s, limits, streams_of, tuned_overlap, window

NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def cursor(watermark: datetime | None, *, last_success: datetime | None = None, overlap_s: int = 300) -> Cursor:
    return Cursor("001", "erp", "logbook", watermark, overlap_s, 0, last_success, 7)


def test_the_first_pass_reads_everything() -> None:
    span = window(cursor(None), NOON, NOON)
    assert (span.after.year, span.until - NOON, span.bound) == (1970, timedelta(days=1), NOON)


def test_a_pass_starts_the_overlap_before_the_watermark_and_once_an_hour_a_day_before() -> None:
    starts = set()
    for step in range(60):
        at = NOON + MINUTE * step
        starts.add(at - window(cursor(at, last_success=at - MINUTE), at, at).after)
    assert starts == {timedelta(seconds=300), timedelta(days=1)}
    assert deep_look_s(cursor(NOON, last_success=None), NOON) == 31 * 86400


def test_once_a_day_a_pass_looks_back_a_month() -> None:
    looks = [deep_look_s(cursor(NOON, last_success=NOON + MINUTE * (step - 1)), NOON + MINUTE * step) for step in range(1440)]
    assert (looks.count(0), looks.count(86400), looks.count(31 * 86400)) == (1416, 23, 1)


def test_a_source_clock_that_is_ahead_does_not_move_the_watermark_beyond_ours() -> None:
    assert window(cursor(NOON - MINUTE), NOON + 10 * MINUTE, NOON).bound == NOON


def test_F25_a_source_clock_that_went_back_loses_nothing() -> None:
    """The watermark is ten minutes ahead of the corrected clock; what was written since the last pass is read."""
    ahead = cursor(NOON + 10 * MINUTE, last_success=NOON)
    span = window(ahead, NOON + MINUTE, NOON + MINUTE)
    assert span.after <= NOON - timedelta(seconds=300)
    assert span.bound == NOON + MINUTE


@pytest.mark.parametrize(
    ("floor_s", "lateness", "expected"), [(300, 0, 300), (300, 200, 400), (300, 10**6, 86400), (90000, 5, 90000)]
)
def test_the_overlap_is_twice_the_lateness_between_floor_and_a_day(floor_s: int, lateness: int, expected: int) -> None:
    assert tuned_overlap(floor_s, lateness) == expected


def test_local_times_are_widened_by_an_hour_around_the_hour_that_comes_twice() -> None:
    """02:50 of the first round is before 02:10 of the second, although its local time is later."""
    autumn = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    span = Window(autumn, autumn + MINUTE, autumn)
    assert limits(span, "naive", "Europe/Paris") == ("2026-10-25 01:10:00.000000", "2026-10-25 03:11:00.000000")
    calm = Window(NOON, NOON + MINUTE, NOON)
    assert limits(calm, "naive", "Europe/Paris") == ("2026-11-18 13:00:00.000000", "2026-11-18 13:01:00.000000")
    assert limits(calm, "naive", "UTC") == ("2026-11-18 12:00:00.000000", "2026-11-18 12:01:00.000000")
    assert limits(calm, "aware", "Europe/Paris") == ("2026-11-18 12:00:00.000000+00:00", "2026-11-18 12:01:00.000000+00:00")
    assert limits(calm, "epoch", "UTC") == (str(int(NOON.timestamp())), str(int(NOON.timestamp()) + 60))
    assert limits(calm, "mixed", "Europe/Paris") == ("2026-11-18 12:00:00.000", "2026-11-18 13:01:00.999")


@pytest.mark.parametrize("day", range(23, 29))
@pytest.mark.parametrize("hour", range(24))
def test_every_instant_of_a_window_lies_between_its_local_limits(day: int, hour: int) -> None:
    after = datetime(2026, 10, day, hour, 30, tzinfo=UTC)
    span = Window(after, after + 20 * MINUTE, after)
    low, high = limits(span, "naive", "Europe/Paris")
    for step in range(21):
        local = (after + step * MINUTE).astimezone(ZoneInfo("Europe/Paris"))
        assert low <= f"{local:%Y-%m-%d %H:%M:%S.%f}" <= high


def times(**switches: bool) -> Stream:
    columns = {
        "service_export": "srvExport", "user_start": "userStartDate", "user_end": "userEndDate", "exported": "exported",
        "intervention_state": "state", "validated": "validated",
    }  # fmt: skip
    mapping = DatasetMapping(
        "times",
        "TimeSheet",
        {"key": "TimeId", "created_at": "created", "updated_at": "modified", "state": "state"},
        schema="dbo",
        where={"dossier": "D{dossier}"},
        type_code="TPSAFF",
        states={"1": StateGroup.PENDING},
        time_export=TimeExportFilter(columns, **switches),
    )
    return streams_of(Source("erp", "mssql://", datasets=(mapping,)))[0]


def types(instants: sa.types.TypeEngine[object]) -> dict[str, sa.types.TypeEngine[object]]:
    found: dict[str, sa.types.TypeEngine[object]] = {
        name: sa.Text() for name in ("TimeId", "state", "dossier", "userStartDate", "userEndDate")
    }
    found |= {name: sa.Integer() for name in ("srvExport", "exported", "validated")}
    return found | {"created": instants, "modified": instants}


def compiled(reader: StreamReader, dialect: sa.Dialect) -> str:
    ends = ("2026-11-18 11:00:00", "2026-11-18 12:00:00")
    statement = reader.page(["001"], ends, ("2026-11-18 11:30:00", "T1", "D001"), 100)
    return " ".join(str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})).split())


def test_A50_the_export_switches_become_conditions_in_sql_server() -> None:
    reader = StreamReader(times(), Dialect("mssql"), types(mssql.DATETIME2()), "source erp")
    text = compiled(reader, mssql.dialect())  # type: ignore[no-untyped-call]
    assert "SELECT TOP 100 convert(NVARCHAR(40), modified, 121) AS _place" in text
    assert "FROM dbo.[TimeSheet] WHERE dossier = 'D001'" in text
    assert "[srvExport] = CAST('1' AS INTEGER)" in text
    assert "[userStartDate] IS NOT NULL AND [userEndDate] IS NOT NULL AND exported = CAST('0' AS INTEGER)" in text
    assert "modified >= convert(DATETIME2, '2026-11-18 11:00:00', 121)" in text
    assert text.endswith("ORDER BY modified, [TimeId], dossier")
    assert "validated" not in text.partition("WHERE")[2]


def test_A50_switches_for_closed_validated_and_exported_rows() -> None:
    stream = times(closed_interventions_only=True, validated_only=True, include_exported=True)
    text = compiled(
        StreamReader(stream, Dialect("postgresql"), types(sa.DateTime(timezone=True)), "source erp"), postgresql.dialect()
    )  # type: ignore[no-untyped-call]
    assert "exported" not in text.partition("WHERE")[2]
    assert "state = 'CLOSED' AND validated = CAST('1' AS INTEGER)" in text
    assert "CAST(modified AS TEXT) AS _place" in text
    assert "modified >= CAST('2026-11-18 11:00:00' AS TIMESTAMP WITH TIME ZONE)" in text


def test_a_sqlite_statement_brings_texts_and_numbers_to_one_form() -> None:
    text = compiled(StreamReader(times(), Dialect("sqlite"), types(sa.Text()), "source erp"), sqlite.dialect())
    assert "CASE WHEN (typeof(modified) = 'text') THEN strftime('%Y-%m-%d %H:%M:%f', modified)" in text
    assert "\"srvExport\" = '1'" in text


def test_a_column_that_is_not_there_is_named_with_the_nearest_one() -> None:
    with pytest.raises(PermanentFailure) as refused:
        StreamReader(
            times(), Dialect("mssql"), {k: v for k, v in types(sa.DateTime()).items() if k != "modified"}, "source erp"
        )
    assert str(refused.value).startswith("E-SRC-022 source erp: table TimeSheet has no column modified; known: ")


def test_a_text_column_does_not_order_rows_in_postgresql() -> None:
    reader = StreamReader(times(), Dialect("postgresql"), types(sa.Text()), "source erp")
    with pytest.raises(PermanentFailure) as refused:
        _ = reader.clocking
    assert str(refused.value) == (
        "E-SRC-023 source erp column modified: a column of type TEXT does not order rows in time; map a timestamp column"
    )


def test_a_logbook_without_optional_columns_is_a_stream() -> None:
    book = LogbookMapping("livre", {"key": "id", "at": "quand", "action": "action"})
    assert [stream.name for stream in streams_of(Source("erp", "sqlite://", logbook=book))] == ["logbook"]
