"""The code location: every persisted name, and that it loads with nothing around it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import yaml

from erpcrm_orchestration.checks.supervision import NO_DOSSIER_IS_IN_ALERT, RECOVERY
from erpcrm_orchestration.cli.deployment import MODULE
from erpcrm_orchestration.definitions import defs
from erpcrm_orchestration.partitions import DOSSIERS
from erpcrm_orchestration.services.observation import INSTALLATION_CHECKS

ROOT = Path(__file__).parents[2]


def inventory() -> list[str]:
    """Return every name that outlives the code: it stands in run history, partitions, tags and people's links."""
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    lines = [f"location {MODULE}", f"partitions {DOSSIERS.name}"]
    for key in graph.get_all_asset_keys():
        partitions = graph.get(key).partitions_def
        lines.append(f"asset {key.to_user_string()}" + (f" partitioned by {DOSSIERS.name}" if partitions == DOSSIERS else ""))
    lines += [f"check {key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys]
    lines += [f"job {job.name}" for job in repository.get_all_jobs() if not job.name.startswith("__")]
    lines += [f"sensor {sensor.name}" for sensor in repository.sensor_defs]
    lines += [f"schedule {schedule.name}" for schedule in repository.schedule_defs]
    return sorted(lines)


def test_every_persisted_name_is_in_the_inventory() -> None:
    expected = Path(__file__).with_name("inventory.txt").read_text(encoding="utf-8").splitlines()
    assert inventory() == expected, "a name that changes loses its history: change the inventory and CHANGELOG.md together"


def test_the_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_definitions_load_with_an_empty_environment_and_without_a_database(tmp_path: Path) -> None:
    code = "import erpcrm_orchestration.definitions as d, dagster as dg; dg.Definitions.validate_loadable(d.defs)"
    loaded = subprocess.run([sys.executable, "-c", code], env={}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr


def test_the_definitions_load_from_the_built_wheel(tmp_path: Path) -> None:
    """The wheel holds SQL, migrations, catalogues and Dagster's settings: nothing is read from the checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    code = (
        "import erpcrm_orchestration as e, erpcrm_orchestration.definitions as d, dagster as dg, sys;"
        "dg.Definitions.validate_loadable(d.defs);"
        "from erpcrm_orchestration.store.engine import read_sql; read_sql('refresh_interaction_state');"
        "from erpcrm_orchestration.store.migrate import revisions; revisions() or sys.exit(1);"
        "from importlib.resources import files; files('erpcrm_orchestration.deploy').joinpath('dagster.yaml').read_text();"
        "print(e.__file__)"
    )
    unpacked = tmp_path / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(unpacked)], check=True)
    environment = {"PYTHONPATH": str(unpacked), "PATH": os.environ["PATH"]}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip().startswith(str(unpacked))


def test_every_check_has_a_runbook_page_of_its_name() -> None:
    names = {*RECOVERY, NO_DOSSIER_IS_IN_ALERT, *(check.name for check in INSTALLATION_CHECKS)}
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert names - pages == set()


def test_the_password_never_stands_in_dagsters_settings() -> None:
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings["storage"]["custom"]["config"]["postgres_url"] == {"env": "DAGSTER_PG_URL"}
