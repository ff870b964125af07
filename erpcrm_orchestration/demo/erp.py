"""The simulated ERP: the tables that config/sources.yaml maps, filled like those of a company at work."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

DATABASE = "meridian_erp"

metadata = sa.MetaData()
Instant = sa.DateTime(timezone=True)

logbook = sa.Table(
    "LIVRE_DE_BORD",
    metadata,
    sa.Column("LDB_NO", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("DOSSIER", sa.String(16), nullable=False),
    sa.Column("HORODATAGE", Instant, nullable=False),
    sa.Column("SYNCHRO_NO", sa.String(40)),
    sa.Column("PROGRAMME", sa.String(40)),
    sa.Column("ACTION", sa.String(40), nullable=False),
    sa.Column("RESULTAT", sa.String(8), nullable=False),
    sa.Column("NB_REJETS", sa.Integer, nullable=False, server_default="0"),
    sa.Column("MESSAGE", sa.String(400)),
    sa.Index("LIVRE_DE_BORD_I1", "DOSSIER", "HORODATAGE", "LDB_NO"),
)
dataset = sa.Table(
    "DATASET",
    metadata,
    sa.Column("DHBNO", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("DOSSIER", sa.String(16), nullable=False),
    sa.Column("DATASETTYPE", sa.String(16), nullable=False),
    sa.Column("ORIGINE", sa.String(8), nullable=False),
    sa.Column("ETAT", sa.String(16), nullable=False),
    sa.Column("CREE_LE", Instant, nullable=False),
    sa.Column("MODIFIE_LE", Instant, nullable=False),
    sa.Column("ERREUR", sa.String(400)),
    sa.Index("DATASET_I1", "DOSSIER", "MODIFIE_LE", "DHBNO"),
)
task = sa.Table(
    "INTER_TACHE",
    metadata,
    sa.Column("TACHE_NO", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("DOSSIER", sa.String(16), nullable=False),
    sa.Column("HORODATAGE", Instant, nullable=False),
    sa.Column("NATURE", sa.String(40), nullable=False),
    sa.Column("TIERS", sa.String(20)),
    sa.Column("PIECE", sa.String(20)),
    sa.Column("MONTANT", sa.Numeric(14, 2)),
    sa.Index("INTER_TACHE_I1", "DOSSIER", "HORODATAGE", "TACHE_NO"),
)

LIVELY = ("998", "340")
LATE_BY = timedelta(minutes=95)
EVERY = timedelta(minutes=15)


@dataclass
class SimulatedErp:
    """Writes what the agents and the users of the ERP would; `chance` is seeded, so that a demo can be told again."""

    engine: sa.Engine
    chance: random.Random = field(default_factory=lambda: random.Random(998))  # noqa: S311 - a simulation

    def found(self, now: datetime) -> None:
        """Create the tables and the past: a day of synchronisations, a late dossier, open and failed datasets."""
        metadata.drop_all(self.engine)
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            for code in LIVELY:
                for number in range(48, 0, -1):
                    self._synchronise(connection, code, now - EVERY * number + timedelta(minutes=11))
            for number in range(20):
                self._synchronise(connection, "001", now - LATE_BY - EVERY * number)
            self._datasets(connection, now)
            self._task(connection, "998", now)

    def live(self, now: datetime) -> None:
        """Let one more moment pass: synchronisations, interventions, orders for the sister company."""
        with self.engine.begin() as connection:
            for code in LIVELY:
                self._synchronise(connection, code, now)
                self._dataset(connection, code, self.chance.choice(("INTERVENTION", "TPSAFF", "PCE")), "A_TRAITER", now)
            connection.execute(
                sa.update(dataset)
                .where(dataset.c.ETAT == "A_TRAITER", now - timedelta(seconds=45) > dataset.c.MODIFIE_LE)
                .values(ETAT="PERIME_OK", MODIFIE_LE=now)
            )
            self._task(connection, "998", now)

    def catch_up(self, now: datetime) -> None:
        """Let the agent of the late dossier run again."""
        with self.engine.begin() as connection:
            self._synchronise(connection, "001", now)

    def _synchronise(self, connection: sa.Connection, code: str, at: datetime) -> None:
        number = f"{code}-{at:%Y%m%d%H%M%S}"
        rejected = code == "340" and self.chance.random() < 0.3
        lines = [
            ("EXPORT_AGENT", "OK", 0, "export de l'agent"),
            ("CLIENT", "REJET" if rejected else "OK", 1 if rejected else 0, "code client inconnu" if rejected else None),
            ("WEAVY_URL_FILE", "OK", 0, None),
        ]
        connection.execute(
            sa.insert(logbook),
            [
                {
                    "DOSSIER": code,
                    "HORODATAGE": at + timedelta(seconds=position),
                    "SYNCHRO_NO": number,
                    "PROGRAMME": "WAVY_IMPORT",
                    "ACTION": action,
                    "RESULTAT": outcome,
                    "NB_REJETS": rejects,
                    "MESSAGE": message,
                }
                for position, (action, outcome, rejects, message) in enumerate(lines)
            ],
        )

    def _datasets(self, connection: sa.Connection, now: datetime) -> None:
        for code in ("998", "001", "340"):
            for number in range(60):
                kind = ("INTERVENTION", "TPSAFF", "PCE", "TRF")[number % 4]
                self._dataset(connection, code, kind, "PERIME_OK", now - timedelta(minutes=20 * number))
        self._dataset(connection, "998", "INTERVENTION", "ERREUR", now - timedelta(minutes=5), "article inconnu: PAC-12")
        self._dataset(connection, "340", "PCE", "EN_ATTENTE", now - timedelta(minutes=9))
        self._dataset(connection, "340", "TPSAFF", "ERREUR", now - timedelta(minutes=7), "affaire close: 2026-117")

    def _dataset(
        self, connection: sa.Connection, code: str, kind: str, state: str, at: datetime, error: str | None = None
    ) -> None:
        row = {"DOSSIER": code, "DATASETTYPE": kind, "ORIGINE": "CRM", "ETAT": state, "CREE_LE": at, "MODIFIE_LE": at}
        connection.execute(sa.insert(dataset).values(**row, ERREUR=error))

    def _task(self, connection: sa.Connection, code: str, at: datetime) -> None:
        number = self.chance.randrange(10_000)
        connection.execute(
            sa.insert(task).values(
                DOSSIER=code,
                HORODATAGE=at,
                NATURE="COMMANDE",
                TIERS=f"C{number:05}",
                PIECE=f"CDE{number:05}",
                MONTANT=number / 4,
            )
        )
