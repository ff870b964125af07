"""What every connector must pass, against its real system or a simulated one: subclass it and give the fixture `system`.

class TestTryton(Conformance):
    @pytest.fixture
    def system(self) -> SystemUnderTest: ...

A system that cannot do something says so in `cannot`; the statement is then skipped with that reason.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from erpcrm_orchestration.domain.connection import ChangeMode, ConnectorEntity
from erpcrm_orchestration.domain.errors import CredentialsRefused, SourceError, TransientFailure
from erpcrm_orchestration.domain.received import Change, ConnectorClient, Page, Received, Span, UnknownOutcome

START = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


class SystemUnderTest(Protocol):
    """What a test does to a system behind the client's back. Ids are the system's, as text.

    `cannot` says why not, by word: fetch, create, update, change, equal_times, transient, lost_answer, credentials, spoil.
    """

    entity: ConnectorEntity
    page_size: int
    secrets: Collection[str]
    cannot: Mapping[str, str]
    update: Mapping[str, object]
    """Values of ours whose update makes the record hold the word `completed`."""

    def client(self, *, wrong_credentials: bool = False) -> ConnectorClient: ...
    def add(self, at: datetime) -> str: ...
    def change(self, record: str, at: datetime) -> None: ...
    def spoil(self, record: str) -> None:
        """Make the record one that must be refused."""
        ...

    def fail_next(self) -> None:
        """Answer the next request with a failure that passes."""
        ...

    def lose_next_answer(self) -> None:
        """Carry out the next request, and lose its answer."""
        ...

    def effects(self) -> int:
        """Return how many records were created by writes."""
        ...


class Conformance:
    """The statements. Each opens its own client."""

    def test_everything_is_read_with_different_ids_and_its_text(self, system: SystemUnderTest) -> None:
        added = {system.add(START + timedelta(seconds=number)) for number in range(2 * system.page_size + 1)}
        records = read(system, Span())
        assert {one.source_id for one in records} == added
        assert len(records) == len(added)
        assert all(one.payload and one.fault is None for one in records)

    def test_an_empty_system_gives_no_record_and_no_failure(self, system: SystemUnderTest) -> None:
        assert read(system, Span()) == []

    def test_only_what_changed_is_read_the_next_time(self, system: SystemUnderTest) -> None:
        needs(system, "change")
        old = [system.add(START + timedelta(minutes=number)) for number in range(system.page_size + 2)]
        at = START + timedelta(days=1)
        system.change(old[0], at)
        assert [one.source_id for one in read(system, Span(after=at - timedelta(minutes=2)))] == [old[0]]

    def test_what_was_added_is_read_after_the_last_key(self, system: SystemUnderTest) -> None:
        if reading_mode(system) is not ChangeMode.APPEND:
            pytest.skip("not append-only")
        old = [system.add(START) for _ in range(3 * system.page_size)]
        new = system.add(START)
        ids = [one.source_id for one in read(system, Span(last_key=old[-1]))]
        assert new in ids
        assert len(ids) <= 2 * system.page_size

    def test_b8_f24_equal_instants_across_a_page_border_are_all_read(self, system: SystemUnderTest) -> None:
        needs(system, "equal_times")
        added = {system.add(START) for _ in range(system.page_size + 2)}
        assert {one.source_id for one in read(system, Span(after=START - timedelta(minutes=2)))} == added

    def test_f24_what_was_committed_late_is_read_in_the_overlap(self, system: SystemUnderTest) -> None:
        needs(system, "change")
        system.add(START)
        late = system.add(START - timedelta(seconds=100))
        assert late in {one.source_id for one in read(system, Span(after=START - timedelta(seconds=120)))}

    def test_the_same_record_gives_the_same_version_and_text_twice(self, system: SystemUnderTest) -> None:
        system.add(START)
        assert read(system, Span()) == read(system, Span())

    def test_one_record_is_fetched_as_it_is_in_the_list(self, system: SystemUnderTest) -> None:
        needs(system, "fetch")
        record = system.add(START)
        client = system.client()
        fetched = client.fetch(system.entity, record)
        client.close()
        assert fetched is not None
        assert (fetched.source_id, fetched.version_at, fetched.fault) == (record, read(system, Span())[0].version_at, None)

    def test_b29_a_record_that_is_not_there_is_none(self, system: SystemUnderTest) -> None:
        needs(system, "fetch")
        client = system.client()
        assert client.fetch(system.entity, "999999") is None
        client.close()

    def test_b29_wrong_credentials_are_refused_and_not_shown(self, system: SystemUnderTest) -> None:
        needs(system, "credentials")
        client = system.client(wrong_credentials=True)
        with pytest.raises(CredentialsRefused) as refused:
            list(client.pages(system.entity, Span()))
        client.close()
        assert_no_secret(system, refused.value)

    def test_f18_a_failure_that_passes_loses_nothing(self, system: SystemUnderTest) -> None:
        needs(system, "transient")
        added = {system.add(START) for _ in range(system.page_size + 1)}
        system.fail_next()
        found: set[str] = set()
        for _ in range(2):
            try:
                found = {one.source_id for one in read(system, Span())}
                break
            except TransientFailure as failure:
                assert_no_secret(system, failure)
        assert found == added

    def test_f31_a_bad_record_is_refused_alone(self, system: SystemUnderTest) -> None:
        needs(system, "spoil")
        good, bad, last = (system.add(START + timedelta(seconds=number)) for number in range(3))
        system.spoil(bad)
        records = read(system, Span())
        assert {one.source_id for one in records if one.fault is None} == {good, last}
        (refused,) = [one for one in records if one.fault is not None]
        assert refused.payload
        assert str(refused.fault).startswith("E-SRC-")

    def test_a_write_happens_once_per_key(self, system: SystemUnderTest) -> None:
        needs(system, "create")
        first, again = write(system, doubtful=False), write(system, doubtful=True)
        assert (first, system.effects()) == (again, 1)

    def test_f30_a_lost_answer_is_unknown_and_then_found(self, system: SystemUnderTest) -> None:
        needs(system, "lost_answer")
        system.lose_next_answer()
        with pytest.raises(UnknownOutcome) as unknown:
            write(system, doubtful=False)
        assert_no_secret(system, unknown.value)
        assert write(system, doubtful=True) is not None
        assert system.effects() == 1

    def test_an_update_changes_what_is_there(self, system: SystemUnderTest) -> None:
        needs(system, "update")
        record = system.add(START)
        client = system.client()
        written = client.write(Change(system.entity, record, system.update, "key-update"))
        client.close()
        assert (written.external_id, written.conflict, system.effects()) == (record, None, 0)
        assert "completed" in next(one.payload for one in read(system, Span()) if one.source_id == record)


def needs(system: SystemUnderTest, word: str) -> None:
    """Skip the test when the system cannot do it."""
    if word in system.cannot:
        pytest.skip(system.cannot[word])


def read(system: SystemUnderTest, span: Span) -> list[Received]:
    """Return every record that the client hands over for the span."""
    return [record for page in read_pages(system, span) for record in page.records]


def read_pages(system: SystemUnderTest, span: Span) -> list[Page]:
    """Return the pages that the client hands over for the span."""
    client = system.client()
    try:
        return list(client.pages(system.entity, span))
    finally:
        client.close()


def write(system: SystemUnderTest, *, doubtful: bool) -> str | None:
    """Create a record with a key that is always the same; return its id."""
    client = system.client()
    try:
        values = {"status": "shipped", "total": "12.50"}
        return client.write(Change(system.entity, None, values, "key-create", doubtful)).external_id
    finally:
        client.close()


def reading_mode(system: SystemUnderTest) -> ChangeMode:
    assert system.entity.read is not None
    return system.entity.read.mode


def assert_no_secret(system: SystemUnderTest, error: SourceError | UnknownOutcome) -> None:
    """P8: neither the error nor what a traceback shows of it holds a credential."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert not [secret for secret in system.secrets if secret in shown]
