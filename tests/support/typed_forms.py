"""The forms in which every type may be: under a domain, in an array, in a composite type; and what these give.

Each takes the values of the first column of its type in `typed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.support.typed import ASKED, FAMILIES, Typed

PLAIN = ("integers", "numerics", "floats", "texts", "bits_and_bytes", "times", "networks_and_ranges")


def _first_of_each(columns: Iterable[Typed]) -> dict[str, Typed]:
    return {column.type: column for column in reversed([*columns])}


def _over(types: Mapping[str, Typed]) -> dict[str, Typed]:
    """A column of a domain over each; for an enum there is none."""
    return {f"over_{name}": typed._replace(shown=f"d_over_{name}") for name, typed in types.items() if name != "mood"}


def _array(typed: Typed) -> Typed:
    """All of its values beside each other; the first one in two dimensions, from other bounds; nothing."""
    cells = [f"({value})::{typed.shown}" for value in typed.values]
    matrix = f"array_fill({cells[0]}, ARRAY[2, 1], ARRAY[0, -1])"
    return Typed(f"{typed.shown}[]", f"_{typed.type}", [f"ARRAY[{', '.join(cells)}, NULL]", matrix, "'{}'"])


def _everything(types: Mapping[str, Typed]) -> Typed:
    """A composite type with a field of each, in which each has its last value."""
    cells = ", ".join(f"({typed.values[-1]})::{typed.shown}" for typed in types.values())
    return Typed("everything", "everything", [f"ROW({cells})::everything"])


CARRIED = _first_of_each(typed for family in PLAIN for typed in FAMILIES[family].values())
ALONE = _first_of_each(t for t in ASKED.values() if t.values and t.type not in CARRIED and not t.type.startswith("_"))
TYPES = {**CARRIED, **ALONE}
DOMAINS = _over(CARRIED)
ASKED_FORMS = {
    **_over(ALONE),
    **{f"many_{name}": _array(typed) for name, typed in TYPES.items()},
    "everything": _everything(TYPES),
}
SETUP = "".join(f"CREATE DOMAIN d_over_{name} AS {t.shown};" for name, t in TYPES.items() if name != "mood")
SETUP += f"CREATE TYPE everything AS ({', '.join(f'f_{name} {typed.shown}' for name, typed in TYPES.items())});"
