"""Cells of spreadsheets: what a person exports must not run as a formula where it is opened."""

from __future__ import annotations

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


def safe(cell: str) -> str:
    """Return the cell so that no spreadsheet runs it: what starts like a formula gets an apostrophe in front."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
