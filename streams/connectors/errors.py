"""What can be wrong with a source of truth, as far as the connector is concerned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from streams.address import connection_reason
from streams.errors import HoldtrueError, NotReady, StoreUnavailable, UsageError

_NEW_SNAPSHOT = (
    "Take a new snapshot: `holdtrue connectors delete --forget --yes`, then `holdtrue connectors apply`, then a full "
    "validation."
)


class SourceUnavailable(StoreUnavailable):
    """The SOT could not be reached, or did not let us in."""


class NotPublished(NotReady):
    """Tables of the plan are not in the publication, or in part: their changes are lost, whatever else runs."""

    def __init__(self, publication: str, tables: Sequence[str]) -> None:
        super().__init__(
            f"The publication {publication} does not publish all of {', '.join(tables)}: their changes are lost.",
            "Were they dropped and made anew? Run `holdtrue connectors apply`, then validate them.",
        )


class PrefixTaken(UsageError):
    """Two connectors would write into the same change topics."""

    def __init__(self, prefix: str, other: str) -> None:
        super().__init__(
            f"The connector {other} sends under the prefix {prefix} already: rows of both would be in one topic.",
            "Give this plan another kafka.prefix, or delete the other connector.",
        )


def require_prefix(prefix: str, name: str, configs: Mapping[str, Mapping[str, str]]) -> None:
    """Raises PrefixTaken where another connector of this Connect cluster than `name` sends under the prefix."""
    for other, config in configs.items():
        if other != name and config.get("topic.prefix") == prefix:
            raise PrefixTaken(prefix, other)


class LogBehind(NotReady):
    """The connector runs and sends nothing: it goes on where the source's log has not come to."""

    def __init__(self, read: str, end: str) -> None:
        super().__init__(
            f"The connector has read up to {read}, and the source's log ends at {end}: "
            "it passes over every change until the log gets there.",
            f"The source was restored, or failed over to a server that lacks the last changes. {_NEW_SNAPSHOT}",
        )


class SlotLost(NotReady):
    """The slot is there and of no use: the connector waits for it, and would for half an hour."""

    def __init__(self, slot: str) -> None:
        super().__init__(
            f"The server has removed log that the slot {slot} still needed: changes are missing.",
            f"See max_slot_wal_keep_size. {_NEW_SNAPSHOT}",
        )


class SourceNotSuitable(HoldtrueError):
    """The SOT lacks something the connector cannot work without."""


def reason(error: psycopg.Error) -> str:
    """What the server says, without any value."""
    # Statements here hold no values, so that the server's primary message names objects alone.
    return (error.diag.message_primary or connection_reason(error)).rstrip(".")
