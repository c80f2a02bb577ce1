"""The fault table as a page, generated from the figures of a run. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

from tests.faulttable.faults import FAULTS, Fault
from tests.faulttable.layers import Layer, Store

FILE: Final = Path(__file__).parents[2] / "docs" / "faults.json"

NAMES: Final[Mapping[Layer, str]] = {
    Layer.guard: "guard",
    Layer.stream: "stream",
    Layer.read_back: "read-back",
    Layer.scrub: "scrub",
    Layer.sweep: "reverse sweep",
    Layer.log: "replica's log",
    Layer.counts: "`counts`",
    Layer.sample: "`sample`",
    Layer.checksums: "`checksums`",
    Layer.full: "`full`",
}
STORES: Final[Mapping[Store, str]] = {
    Store.postgres: "Postgres",
    Store.redis: "Redis",
    Store.dynamodb: "DynamoDB",
}

_HEAD: Final = """\
# The fault table

What each layer of checking sees of each fault, measured on real servers while the table is changed. Generated; do not
edit: `make fault-table` measures it and writes this page and `faults.json`, from which a test makes it anew.
`make test-long` has it, `make test` a cell of each kind of layer.
"""

_CELLS: Final = (
    ("1.2 → 2.5 s", "seen: told after 1.2 s, over (repaired, and looked at again) after 2.5 s; medians. Layers that "
     "check all the time repair without being asked, as their plan says"),
    ("3.4 s", "seen by a run: told so long after its command was started, the start of the process included. "
     "`repair plan` and `repair apply` have ended it afterwards"),
    ("2/3: …", "seen in 2 of 3 keys. A sample draws half of all keys here, so what it sees is chance"),
    ("not seen", "it has looked, or had time for two periods, and has told nothing"),
    ("cannot tell", "the run was incomplete, and says so"),
    ("harmless", "nothing became wrong: read on both sides after it, by the stores' own drivers"),
    ("gets through", "there was nothing that the guard could refuse, and the replica is wrong"),
    ("(empty)", "not measured, or the layer does not look at such keys"),
)  # fmt: skip
_LAYERS: Final = (
    ("guard", "the order and the tokens under which a write is refused ([ARCHITECTURE](../ARCHITECTURE.md))"),
    ("stream", "what worker and control tell of the stream itself: drift `continuity`"),
    ("read-back", "keys that were just written: here the fault comes right after their write"),
    ("scrub, reverse sweep", "every key within `scrub_period`; the store's own keys once in it"),
    ("replica's log", "`validation.replica_log`"),
    ("`counts` … `full`", "[depths of a validation](operations.md#depths-of-a-validation). `counts` were made while "
     "the load only updates: what comes and goes is their tolerance. Beside Postgres, `checksums` is `full`"),
)  # fmt: skip
_LEGEND: Final = """\
## How to read it

Each layer has replicas of its own, of the same table and topics, in which nothing else looks: what a cell says, its
layer has found alone. Each fault is in {keys} keys of each replica, which the load leaves alone.

{cells}
{layers}
False positives are keys that were told to be in drift although both sides, read at a fence after it, are equal.
"""


def load(path: Path = FILE) -> dict[str, Any]:
    """The figures. Nothing measured where there is no file."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"faults": {}, "rounds": {}}
    return found


