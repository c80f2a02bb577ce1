"""The alert rules: what promtool says of them, and that each leads somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import streams.agents.keeper
import streams.control.gauges
import streams.metrics

ROOT = Path(__file__).parents[3]
RULES = ROOT / "ops/alerts/holdtrue.rules.yaml"
TESTS = sorted((ROOT / "ops/alerts/tests").glob("*.yaml"))


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing: install the packages in ops/ci-packages.txt")
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)


def test_promtool_accepts_the_rules() -> None:
    """Syntax, templates, duplicates."""
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_each_rule_fires_when_it_must_and_only_then(file: Path) -> None:
    """The series and expected alerts in ops/alerts/tests."""
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_test() -> None:
    """A rule nobody has seen firing is no alert."""
    tested = {
        case["alertname"]
        for file in TESTS
        for group in yaml.safe_load(file.read_text())["tests"]
        for case in group["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert {rule["alert"] for rule in rules()} == tested


def test_every_rule_says_what_happened_and_leads_to_a_section_of_the_manual() -> None:
    """runbook_url points to a heading that is there."""
    for rule in rules():
        assert rule["annotations"]["summary"]
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, rule["alert"]


def test_every_metric_a_rule_names_is_served() -> None:
    """A rule over a metric that does not exist never fires."""
    assert streams.control.gauges.LAG_BOUND_SECONDS
    assert streams.agents.keeper.CONNECTOR_RUNNING
    served = set(REGISTRY._names_to_collectors)  # also those that are absent until something is known
    for rule in rules():
        for name in re.findall(r"holdtrue_\w+", rule["expr"]):
            assert name in served, name


def test_the_packages_for_ci_name_the_one_that_has_promtool() -> None:
    """One Debian package a line."""
    assert (ROOT / "ops/ci-packages.txt").read_text().split() == ["prometheus"]
