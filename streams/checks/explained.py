"""What in a replica's own log is ours: a change of a row is explained by a newer token, written with it.

The guarded merge writes both in one transaction (decision 2), so a transaction that changes a row and does not raise
the token of its key is somebody else's. Who raises tokens himself is not seen here: only the content tells.
"""

from __future__ import annotations

# Keys that one transaction may name, of one table. A merge of ours is a batch; beyond that a whole table is meant.
KEYS_MAX = 100_000


class Explained:
    """What one transaction of the log did to one table of a replica. writes_content: the table has more than a key."""

    def __init__(self, *, writes_content: bool) -> None:
        self._writes_content = writes_content
        self._raised: set[bytes] = set()
        self._due: set[bytes] = set()
        self._changed: set[bytes] = set()
        self._odd: set[bytes] = set()
        # It changed more than can be named, or everything at once.
        self.everything = False

    def token(self, key: bytes, old: bytes | None, new: bytes, *, dead: bool) -> None:
        """The token of a key was written. old: the one before, None where there was none."""
        if old is not None and new <= old:
            self._note(self._odd, key)
            return
        self._note(self._raised, key)
        if not dead and self._writes_content:
            self._due.add(key)

    def forgotten(self, key: bytes, *, dead: bool) -> None:
        """The token of a key was removed, which is ours to do where the key is dead."""
        if not dead:
            self._note(self._odd, key)

    def changed(self, key: bytes) -> None:
        """The row of a key was written or removed."""
        self._note(self._changed, key)

    def emptied(self) -> None:
        """The table was truncated, or its tokens were."""
        self.everything = True

    def foreign(self) -> set[bytes]:
        """Keys of which something is not ours, or did not come through; none where everything is."""
        if self.everything:
            return set()
        return (self._changed - self._raised) | (self._due - self._changed) | self._odd

    def _note(self, keys: set[bytes], key: bytes) -> None:
        if len(keys) >= KEYS_MAX:
            self.everything = True
        else:
            keys.add(key)
