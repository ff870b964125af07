"""Which module brings which commands."""

from __future__ import annotations

import typer

from erpcrm_orchestration.cli import database


def register(app: typer.Typer) -> None:
    """Attach every command of the program."""
    app.command("migrate")(database.migrate_command)
    app.add_typer(database.app, name="db")
