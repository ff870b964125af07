"""The records of a file: CSV, Excel, XML, JSON or JSON lines, each as the bytes of a JSON record.

A file that is no good as a whole raises InputError; what concerns one record alone is left to the reading of that record.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lxml import etree

from erpcrm_orchestration.clients.json_page import CutShort, NotThere, records_of, value_at
from erpcrm_orchestration.clients.plain_json import record_text
from erpcrm_orchestration.clients.xml_root import NotXml, root_of
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.reading_words import FILE_FORMATS
from erpcrm_orchestration.domain.values import shown

ENDINGS: Mapping[str, str] = {
    "txt": "csv",
    "tsv": "csv",
    "ndjson": "jsonl",
    "xlsm": "xlsx",
    **{one: one for one in FILE_FORMATS},
}
REST = "_more"
"""Where the fields of a line are kept that has more of them than the header."""
BOMS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
UNZIPPED_TIMES = 20


@dataclass(frozen=True)
class Format:
    """How files are read. `record` is the path of an XML record or a JSON list, `lists` are XML elements that repeat."""

    kind: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    header: bool = True
    sheet: str | None = None
    record: str = ""
    lists: frozenset[str] = frozenset()

    def kind_of(self, name: str) -> str:
        """Return the format of a file, by its ending when none is given; raise InputError E-FILE-010."""
        found = self.kind or ENDINGS.get(PurePosixPath(name).suffix.lower().lstrip("."), "")
        if found not in FILE_FORMATS:
            raise InputError(
                "E-FILE-010", "$", f"no format {shown(self.kind or name)}", f"give format: {', '.join(FILE_FORMATS)}"
            )
        return found


def format_of(query: Mapping[str, str], records: str) -> Format:
    """Return the format that a query describes; `records` is the path of the list, when the query gives no `record`."""
    lists = frozenset(one.strip() for one in query.get("lists", "").split(",") if one.strip())
    delimiter = {"tab": "\t", "\\t": "\t"}.get(query.get("delimiter", ","), query.get("delimiter", ","))
    return Format(
        query.get("format"), delimiter, query.get("encoding", "utf-8"), query.get("header", "true") != "false",
        query.get("sheet"), query.get("record", records), lists,
    )  # fmt: skip


def records_in(data: bytes, name: str, form: Format, largest: int) -> Iterator[bytes]:
    """Yield the records of a file in their order; `largest` limits what a spreadsheet may unfold to, in bytes."""
    match form.kind_of(name):
        case "csv":
            yield from _csv(data, form)
        case "xlsx":
            yield from _xlsx(data, form, largest)
        case "xml":
            yield from _xml(data, form)
        case "json":
            yield from _json(data, form)
        case _:
            yield from (line.strip() for line in data.split(b"\n") if line.strip())


def _csv(data: bytes, form: Format) -> Iterator[bytes]:
    """A byte that is not in the encoding stays in its record, which is then refused alone."""
    text = io.StringIO(_decoded(data, form.encoding), newline="")
    try:
        rows = csv.reader(text, delimiter=form.delimiter, strict=True)
        names: list[str] | None = None
        for row in rows:
            if not row:
                continue
            if names is None:
                names = _names(row) if form.header else [str(at) for at in range(1, len(row) + 1)]
                if form.header:
                    continue
            yield record_text(_named(names, row))
    except (csv.Error, TypeError) as error:
        raise InputError("E-FILE-011", f"$ line {rows.line_num}", str(error), "correct the file or its delimiter") from None


def _decoded(data: bytes, encoding: str) -> str:
    boms = [bom for bom in BOMS if data.startswith(bom)]
    if boms and not (boms[0] == BOMS[2] and encoding.casefold().replace("_", "-") == "utf-8-sig"):
        remedy = "say encoding: utf-8-sig" if boms[0] == BOMS[2] else "write the file in UTF-8"
        raise InputError("E-FILE-012", "$", "a byte order mark at the start", remedy)
    try:
        return data.decode(encoding, "surrogateescape")
    except (LookupError, UnicodeError):
        raise InputError("E-FILE-012", "$", f"{shown(encoding)} is no encoding for it", "say encoding: utf-8") from None


def _names(header: Sequence[object]) -> list[str]:
    names = [str(one).strip() if one is not None else "" for one in header]
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        raise InputError("E-FILE-013", "$ header", f"{shown(twice[0])} stands twice", "name each column once")
    return [name or str(at) for at, name in enumerate(names, 1)]


def _named(names: Sequence[str], row: Sequence[object]) -> dict[str, object]:
    """Return the row by names. Of a line that is too short the missing fields are absent: a required one is then missing."""
    record: dict[str, object] = dict(zip(names, row, strict=False))
    return record if len(row) <= len(names) else {**record, REST: list(row[len(names) :])}


def _xlsx(data: bytes, form: Format, largest: int) -> Iterator[bytes]:
    import openpyxl  # noqa: PLC0415 - a fifth of a second in every process that reads no spreadsheet

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unfolded = sum(one.file_size for one in archive.infolist())
        if unfolded > largest * UNZIPPED_TIMES:
            raise InputError("E-FILE-014", "$", f"unfolds to {unfolded} bytes", "split the spreadsheet")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise InputError("E-FILE-014", "$", f"no spreadsheet: {type(error).__name__}", "save it as .xlsx") from None
    try:
        if form.sheet is not None and form.sheet not in book.sheetnames:
            raise InputError("E-FILE-014", "$", f"no sheet {shown(form.sheet)}", did_you_mean(form.sheet, book.sheetnames))
        sheet = book[form.sheet] if form.sheet else book.worksheets[0]
        names: list[str] | None = None
        for row in sheet.iter_rows(values_only=True):
            if all(value is None for value in row):
                continue
            if names is None:
                names = _names(row) if form.header else [str(at) for at in range(1, len(row) + 1)]
                if form.header:
                    continue
            yield record_text(_named(names, row))
    finally:
        book.close()


def _xml(data: bytes, form: Format) -> Iterator[bytes]:
    try:
        root = root_of(data)
    except NotXml as error:
        raise InputError("E-FILE-015", "$", str(error), "correct the file") from None
    steps = [step for step in form.record.split("/") if step]
    if steps and steps[0] == _tag(root):
        steps = steps[1:]
    found = [root]
    for step in steps:
        found = [child for one in found for child in one if _tag(child) == step]
    yield from (record_text(_fields(one, form.lists)) for one in (found if steps else list(root)))


def _fields(element: etree._Element, lists: frozenset[str]) -> dict[str, object]:
    """Return an element as an object: @attributes, its children by name, and #text beside them."""
    record: dict[str, object] = {f"@{_name(str(name))}": value for name, value in element.attrib.items()}
    times = Counter(_tag(child) for child in element)
    for child in element:
        name = _tag(child)
        value = _fields(child, lists) if len(child) or child.attrib else (child.text or "").strip()
        if times[name] > 1 or name in lists:
            several = record.setdefault(name, [])
            if isinstance(several, list):
                several.append(value)
        else:
            record[name] = value
    text = (element.text or "").strip()
    return {**record, "#text": text} if text else record


def _tag(element: etree._Element) -> str:
    return _name(str(element.tag))


def _name(name: str) -> str:
    """Return a name without its namespace."""
    return name.rpartition("}")[2]


def _json(data: bytes, form: Format) -> Iterator[bytes]:
    try:
        start, end = value_at(data, form.record)
        if data[start:end].startswith(b"{"):
            yield data[start:end]
        else:
            yield from records_of(data, form.record).records
    except CutShort:
        raise InputError("E-FILE-016", "$", "the file ends in the middle", "write it whole") from None
    except NotThere as error:
        raise InputError("E-FILE-016", f"$.{form.record}", f"{error} where a list is expected", "correct records") from None
