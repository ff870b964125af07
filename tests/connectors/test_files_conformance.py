"""The client of kind files against folders of CSV, Excel, XML, JSON and JSON lines, in all three modes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from erpcrm_orchestration.clients.files import FilesClient
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.connection import (
    Call,
    ChangeMode,
    Connection,
    Connector,
    ConnectorEntity,
    ConnectorKind,
    Paging,
    Reading,
)
from erpcrm_orchestration.domain.errors import PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.received import Received, Span
from erpcrm_orchestration.domain.strict_json import loads
from tests.connectors.conformance import START, Conformance, read

Rows = list[dict[str, str]]


def as_csv(rows: Rows) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["id", "changed", "note"], delimiter=";")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_xlsx(rows: Rows) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["id", "changed", "note"])
    for row in rows:
        sheet.append([row["id"], row["changed"], row["note"]])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_xml(rows: Rows) -> bytes:
    told = "".join(f"<o id='{r['id']}'><changed>{r['changed']}</changed><note>{r['note']}</note></o>" for r in rows)
    return f"<orders xmlns='urn:x'>{told}</orders>".encode()


WRITERS: dict[str, tuple[Callable[[Rows], bytes], dict[str, str]]] = {
    "csv": (as_csv, {"delimiter": ";"}),
    "xlsx": (as_xlsx, {}),
    "xml": (as_xml, {"record": "orders/o"}),
    "json": (lambda rows: json.dumps({"orders": rows}).encode(), {"record": "orders"}),
    "jsonl": (lambda rows: "\n".join(map(json.dumps, rows)).encode(), {}),
}
WHOLE = "every file is read whole, the inbox tells what is new"
CANNOT = {
    **dict.fromkeys(("create", "update", "lost_answer"), "a folder is not written"),
    "change": WHOLE,
    "credentials": "a folder of this machine has none",
}


@dataclass
class FolderUnderTest:
    """A folder with one file, which is written anew with every change."""

    folder: Path
    kind: str = "csv"
    mode: ChangeMode = ChangeMode.APPEND
    page_size: int = 3
    secrets: tuple[str, ...] = ("canary",)
    cannot: Mapping[str, str] = field(default_factory=lambda: CANNOT)
    update: Mapping[str, object] = field(default_factory=dict)
    rows: Rows = field(default_factory=list)
    query: dict[str, str] = field(default_factory=dict)
    clock: FixedClock = field(default_factory=lambda: FixedClock(START))
    is_away: bool = False

    def __post_init__(self) -> None:
        self.write()

    @property
    def entity(self) -> ConnectorEntity:
        query = {**WRITERS[self.kind][1], **self.query}
        of = {"modified": "changed"} if self.mode is ChangeMode.CURSOR else {}
        key = "@id" if self.kind == "xml" else "id"
        reading = Reading(self.mode, Call(f"*.{self.kind}", query=query), key, paging=Paging(size=3), **of)  # type: ignore[arg-type]
        return ConnectorEntity("orders", reading)

    def client(self, *, wrong_credentials: bool = False) -> FilesClient:
        folder, self.is_away = self.folder / "away" if self.is_away else self.folder, False
        connection = Connection("files-998", "998", "erp", "f", "none", options={"folder": "${env:EXPORT}"})
        return FilesClient(
            Connector("f", ConnectorKind.FILES, max_answer_mb=1), connection, {"EXPORT": str(folder)}, self.clock
        )

    def write(self) -> None:
        self.put(f"orders.{self.kind}", WRITERS[self.kind][0](self.rows))

    def put(self, name: str, data: bytes, age: timedelta = timedelta(minutes=1)) -> None:
        path = self.folder / name
        path.write_bytes(data)
        at = (self.clock.at - age).timestamp()
        os.utime(path, (at, at))

    def add(self, at: datetime) -> str:
        self.rows.append({"id": str(len(self.rows) + 8), "changed": at.isoformat(), "note": "é"})
        self.write()
        return self.rows[-1]["id"]

    def change(self, record: str, at: datetime) -> None:
        raise AssertionError(WHOLE)

    def spoil(self, record: str) -> None:
        next(row for row in self.rows if row["id"] == record)["id"] = ""
        self.write()

    def fail_next(self) -> None:
        self.is_away = True

    def lose_next_answer(self) -> None:
        raise AssertionError("nothing is written")

    def effects(self) -> int:
        return 0


class TestFiles(Conformance):
    @pytest.fixture(params=[(kind, mode) for kind in sorted(WRITERS) for mode in ChangeMode], ids="-".join)
    def system(self, request: pytest.FixtureRequest, tmp_path: Path) -> FolderUnderTest:
        return FolderUnderTest(tmp_path, *request.param)


@pytest.fixture
def folder(tmp_path: Path) -> FolderUnderTest:
    made = FolderUnderTest(tmp_path, mode=ChangeMode.CURSOR)
    (tmp_path / "orders.csv").unlink()
    return made


def told(records: list[Received]) -> dict[str, Any]:
    return {one.source_id: loads(one.payload) for one in records if one.fault is None}


def faults(records: list[Received]) -> list[str]:
    return [str(one.fault) for one in records if one.fault is not None]


def row(key: int, note: str = "x", changed: str = "2026-11-01T10:00:00Z") -> str:
    return f"{key};{changed};{note}\n"


HEADER = "id;changed;note\n"


def test_the_newer_file_counts_and_nothing_is_changed(folder: FolderUnderTest) -> None:
    folder.put("a.csv", (HEADER + row(1, "old") + row(2, "alone")).encode(), timedelta(days=2))
    folder.put("b.csv", (HEADER + row(1, "new")).encode(), timedelta(days=1))
    assert {key: one["note"] for key, one in told(read(folder, Span())).items()} == {"1": "new", "2": "alone"}
    assert sorted(path.name for path in folder.folder.iterdir()) == ["a.csv", "b.csv"]
    folder.mode = ChangeMode.SNAPSHOT
    assert told(read(folder, Span())).keys() == {"1"}
    folder.query = {"files": "all"}
    assert told(read(folder, Span())).keys() == {"1", "2"}


def test_a_file_is_read_when_it_is_complete(folder: FolderUnderTest) -> None:
    """Ten seconds without a write, or its companion; a snapshot waits for the newest one and never takes an older one."""
    folder.put("a.csv", (HEADER + row(1)).encode(), timedelta(hours=1))
    folder.put("b.csv", (HEADER + row(2)).encode(), timedelta(seconds=9))
    assert told(read(folder, Span())).keys() == {"1"}
    folder.mode = ChangeMode.SNAPSHOT
    with pytest.raises(TransientFailure, match="E-FILE-006"):
        read(folder, Span())
    folder.mode = ChangeMode.CURSOR
    folder.query = {"companion": ".ok"}
    assert read(folder, Span()) == []
    folder.put("b.ok", b"", timedelta(0))
    assert told(read(folder, Span())).keys() == {"2"}
    folder.put("a.csv.ok", b"", timedelta(0))
    assert told(read(folder, Span())).keys() == {"1", "2"}


def test_a_snapshot_without_a_file_deletes_nothing(folder: FolderUnderTest) -> None:
    folder.mode = ChangeMode.SNAPSHOT
    with pytest.raises(PermanentFailure, match="E-FILE-007"):
        read(folder, Span())


def test_catalogue_9_10_11_the_encoding_is_taken_strictly(folder: FolderUnderTest) -> None:
    """Catalogue 9 10 11: a mark or UTF-16 refuses the file, a wrong byte its record alone; a named encoding is used."""
    folder.put("bom.csv", b"\xef\xbb\xbf" + (HEADER + row(1)).encode())
    folder.put("wide.csv", (HEADER + row(2)).encode("utf-16"))
    folder.put("latin.csv", (HEADER + row(3) + row(4, "é") + row(5)).encode("latin-1"))
    found = read(folder, Span())
    assert told(found).keys() == {"3", "5"}
    assert sorted(fault.split()[0] for fault in faults(found)) == ["E-FILE-012", "E-FILE-012", "E-SRC-007"]
    (bad,) = [one for one in found if "E-SRC-007" in str(one.fault)]
    assert bad.source_id == "4"
    folder.query = {"encoding": "cp1252"}
    assert told(read(folder, Span()))["4"]["note"] == "é"
    folder.query = {"encoding": "utf-8-sig"}
    assert "1" in told(read(folder, Span()))


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("cut.csv", (HEADER + '1;x;"never ends\n').encode(), "E-FILE-011"),
        ("twice.csv", b"id;id\n1;2\n", "E-FILE-013"),
        ("long.csv", b"x" * 1_000_001, "E-FILE-004"),
        ("no.xlsx", b"PK no spreadsheet", "E-FILE-014"),
        ("no.xml", b"<orders><o>", "E-FILE-015"),
        ("dtd.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><orders><o>&b;</o></orders>", "E-FILE-015"),
        ("cut.json", b'{"orders": [{"id": 1}', "E-FILE-016"),
        ("none.json", b'{"rows": []}', "E-FILE-016"),
        ("what.bin", b"x", "E-FILE-010"),
    ],
)
def test_f20_f31_a_file_that_is_no_good_is_kept_as_refused_and_its_neighbours_are_read(
    folder: FolderUnderTest, name: str, data: bytes, code: str
) -> None:
    """F20 F31: in a snapshot it stops the reading instead, because what it does not show would be deleted."""
    folder.kind = name.rpartition(".")[2] if name != "what.bin" else "json"
    pattern = "*" if folder.kind in {"json"} else f"*.{folder.kind}"
    system = ConnectorEntity("orders", Reading(ChangeMode.APPEND, Call(pattern, query=dict(WRITERS[folder.kind][1]))))
    folder.put(f"good.{folder.kind}", WRITERS[folder.kind][0]([{"id": "1", "changed": "", "note": ""}]))
    folder.put(name, data)
    reading = system.read
    assert reading is not None
    key = "@id" if folder.kind == "xml" else "id"
    entity = ConnectorEntity("orders", Reading(ChangeMode.APPEND, reading.pages, key))
    found = [record for page in folder.client().pages(entity, Span()) for record in page.records]
    assert told(found).keys() == {"1"}
    (fault,) = faults(found)
    assert fault.startswith(f"{code} ")
    assert name in fault
    folder.put(name, data, timedelta(seconds=30))
    entity = ConnectorEntity("orders", Reading(ChangeMode.SNAPSHOT, reading.pages, key))
    with pytest.raises(PermanentFailure, match=code):
        list(folder.client().pages(entity, Span()))


def test_a_line_with_more_or_fewer_fields_is_seen(folder: FolderUnderTest) -> None:
    folder.put("a.csv", (HEADER + "1;2026-11-01T10:00:00Z;x;y;z\n2\n\n").encode())
    found = read(folder, Span())
    assert told(found) == {"1": {"id": "1", "changed": "2026-11-01T10:00:00Z", "note": "x", "_more": ["y", "z"]}}
    assert "E-SRC-018" in faults(found)[0]


def test_xml_keeps_attributes_lists_and_text(folder: FolderUnderTest) -> None:
    folder.kind, folder.mode = "xml", ChangeMode.APPEND
    folder.query = {"record": "", "lists": "line, tax"}
    folder.put("a.xml", b"<r><o id='1'><line n='1'>a</line><who/><day> x </day><two>1</two><two>2</two></o></r>")
    assert told(read(folder, Span())) == {
        "1": {"@id": "1", "line": [{"@n": "1", "#text": "a"}], "who": "", "day": "x", "two": ["1", "2"]}
    }


def test_any_file_system_of_fsspec_is_read(tmp_path: Path) -> None:
    import fsspec  # noqa: PLC0415 - the memory of this process as a file system

    system = fsspec.filesystem("memory")
    system.pipe_file("/export/a.jsonl", b'{"id": 1}\n{"id": 2}\n')
    connection = Connection("m", "998", "erp", "f", "memory://export")
    client = FilesClient(Connector("f", ConnectorKind.FILES), connection, {}, FixedClock(START + timedelta(days=3650)))
    entity = ConnectorEntity("orders", Reading(ChangeMode.APPEND, Call("*.jsonl")))
    found = [record for page in client.pages(entity, Span()) for record in page.records]
    system.rm("/export", recursive=True)
    assert told(found).keys() == {"1", "2"}


@pytest.mark.parametrize("address", ["nosuch://x", "s3://bucket"])
def test_a_file_system_that_is_not_installed_is_told(address: str) -> None:
    client = FilesClient(Connector("f", ConnectorKind.FILES), Connection("m", "998", "erp", "f", address), {})
    with pytest.raises(PermanentFailure, match="E-FILE-005"):
        list(client.pages(ConnectorEntity("orders", Reading(ChangeMode.APPEND, Call("*"))), Span()))


@pytest.mark.parametrize("pattern", ["../*.csv", "a/b.csv", "..\\x"])
def test_a_pattern_leads_to_no_other_folder(folder: FolderUnderTest, pattern: str) -> None:
    with pytest.raises(PermanentFailure, match="E-FILE-003"):
        list(folder.client().pages(ConnectorEntity("orders", Reading(ChangeMode.APPEND, Call(pattern))), Span()))
    (folder.folder / "link.csv").symlink_to("/etc/passwd")
    assert read(folder, Span()) == []
