"""Conflicts of fields on the board: shown with what each holds, decided once, and never on what is not shown any more."""

from __future__ import annotations

import pytest

from tests.board_house import House, text_of
from tests.postgres.test_conflicts import Pair, pair

__all__ = ["pair"]

REASON = "the customer wrote to us"


@pytest.fixture
def number(pair: Pair) -> int:
    """A conflict: the shop calls the customer Annette, the CRM Anna."""
    pair.meet()
    return pair.differ()


def test_a_conflict_is_shown_and_decided_and_both_systems_are_told(pair: Pair, number: int, house: House) -> None:
    guest = house.guest({"998": "operate"})
    words = text_of(guest.get("/conflicts"))
    assert "first_name" in words
    (line,) = guest.get("/api/v1/conflicts?dossier=998").json()
    assert {line["our_value"], line["their_value"]} == {"Annette", "Anna"}
    shown = {name: line[name] for name in ("our_value", "their_value")}
    assert "Decide" not in text_of(house.guest({"998": "view"}).get("/conflicts"))
    answer = guest.post(f"/conflicts/998/{number}", {**shown, "whose": "value", "value": "Ann", "reason": REASON})
    assert answer.status_code == 303
    pair.rounds(2)
    assert pair.names() == ("Ann", "Ann", "Ann")
    (row,) = pair.company.rows("audit.correction", action="decide")
    assert (row["actor"], row["reason"]) == (guest.login, REASON)
    again = guest.post(f"/conflicts/998/{number}", {**shown, "whose": "ours", "reason": REASON})
    assert again.status_code == 422


def test_what_was_not_shown_is_not_decided(pair: Pair, number: int, house: House) -> None:
    guest = house.guest({"998": "operate"})
    order = {"whose": "ours", "reason": REASON, "our_value": "somebody", "their_value": "Anna"}
    answer = guest.call(f"/api/v1/conflicts/998/{number}", order)
    assert answer.status_code == 409
    assert answer.json()["errors"][0].startswith("E-COR-032")
    assert pair.company.rows("audit.correction") == []
    assert guest.post(f"/conflicts/998/{number}", {**order, "reason": " "}).status_code == 422
