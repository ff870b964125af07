"""Which module brings which commands."""

from __future__ import annotations

import typer

from erpcrm_orchestration.cli import config, database, datasets, demo, doctor, dossier, mails, refresh, status, tasks, up


def register(app: typer.Typer) -> None:
    """Attach every command of the program."""
    app.command("migrate")(database.migrate_command)
    app.add_typer(database.app, name="db")
    app.add_typer(config.app, name="config")
    app.add_typer(dossier.app, name="dossier")
    app.command("up")(up.up_command)
    app.command("env")(up.env_command)
    app.command("demo")(demo.demo_command)
    app.command("doctor")(doctor.doctor_command)
    app.command("refresh")(refresh.refresh_command)
    app.command("status")(status.status_command)
    app.add_typer(mails.app, name="mails")
    app.add_typer(datasets.app, name="datasets")
    app.add_typer(tasks.app, name="tasks")
