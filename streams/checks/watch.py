"""Keys under watch: every digest they have, also of changes that were reduced away within a batch.

A key that changes all the time is never still between two fences; but if the SOT's digest is among those the key had,
the stream has delivered it (design, Validation).
"""

from __future__ import annotations

from collections.abc import Iterable, KeysView

# Per partition. A run watches what its first round could not decide; more than this stays undecided and is reported.
KEYS_MAX = 20_000
DIGESTS_MAX = 1_000


class Watch:
    """The watched keys of one partition."""

    def __init__(self) -> None:
        self._seen: dict[bytes, set[bytes | None]] = {}
        self._runs: dict[str, list[bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self._seen)

    @property
    def keys(self) -> KeysView[bytes]:
        """The watched keys."""
        return self._seen.keys()

    def begin(self, run: str, keys: Iterable[bytes]) -> int:
        """Watch keys for a run; how many could not be taken because too many are watched."""
        left_out = 0
        for key in keys:
            if key not in self._seen and len(self._seen) >= KEYS_MAX:
                left_out += 1
                continue
            self._seen.setdefault(key, set())
            self._runs.setdefault(run, []).append(key)
        return left_out

    def note(self, key: bytes, digest: bytes | None) -> None:
        """A watched key has this digest now, or had it for a moment; other keys are passed over."""
        seen = self._seen.get(key)
        if seen is not None and len(seen) < DIGESTS_MAX:
            seen.add(digest)

    def seen(self, key: bytes) -> frozenset[bytes | None]:
        """The digests a watched key had."""
        return frozenset(self._seen.get(key, ()))

    def end(self, run: str) -> None:
        """The run is over; keys that no other run watches are forgotten."""
        kept = {key for name, keys in self._runs.items() if name != run for key in keys}
        for key in self._runs.pop(run, ()):
            if key not in kept:
                self._seen.pop(key, None)
