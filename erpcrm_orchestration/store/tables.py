"""All declared tables together, for the migrations and for what compares the database with them."""

from __future__ import annotations

from erpcrm_orchestration.store import board_schema, integration_schema, routine_schema, schema

DECLARED = (schema, integration_schema, board_schema, routine_schema)
"""The modules that declare tables: importing them is what fills the metadata."""
metadata = schema.metadata
