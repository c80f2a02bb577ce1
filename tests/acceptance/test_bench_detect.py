"""`holdtrue bench detect` and `bench repair` in a small form: they find what is planted, and they can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.local.stack import Stack

SMALL = ("--rows", "600", "--changes-per-second", "200", "--planted", "7")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("holdtrue"))
    return subprocess.run(
        (program, "--format", "json", "bench", *words),
        env=os.environ, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def bench(stack: Stack, *words: str, code: int) -> dict[str, Any]:
    """The answer of a benchmark that must end with this exit code."""
    done = run(*words, "--data-dir", str(stack.data))
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("detect", "--classes", "scrubbed,guessed"), "guessed"),
        (("detect", "--classes", ""), "just_written"),
        (("detect", "--classes", "replica_log", "--checks", "off", "--repair", "none"), "--checks scrub"),
        (("detect", "--rows", "1000", "--planted", "200"), "--rows"),
        (("detect", "--checks", "off"), "--repair none"),
        (("repair", "--rows", "1000"), "--rows"),
    ],
)
def test_what_measures_nothing_is_a_usage_error(words: tuple[str, ...], said: str) -> None:
    """Exit 2, before any server is asked."""
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.stack
def test_the_worker_finds_and_repairs_what_is_planted_and_a_false_alarm_is_counted(shared_stack: Stack) -> None:
    """Every fault of every class; exit 3 all the same, for one report of a key that was right."""
    ways = ("--scrub-period", "4", "--false-alarms", "1")
    found = bench(shared_stack, "detect", *SMALL, "--seconds", "2", *ways, code=3)
    for each in found["classes"].values():
        assert (each["planted"], each["found"], each["resolved"]) == (7, 7, 7)
    assert found["scrub_age_seconds_max"] > 0
    assert (found["false_positives"], found["differing"], len(found["wrong"])) == (1, 0, 1)


@pytest.mark.stack
@pytest.mark.long
def test_what_is_planted_is_found_and_ends(shared_stack: Stack) -> None:
    """By validations and ordered repairs: every fault of every class, and nothing else."""
    ways = ("--checks", "runs", "--repair", "ordered", "--scrub-period", "60")
    found = bench(shared_stack, "detect", *SMALL, "--seconds", "5", *ways, code=0)
    assert found["left_out"].keys() == {"replica_log"}
    assert found["classes"].keys() == {"just_written", "scrubbed"}
    for each in found["classes"].values():
        assert (each["planted"], each["found"], each["resolved"]) == (7, 7, 7)
        assert 0 < each["detection_seconds_p50"] <= each["detection_seconds_p99"]
        assert each["resolved_seconds_p99"] > 0
    assert (found["false_positives"], found["opened_again"], found["differing"]) == (0, 0, 0)
    assert found["changes_per_second"] > 0


@pytest.mark.stack
@pytest.mark.long
def test_who_follows_the_log_finds_every_fault_before_the_scrub_comes_by(shared_stack: Stack) -> None:
    """Also a row under a token that its author raised himself."""
    ways = ("--classes", "replica_log", "--scrub-period", "3600")
    found = bench(shared_stack, "detect", *SMALL, "--seconds", "5", *ways, code=0)
    assert found["left_out"] == {}
    told = found["classes"]["replica_log"]
    assert (told["planted"], told["found"], told["resolved"]) == (7, 7, 7)
    assert told["detection_seconds_p50"] < 10
    assert found["false_positives"] == 0


@pytest.mark.stack
@pytest.mark.long
def test_where_nobody_looks_nothing_is_found_and_a_false_alarm_is_counted(shared_stack: Stack) -> None:
    """The benchmark itself can fail: exit 3, every fault missed, the report for nothing among the false positives."""
    ways = ("--checks", "off", "--repair", "none", "--false-alarms", "1")
    found = bench(shared_stack, "detect", *SMALL, "--seconds", "2", *ways, code=3)
    assert [each["found"] for each in found["classes"].values()] == [0, 0]
    assert [each["missed"] for each in found["classes"].values()] == [7, 7]
    assert found["false_positives"] == 1
    assert len(found["wrong"]) == 2


@pytest.mark.stack
@pytest.mark.long
def test_many_keys_are_repaired_and_no_other_one_is_touched(shared_stack: Stack) -> None:
    """All resolved in time, and every key that nobody wrote compared before and after."""
    found = bench(shared_stack, "repair", "--rows", "1500", "--keys", "140", "--changes-per-second", "100", code=0)
    assert (found["keys"], found["found"], found["resolved"]) == (140, 140, 140)
    assert 0 < found["resolved_seconds_p50"] <= found["resolved_seconds_max"] < 30
    assert found["others_compared"] > 140
    assert (found["others_touched"], found["differing"], found["false_positives"]) == (0, 0, 0)
