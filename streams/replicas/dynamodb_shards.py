"""The way through the shards of a DynamoDB stream: parents before children, and nothing left out unseen. Pure.

A shard is written for some hours, then ended, and its children go on. What has to be kept is only where each line of
descent has been read to: every shard above is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# A shard has an id; and a parent, which may be forgotten by now.
Parents = Mapping[str, str | None]
# In place of a sequence number: nothing was read of the shard yet.
BEGINNING = ""


class Walk:
    """How far a stream was read.

    at: the shards that are being read, with the last sequence number taken. ended: those that were read to their end,
    and of which no child is known yet.
    """

    def __init__(self, at: Mapping[str, str] | None = None, ended: Iterable[str] = ()) -> None:
        self.at = dict(at or {})
        self.ended = set(ended)

    @property
    def is_begun(self) -> bool:
        """Whether a shard was ever known."""
        return bool(self.at or self.ended)

    def learn(self, parents: Parents) -> bool:
        """Take in which shards there are; False where one is gone that was not read to its end, or came from nowhere.

        The first time everything that there still is will be read.
        """
        if not self.is_begun:
            self.at = {shard: BEGINNING for shard, parent in parents.items() if parent not in parents}
            return True
        done = self._above(parents) | self.ended
        known = done | self.at.keys()
        begun = [shard for shard, parent in parents.items() if shard not in known and parent in done]
        strange = [
            s for s, parent in parents.items() if s not in known and parent not in parents and parent not in done
        ]
        followed = {parent for parent in parents.values() if parent is not None}
        gone = (self.at.keys() - parents.keys()) | (self.ended - parents.keys() - followed)
        self.at |= dict.fromkeys(begun, BEGINNING)
        self.ended -= followed
        return not (gone or strange)

    def read(self, shard: str, through: str) -> None:
        """The shard was read through a sequence number."""
        self.at[shard] = through

    def end(self, shard: str) -> None:
        """The shard was read to its end: its children come next."""
        del self.at[shard]
        self.ended.add(shard)

    def _above(self, parents: Parents) -> set[str]:
        """Every shard that one of the known descends from: a child is begun when its parent is done."""
        found: set[str] = set()
        for shard in (*self.at, *self.ended):
            above = parents.get(shard)
            while above is not None and above not in found:
                found.add(above)
                above = parents.get(above)
        return found
