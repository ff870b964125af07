"""How a run is told which dossiers it serves."""

import dagster as dg
from pydantic import Field


class DossierSelection(dg.Config):
    """An arbitrary set of dossiers in one run; without it, the partitions of the run, as a backfill gives them."""

    dossiers: list[str] = Field(default=[], description="Dossier codes; empty takes the partitions of the run.")


class Notification(dg.Config):
    """Whether alert mails are sent."""

    notify: bool = Field(default=True, description="False evaluates without mailing: a refresh that a person asked for.")


class DossierRefresh(Notification):
    """The dossiers of one sweep."""

    dossiers: list[str] = Field(description="Dossier codes.")
