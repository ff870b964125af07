"""The words that the query of a reading may hold where it reads tables or files instead of sending requests."""

from __future__ import annotations

TABLE_OF_TABLES = "table_of_tables"
SHAPES = (TABLE_OF_TABLES,)
FILE_FORMATS = ("csv", "xlsx", "xml", "json", "jsonl")
SHAPE_WORDS = frozenset({"shape", "table", "key_field"})
FILE_WORDS = SHAPE_WORDS | {
    "format", "delimiter", "encoding", "header", "sheet", "record", "lists", "companion", "files",
}  # fmt: skip
SQL_WORDS = SHAPE_WORDS | {"schema", "order_by"}
"""What a query of a database says besides the values of columns."""
