"""Which module brings which commands."""

from __future__ import annotations

import typer

from erpcrm_orchestration.cli import database, up


def register(app: typer.Typer) -> None:
    """Attach every command of the program."""
    app.command("migrate")(database.migrate_command)
    app.add_typer(database.app, name="db")
    app.command("up")(up.up_command)
    app.command("env")(up.env_command)
