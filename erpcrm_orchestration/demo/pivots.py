"""The agents' pivot files: good interventions, one with a missing field, one of an unknown type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lxml import etree


@dataclass
class PivotFolder:
    """Writes `<code>/<name>.DHUB` below `folder`, companions first and the pivot last and whole, as agents do."""

    folder: Path
    written: int = 0

    def found(self, codes: tuple[str, ...], now: datetime) -> None:
        """Create the folders and the first files."""
        for code in codes:
            (self.folder / code).mkdir(parents=True, exist_ok=True)
        for name in ("mobile_sync", "sister_company"):
            (self.folder / "calls" / name).mkdir(parents=True, exist_ok=True)
        self.intervention("998", now)
        self.intervention("998", now, without="Tiers")
        self.write("998", now, "PREVPDP", {"Article": "PAC-12", "Quantite": "4.5"})
        self.intervention("001", now, state="OPEN")

    def intervention(self, code: str, now: datetime, *, state: str = "CLOSED", without: str | None = None) -> None:
        """Write an intervention report with its signed sheet as companion."""
        fields = {
            "InterventionNo": f"INT{now:%H%M%S}{self.written:03}",
            "Tiers": "C00042",
            "DateIntervention": f"{now:%Y%m%d}",
            "DureeHeures": "1.5",
            "Statut": state,
        }
        self.write(code, now, "INTERVENTION", {name: value for name, value in fields.items() if name != without}, sheet=True)

    def write(self, code: str, now: datetime, kind: str, fields: dict[str, str], *, sheet: bool = False) -> None:
        """Write one pivot file."""
        self.written += 1
        folder = self.folder / code
        stem = f"{kind}_{now:%Y%m%d%H%M%S}_{self.written:03}"
        if sheet:
            (folder / f"{stem}.txt").write_text("Bon d'intervention signé\n", encoding="utf-8")
        root = etree.Element("DataHub", DataSetType=kind)
        for name, value in fields.items():
            etree.SubElement(root, name).text = value
        part = folder / f"{stem}.part"
        part.write_bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))
        part.rename(folder / f"{stem}.DHUB")
