"""An independent look at keys that were reported although nobody had touched them, and at both tables in the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streams.bench import subject
from streams.bench.ledger import Ledger, Opened
from streams.bench.load import Load
from streams.bench.scene import TARGET, Scene

# Cases that are shown with all that is known of them.
SHOWN_MAX: Final = 20


@dataclass(slots=True)
class Judge:
    """Reads SOT and replica for what was opened without a fault.

    false_positives: both sides were equal. real: they were not, although nobody planted anything. cases: the first of
    them with what the event said.
    """

    scene: Scene
    ledger: Ledger
    false_positives: int = 0
    real: int = 0
    cases: list[dict[str, Any]] = field(default_factory=list)

    def look(self, load: Load) -> None:
        """Judge what has come since the last look. The load leaves these keys alone from then on.

        So the SOT's row at the fence is its row whenever it is read after that, and the replica has applied it.
        """
        if not (opened := self.ledger.to_judge()):
            return
        keys = sorted({each.key for each in opened if each.key is not None})
        load.leave_alone(keys)
        position = self.scene.reached()
        wrong = set(_differing(self._pairs(keys)))
        for each in opened:
            self._judge(each, position, right=each.key not in wrong)

    def _judge(self, opened: Opened, position: str, *, right: bool) -> None:
        self.false_positives += right
        self.real += not right
        if len(self.cases) < SHOWN_MAX:
            seen = {"key": opened.key, "right": right, "again": opened.again, "fence": position}
            self.cases.append({**seen, **opened.told})

    def right(self, keys: Sequence[int]) -> set[int]:
        """Those of these keys that are equal on both sides, whatever was told of them. The load must not write them."""
        self.scene.reached()
        return set(keys) - set(_differing(self._pairs(keys)))

    def _pairs(self, keys: Sequence[int]) -> Iterator[tuple[int, int | None, int | None]]:
        wanted = subject.digests(self.scene.sot, subject.TABLE, list(keys))
        held = subject.digests(self.scene.target, TARGET, list(keys))
        return ((key, wanted.get(key), held.get(key)) for key in keys)

    def differing(self) -> list[int]:
        """Every key of both tables that is not equal now; nothing may be written meanwhile."""
        self.scene.reached()
        wanted = subject.all_digests(self.scene.sot, subject.TABLE)
        held = subject.all_digests(self.scene.target, TARGET)
        return list(_differing(merged(wanted, held)))


def _differing(pairs: Iterable[tuple[int, int | None, int | None]]) -> Iterator[int]:
    return (key for key, wanted, held in pairs if wanted != held)


def merged(
    wanted: Iterable[tuple[int, int]], held: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int | None, int | None]]:
    """Two streams in the order of keys as one: every key with what each side has, None where it has nothing."""
    left, right = iter(wanted), iter(held)
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield a[0], a[1], None
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b[1]
            b = next(right, None)
        else:
            yield a[0], a[1], b[1]
            a, b = next(left, None), next(right, None)
