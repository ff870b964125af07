"""What may stand after the question mark: bounded, known words, and nothing twice."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field

from erpcrm_orchestration.board.faults import Denied, Refused

DEEPEST_PAGE = 10_000


Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
"""A number that the database gave."""


class Paged(BaseModel):
    """A page of rows: `page` counts from 1."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(1, ge=1, le=DEEPEST_PAGE)
    size: int = Field(50, ge=1, le=200)

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    def counted(self, total: int) -> dict[str, int]:
        """Return what every page says of itself: how many rows match, which page it is, of how many; one at least."""
        return {"total": total, "page": self.page, "pages": max(-(-total // self.size), 1)}


class Counted(BaseModel):
    """What every page says of itself; `total` counts all that match."""

    total: int
    page: int
    pages: int


SearchText = Annotated[str, Query(max_length=100)]


async def require_single(request: Request) -> None:
    """Raise Refused 422 for a parameter that is given twice, Denied for a dossier that is: neither says which one is meant."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in set(names):
        if names.count(name) > 1:
            if name == "dossier":
                raise Denied
            raise Refused(422, "E-WEB-101", name[:40], "given twice", "give it once")