def not_as_expected(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rounds, each with a sentence of it; those that did not come to their end among them."""
    wrong = [(name, said) for name, each in figures["rounds"].items() for said in each["wrong"]]
    return wrong + [
        (name, f"{name}: not measured to its end: {said}") for name, said in figures.get("not_ended", {}).items()
    ]


def page(figures: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = (_measured(figures), [_legend(figures)], _tables(figures), _rounds(figures), _faults(),
             _wrong(figures))  # fmt: skip
    return "\n".join([_HEAD, *chain.from_iterable(parts)])


def _legend(figures: Mapping[str, Any]) -> str:
    cells, layers = _two_columns("cell", "means", _CELLS), _two_columns("layer", "is", _LAYERS)
    return _LEGEND.format(keys=figures.get("keys", "some"), cells=cells, layers=layers)


def _two_columns(left: str, right: str, rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join([_line(left, right), _line("---", "---"), *(_line(*row) for row in rows), ""])


def _measured(figures: Mapping[str, Any]) -> Iterator[str]:
    rounds = figures["rounds"].values()
    if not rounds:
        yield "Nothing is measured yet.\n"
        return
    days = sorted({each["measured"] for each in rounds})
    rates = sorted(each["changes_per_second"] for each in rounds)
    false, seconds = (sum(each[name] for each in rounds) for name in ("false_positives", "seconds"))
    yield "| | |\n|---|---|"
    yield f"| measured | {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "") + " |"
    yield f"| machine | {figures['machine']} |"
    yield f"| command | `{figures['command']}` |"
    yield f"| table | {figures['rows']:,} rows, `scrub_period` {figures['scrub_period']} s |"
    load = f"{figures['rate']:,} changes a second asked, {rates[0]:,} to {rates[-1]:,} made in a round"
    yield f"| load | {load}; DynamoDB Local has {figures['dynamodb_rows']} of the rows |"
    busy = sorted(each["machine_load"] for each in rounds if "machine_load" in each)
    if busy:
        yield f"| load average | {busy[0]} to {busy[-1]}, all of this included: see the rounds |"
    yield f"| faults | {len(figures['faults'])} of {len(FAULTS)}, in {seconds:,} s |"
    yield f"| false positives | {false} |\n"


def _tables(figures: Mapping[str, Any]) -> Iterator[str]:
    for store, name in STORES.items():
        rows = [(fault, found) for fault in FAULTS if (found := _of(figures, fault, store)) is not None]
        if not rows:
            continue
        layers = [layer for layer in Layer if any(layer in found for _, found in rows)]
        yield f"## {name}\n"
        yield _line("fault", *(NAMES[layer] for layer in layers))
        yield _line(*["---"] * (len(layers) + 1))
        for fault, found in rows:
            yield _line(fault.name, *(_cell(layer, found.get(layer)) for layer in layers))
        yield ""


def _of(figures: Mapping[str, Any], fault: Fault, store: Store) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = figures["faults"].get(fault.name, {}).get("stores", {}).get(store)
    return found


def _cell(layer: Layer, cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    planted, found = cell["planted"], cell["found"]
    if layer is Layer.guard:
        return "harmless" if found == planted else "gets through" if not found else f"harmless in {found}/{planted}"
    if not found:
        return "cannot tell" if cell.get("undecided") else "not seen"
    some = "" if found == planted else f"{found}/{planted}: "
    over = f" → {cell['resolved_seconds']}" if "resolved_seconds" in cell else ""
    return f"{some}{cell['detected_seconds']}{over} s"


def _rounds(figures: Mapping[str, Any]) -> Iterator[str]:
    """Faults that leave the same are there at once; keys tell them apart."""
    if not figures["rounds"]:
        return
    yield "## False positives during it\n"
    yield "Faults that leave the same are looked at in one round: keys tell them apart.\n"
    yield "The load average is that of a round's last minute: servers, seven workers, load and commands are in it.\n"
    yield _line("round", "faults", "seconds", "changes a second", "load average", "false positives")
    yield _line(*["---"] * 6)
    for name, each in figures["rounds"].items():
        faults = sum(fault["round"] == name for fault in figures["faults"].values())
        busy = each.get("machine_load", "")
        shown = (faults, each["seconds"], each["changes_per_second"], busy, each["false_positives"])
        yield _line(name, *map(str, shown))
    yield ""


def _faults() -> Iterator[str]:
    yield "## The faults\n"
    yield _line("fault", "what is done", "leaves", "stores")
    yield _line(*["---"] * 4)
    for fault in FAULTS:
        stores = "all" if len(fault.stores) == len(Store) else ", ".join(STORES[store] for store in fault.stores)
        yield _line(fault.name, fault.what, _LEAVES[fault.effect], stores)
    yield ""


_LEAVES: Final = {
    "harmless": "nothing wrong",
    "wrong": "a wrong row",
    "missing": "no row",
    "orphan": "a row too many",
}


def _wrong(figures: Mapping[str, Any]) -> Iterator[str]:
    """What was not as expected, and what has not been measured: in the page, so that nobody takes it for the rest."""
    missing = [fault.name for fault in FAULTS if fault.name not in figures["faults"]]
    wrong = [said for _, said in not_as_expected(figures)]
    if missing:
        yield "## Not measured\n"
        yield from _items(missing)
    if wrong:
        yield "## Not as expected\n"
        yield from _items(wrong)


def _items(words: Iterable[str]) -> Iterator[str]:
    yield from (f"* {each}" for each in words)
    yield ""


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
