"""How drift is named: which drift is which, and what of a key its records show.

Where the plan hides keys, a record has the HMAC of a key in place of the key, and the id follows from that: an id of
the key itself could be compared with those of guesses.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from streams.drift.identity import drift_id
from streams.rows.canonical import decode

# The secret keys digests of rows, too: what is made of a key here is nothing else that is made with it.
_PURPOSE: Final = b"holdtrue drift key"


class Names(NamedTuple):
    """How the drift of one table of one replica is named. secret: keys the HMAC of its keys; None: they are shown."""

    replica: str
    table: str
    key_columns: Sequence[str]
    secret: bytes | None = None

    def shown(self, key: bytes) -> bytes:
        """What stands for a key, given in canonical bytes, in records: itself, or its HMAC.

        A key has the same one in every replica of its table.
        """
        if self.secret is None:
            return key
        return hmac.digest(self.secret, b"\x00".join((_PURPOSE, self.table.encode(), key)), "sha256")

    def id(self, key: bytes) -> str:
        """The id of the drift of one key."""
        return drift_id(self.replica, self.table, self.shown(key))

    def fields(self, key: bytes) -> dict[str, Any]:
        """What a record says of its key."""
        if self.secret is not None:
            return {"key": None, "key_bytes": self.shown(key), "key_hidden": True}
        return {"key": dict(zip(self.key_columns, decode(key), strict=True)), "key_bytes": key}
