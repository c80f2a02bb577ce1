"""Any damage to a plan gives findings, never a crash, and never the plan itself."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.plan.check import check_document
from streams.plan.draft import Draft
from streams.plan.load import Document
from streams.plan.model import Plan
from tests.unit.plan.plans import EXAMPLE

PLAN = yaml.safe_load(EXAMPLE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(Plan.json_schema())
LEFT_OUT = object()
# One in which every optional field says something.
FULL = copy.deepcopy(PLAN)
FULL |= {"documents": {"design": "https://wiki/1"}, "digest_key": {"env": "KEY"}, "monitoring": None}
FULL["source"] |= {"slot": "a", "publication": "b", "signal_table": "holdtrue.signal", "reads_per_second": 9}
FULL["kafka"] |= {"prefix": "p", "topics": "own", "partitions": 2, "replication": 1}
FULL["kafka"]["converter"]["url"] = "http://registry:8080"
FULL["replicas"]["cache"]["absent"] = "allowed"
FULL["replicas"]["reports"] |= {"token_schema": "holdtrue"}
FULL["replicas"]["reports"]["tables"]["public.pgbench_accounts"] = {
    "to": "public.accounts",
    "columns": {"rename": {"filler": "padding"}, "omit": [], "ask": ["abalance"], "compute": {}},
    "where": [{"column": "aid", "op": "in", "value": [1, 2]}, {"column": "bid", "op": "is_null", "value": False}],
    "validation": {"depths": ["counts"], "every": "1h", "sample": None, "scrub_period": None, "thresholds": None},
    "repair": {"automatic": [], "stop_above": 3, "rows_per_second": 5},
    "on_continuity": "continue",
    "drift": {"row_values": False, "hidden_keys": False, "flood_above": 5},
    "windows": None,
    "tombstones": None,
    "join": None,
}
FULL["replicas"]["reports"]["tables"]["public.pgbench_tellers"] = [{}]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["7d", " 7d ", "1h30m", "{a}:{b}", "replicate", "a.b", "9", "http://h:1", "host", {"env": "X"}]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in _places(value, (*path, key)))]


@settings(max_examples=400)
@given(place=st.sampled_from(_places(FULL)[1:]), junk=JUNK)
def test_a_damaged_plan_is_described(place: tuple[Any, ...], junk: Any) -> None:
    """Whatever stands where: no crash, and a plan without blocking findings is one the model takes."""
    document = Document(_replaced(place, junk), {})
    findings = check_document(document)
    if not any(finding.blocks for finding in findings):
        assert Plan.model_validate(Draft(document).data).name


def _replaced(place: tuple[Any, ...], junk: Any) -> Any:
    """The plan with something else there; without it, where that is `LEFT_OUT`."""
    damaged = copy.deepcopy(FULL)
    parent = damaged
    for step in place[:-1]:
        parent = parent[step]
    if junk is LEFT_OUT:
        del parent[place[-1]]
    else:
        parent[place[-1]] = junk
    return damaged


def _accepted(data: Any) -> bool:
    return not any(finding.blocks for finding in check_document(Document(data, {})))


@pytest.mark.parametrize("junk", [None, LEFT_OUT, {}, []], ids=["null", "left out", "{}", "[]"])
def test_an_editor_refuses_no_place_that_plan_check_accepts_empty(junk: Any) -> None:
    """Every place of the plan, without a value or left out."""
    assert _accepted(FULL)
    wrong = [
        place for place in _places(FULL)[1:] if _accepted(_replaced(place, junk)) and _errors(_replaced(place, junk))
    ]
    assert wrong == []


@settings(max_examples=400)
@given(place=st.sampled_from(_places(FULL)[1:]), junk=JUNK)
def test_an_editor_refuses_nothing_that_plan_check_accepts(place: tuple[Any, ...], junk: Any) -> None:
    """Whatever stands where: what the JSON Schema underlines in red, `plan check` refuses."""
    changed = _replaced(place, junk)
    if _accepted(changed):
        assert _errors(changed) == []


def _errors(data: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(data)]
