"""Flood protection: of very many keys in drift the first are told one by one, the others as exact numbers. Pure.

A store that lost everything must not become a million records. One telling (a run, or a while of continuous checks)
names as many keys as the plan allows; those beyond are counted, by kind and cause, in one record of the table for each
kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from streams.drift.names import Names
from streams.drift.record import record

# The cause of a flood whose keys have not all the same one; each is in its `causes`.
SEVERAL: Final = "several causes"


class Wrong(Protocol):
    """A key in drift."""

    @property
    def kind(self) -> str:
        """How it differs."""

    @property
    def cause(self) -> str:
        """Why, as far as it is known."""


W = TypeVar("W", bound=Wrong)
Beyond = Counter[tuple[str, str]]


class Telling(NamedTuple, Generic[W]):
    """What is told. each: keys that get a record of their own; beyond: how many others, by kind and cause."""

    each: Sequence[W]
    beyond: Beyond


def telling(found: Sequence[W], above: int, is_known: Callable[[W], bool] = lambda _: False) -> Telling[W]:
    """Who is told one by one, at most `above` of them, and how many are only counted.

    is_known: whether the key's drift is open already, by a record of its own. Such keys come first, and all of them:
    one that was counted, too, would be counted twice.
    """
    known: list[W] = []
    new: list[W] = []
    for wrong in found:
        (known if is_known(wrong) else new).append(wrong)
    room = max(0, above - len(known))
    return Telling((*known, *new[:room]), Counter((wrong.kind, wrong.cause) for wrong in new[room:]))


def flood_records(
    names: Names, beyond: Mapping[tuple[str, str], int], by: str, *, at: datetime, **more: Any
) -> Iterator[dict[str, Any]]:
    """The records of those beyond, one for each kind. more: further fields.

    by: who counts, such as "runs". Whoever counts again under the same word says how many there are now.
    """
    causes: dict[str, Counter[str]] = {}
    for (kind, cause), keys in beyond.items():
        causes.setdefault(kind, Counter())[cause] += keys
    for kind, counted in causes.items():
        cause = next(iter(counted)) if len(counted) == 1 else SEVERAL
        reason = f"{counted.total()} keys beyond those that are told one by one"
        said: dict[str, Any] = {"keys": counted.total(), "causes": dict(counted), "reason": reason, **more}
        yield record(
            names.replica, names.table, kind=kind, cause=cause, state="open", at=at, place=f"flood {kind} {by}", **said
        )


def is_flood(known: Mapping[str, Any]) -> bool:
    """Whether a record, or a row of the control database, counts keys instead of naming one."""
    return bool(known["causes"])
