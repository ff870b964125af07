"""The client of kind `files`: every row or element of the files of a folder is a record. Nothing in it is ever changed.

Which files were read is not remembered: they are read again, and the inbox tells by id and content what is new. The newer
file counts where two hold the same record. In a snapshot the newest file alone is what the system holds, or all with
`files: all`; a file that is no good then stops the reading, so that nothing is deleted because of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from erpcrm_orchestration.clients.file_folder import FileFolder, FoundFile
from erpcrm_orchestration.clients.file_format import format_of, records_in
from erpcrm_orchestration.clients.frame import ClientFrame
from erpcrm_orchestration.clients.plain_json import record_text
from erpcrm_orchestration.clients.rest_record import faulty, received
from erpcrm_orchestration.clients.table_shape import is_shaped, shaped
from erpcrm_orchestration.domain.clock import Clock, SystemClock
from erpcrm_orchestration.domain.connection import ChangeMode, Connection, Connector, ConnectorEntity, Reading
from erpcrm_orchestration.domain.errors import ErpcrmError, InputError, PermanentFailure, TransientFailure
from erpcrm_orchestration.domain.key_order import key_order
from erpcrm_orchestration.domain.received import Change, Page, Received, Span, Written
from erpcrm_orchestration.domain.secret import resolve
from erpcrm_orchestration.domain.strict_json import loads
from erpcrm_orchestration.domain.values import shown


class FilesClient(ClientFrame):
    """A ConnectorClient for the kind `files`. The folder is the option `folder`, else the url of the connection."""

    def __init__(
        self, connector: Connector, connection: Connection, environment: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        """Raise PermanentFailure E-CFG-046 for a missing secret."""
        self._connection = connection
        self.where = f"connection {connection.connection_code}"
        self._largest = connector.max_answer_mb * 1_000_000
        try:
            address = resolve(connection.options.get("folder") or connection.url, environment, where=f"{self.where} folder")
            options = {
                name: resolve(value, environment, where=f"{self.where} credential {name}")
                for name, value in connection.credentials.items()
            }
        except InputError as error:
            raise PermanentFailure(error.code, error.where, error.found, error.remedy) from None
        self._folder = FileFolder(address, options, self.where, clock or SystemClock())

    def close(self) -> None:
        """Nothing is held open between two files."""

    def pages(self, entity: ConnectorEntity, span: Span) -> Iterator[Page]:
        """Yield the records of the files, the newest file first; each record once."""
        reading = self._reading(entity)
        last = key_order(span.last_key) if reading.mode is ChangeMode.APPEND and span.last_key is not None else None
        page: list[Received] = []
        for record in self._records(entity, reading):
            if last is not None and record.fault is None and key_order(record.source_id) <= last:
                continue
            page.append(record)
            if len(page) >= reading.paging.size:
                yield Page(page)
                page = []
        if page:
            yield Page(page)

    def fetch(self, entity: ConnectorEntity, source_id: str) -> Received | None:
        """Return one record as the newest file holds it, None when no file does."""
        return next((one for one in self._records(entity, self._reading(entity)) if one.source_id == source_id), None)

    def write(self, change: Change) -> Written:
        """Refuse: files of others are never written."""
        where = f"{self.where} {change.entity.name}"
        raise PermanentFailure("E-SRC-053", where, "a folder is not written", "leave `write` out of the connector")

    def look(self, change: Change) -> str | None:
        """Refuse: nothing is ever created here."""
        self.write(change)
        return None

    def _records(self, entity: ConnectorEntity, reading: Reading) -> Iterator[Received]:
        where = f"{self.where} {entity.name}"
        seen: set[tuple[str, object]] = set()
        for one in reversed(self._files(reading, where)):
            told: set[tuple[str, object]] = set()
            for record in self._of_file(one, reading, where):
                mark = (record.source_id, record.version_at)
                told.add(mark)
                if mark not in seen:
                    yield record
            seen |= told

    def _files(self, reading: Reading, where: str) -> list[FoundFile]:
        """Return the files to be read, the newest last; a snapshot without a complete newest file is none."""
        query = reading.pages.query
        pattern = reading.pages.path.lstrip("/") or self._connection.options.get("pattern", "*")
        found = self._folder.files(pattern, query.get("companion"))
        if reading.mode is not ChangeMode.SNAPSHOT:
            return [one for one in found if one.is_complete]
        if not found:
            raise PermanentFailure("E-FILE-007", where, f"no file {shown(pattern)}", "a snapshot needs one: nothing is deleted")
        taken = found if query.get("files") == "all" else found[-1:]
        unfinished = [one.name for one in taken if not one.is_complete]
        if unfinished:
            raise self._unfinished(where, unfinished[0])
        return taken

    def _of_file(self, one: FoundFile, reading: Reading, where: str) -> Iterator[Received]:
        place = f"{where} file {shown(one.name)}"
        digest = hashlib.sha256(f"{one.name} {one.size}".encode())
        try:
            data = self._folder.read(one, self._largest)
            if data is None and reading.mode is ChangeMode.SNAPSHOT:
                raise self._unfinished(where, one.name)
            if data is None:
                return
            digest.update(data)
            form = format_of(reading.pages.query, reading.records)
            yield from _once(self._parsed(records_in(data, one.name, form, self._largest), reading, place), reading)
        except (InputError, PermanentFailure) as error:
            if reading.mode is ChangeMode.SNAPSHOT or error.code == "E-SRC-062":
                raise PermanentFailure(error.code, f"{place} {error.where}", error.found, error.remedy) from None
            yield _refused(one, digest.hexdigest(), error, place)

    def _parsed(self, raws: Iterator[bytes], reading: Reading, place: str) -> Iterator[Received]:
        if not is_shaped(reading, place):
            yield from (received(raw, reading) for raw in raws)
            return
        rows = (row for raw in raws if isinstance(row := loads(raw), dict))
        yield from shaped(rows, reading)

    def _unfinished(self, where: str, name: str) -> TransientFailure:
        return TransientFailure("E-FILE-006", where, f"file {shown(name)} is being written", "it is read at the next pass")


def _once(records: Iterator[Received], reading: Reading) -> Iterator[Received]:
    """Yield the records of a file; of two with one id and version and other content the later is refused."""
    seen: dict[tuple[str, object], str] = {}
    for record in records:
        mark = (record.source_id, record.version_at)
        first = seen.setdefault(mark, record.payload)
        if first is record.payload or record.fault is not None:
            yield record
        elif first != record.payload:
            found = f"the id {record.source_id} stands twice in one file with different content"
            yield faulty(record, "E-SRC-017", f"$.{reading.record_id}", found)


def _refused(one: FoundFile, digest: str, error: ErpcrmError, place: str) -> Received:
    """Return a file that is no good as a record of its own, so that it is seen; its neighbours are read."""
    text = record_text({"file": one.name, "size": one.size}).decode("utf-8", "replace")
    fault = str(PermanentFailure(error.code, f"{place} {error.where}", error.found, error.remedy))
    return Received(f"?{digest[:32]}", text, fault=fault)
