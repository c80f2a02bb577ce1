"""Why a key is in drift, where it can be told (design, Drift)."""

from __future__ import annotations

UNKNOWN = "unknown"
ROGUE_WRITE = "rogue write"
MISSED_CHANGE = "missed change"
FAILOVER = "failover rollback"
LOST_IN_STORE = "rogue delete, eviction or expiry"
REFUSED = "refused by store"
FOREIGN = "foreign token"
OTHER_WRITER = "other writer"


def cause_of(kind: str, entry_is_right: bool, *, others_write: bool = False) -> str:
    """The cause, from the kind of the drift and whether the version table agrees with the SOT.

    Where it does, the stream has delivered and the store was written, unless it refused (`unapplied`): what differs now
    was changed behind our back. Where it does not, a change never came through. others_write: what the replica holds is
    somebody else's by right, and theirs to explain.
    """
    if not entry_is_right:
        return MISSED_CHANGE
    if others_write and kind != "unapplied":
        return OTHER_WRITER
    if kind == "unapplied":
        return REFUSED
    return LOST_IN_STORE if kind == "missing" else ROGUE_WRITE
