"""What may stand after the question mark: bounded, known words, and nothing twice."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field

from erpcrm_orchestration.board.faults import Denied, Refused

DEEPEST_PAGE = 10_000


class Paged(BaseModel):
    """A page of rows: `page` counts from 1."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(1, ge=1, le=DEEPEST_PAGE)
    size: int = Field(50, ge=1, le=200)

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size


SearchText = Annotated[str, Query(max_length=100)]


async def require_single(request: Request) -> None:
    """Raise Refused 422 for a parameter that is given twice, Denied for a dossier that is: neither says which one is meant."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in set(names):
        if names.count(name) > 1:
            if name == "dossier":
                raise Denied
            raise Refused(422, "E-WEB-101", name[:40], "given twice", "give it once")


def pages_of(total: int, size: int) -> int:
    """Return how many pages there are, one at least."""
    return max(-(-total // size), 1)
