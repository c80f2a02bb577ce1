"""What the drift topic says of one replica: which drift is open by a record of its own, how many keys are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from streams.drift.flood import Beyond, flood_id, is_flood
from streams.drift.lifecycle import ENDED, KINDS
from streams.drift.names import Names

# Of so many keys it is known that they are named, some 200 bytes each; more than one run names in two tables.
NAMED_MAX: Final = 200_000


class Told:
    """Taken from the records of the topic, those of one id in their order."""

    def __init__(self, replica: str) -> None:
        self._replica = replica
        # By table: drift of single keys that has not ended → the offset at which it was told last.
        self._named: dict[str, dict[str, int]] = {}
        self._floods: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self._size = 0
        # How many were left out, because there was no room.
        self.left_out = 0

    def take(self, offset: int, event: Mapping[str, Any]) -> None:
        """The next record. A run's end of what was told of since the run began is none, as in control."""
        if event["replica"] != self._replica:
            return
        drift, before = event["id"], event["ends_before"]
        named = self._named.setdefault(event["table"], {})
        if before is not None and max(named.get(drift, -1), self._floods.get(drift, (-1, event))[0]) >= before:
            return
        if is_flood(event):
            self._floods[drift] = (offset, event)
        elif event["key_bytes"] is not None:
            self._take_named(named, drift, offset, has_ended=event["state"] in ENDED)

    def _take_named(self, named: dict[str, int], drift: str, offset: int, *, has_ended: bool) -> None:
        if has_ended:
            self._size -= named.pop(drift, None) is not None
        elif drift in named or self._size < NAMED_MAX:
            self._size += drift not in named
            named[drift] = offset
        else:
            self.left_out += 1

    def named(self, table: str) -> Mapping[str, int]:
        """The ids of single keys' drift in this table that has not ended."""
        return self._named.get(table, {})

    def counted(self, names: Names, partition: int) -> Beyond:
        """How many keys of a partition are only counted, by kind and cause."""
        counted: Beyond = Counter()
        for kind in KINDS:
            _, event = self._floods.get(flood_id(names, kind, partition), (0, None))
            if event is not None and event["state"] not in ENDED:
                counted.update({(kind, cause): keys for cause, keys in event["causes"].items()})
        return counted
