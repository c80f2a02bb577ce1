"""Any damage to a plan gives findings, never a crash, and never the plan itself."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.plan.check import check_document
from streams.plan.draft import Draft
from streams.plan.load import Document
from streams.plan.model import Plan
from tests.unit.plan.plans import EXAMPLE

PLAN = yaml.safe_load(EXAMPLE.read_text())
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["7d", "{a}:{b}", "replicate", "a.b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in _places(value, (*path, key)))]


@settings(max_examples=400)
@given(place=st.sampled_from(_places(PLAN)[1:]), junk=JUNK)
def test_a_damaged_plan_is_described(place: tuple[Any, ...], junk: Any) -> None:
    """Whatever stands where: no crash, and a plan without blocking findings is one the model takes."""
    damaged = copy.deepcopy(PLAN)
    parent = damaged
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = junk
    document = Document(damaged, {})
    findings = check_document(document)
    if not any(finding.blocks for finding in findings):
        assert Plan.model_validate(Draft(document).data).name
