"""Settings of Dagster that a company brings: what they replace and what stays; servers as the documentation has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from erpcrm_orchestration.cli.deployment import DAGSTER_SETTINGS, Deployment
from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.config.rules import check
from erpcrm_orchestration.domain.errors import InputError

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = ("servers-on-celery.md", "servers-on-kubernetes.md")


def files_of(page: str) -> dict[str, str]:
    """Return the YAML files of a page by their names."""
    found = re.findall(r"^```yaml (\S+)\n(.*?)^```$", (HOW_TO / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


def written(tmp_path: Path) -> dict[str, object]:
    """Return the dagster.yaml of a deployment."""
    deployment = Deployment(tmp_path / "home", sa.make_url("postgresql+psycopg:///erpcrm"), 0)
    deployment.write_files()
    found: dict[str, object] = yaml.safe_load((deployment.dagster_home / "dagster.yaml").read_text(encoding="utf-8"))
    return found


def test_a_key_of_the_company_takes_the_place_of_ours_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = written(tmp_path)
    own = tmp_path / "own.yaml"
    own.write_text("run_launcher: {module: a, class: B}\n", encoding="utf-8")
    monkeypatch.setenv(DAGSTER_SETTINGS, str(own))
    assert written(tmp_path) == {**ours, "run_launcher": {"module": "a", "class": "B"}}


@pytest.mark.parametrize("text", [None, "- a list\n", "{not yaml"])
def test_a_file_that_cannot_be_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    own = tmp_path / "own.yaml"
    if text is not None:
        own.write_text(text, encoding="utf-8")
    monkeypatch.setenv(DAGSTER_SETTINGS, str(own))
    with pytest.raises(InputError, match=r"^E-RUN-008 ERPCRM_DAGSTER_SETTINGS: "):
        written(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_the_servers_of_the_documentation_are_configuration_without_faults(page: str) -> None:
    reading = read_text(files_of(page)["servers.yaml"])
    assert check(reading).errors == ()
    night = next(one for one in reading.configuration.servers if one.server_code == "night")
    if "dagster-k8s/config" in night.tags:
        assert json.loads(night.tags["dagster-k8s/config"])["pod_spec_config"]["node_selector"] == {"pool": "batch"}
    else:
        assert night.tags["dagster-celery/queue"] == "night"
