"""Control ends what was accepted for a time: the drift is open again, unless it has ended meanwhile."""

from __future__ import annotations

from typing import Final

from streams.control import trail
from streams.control.database import Database
from streams.control.run import now
from streams.drift.lifecycle import State
from streams.drift.record import step_of
from streams.kafka.wire import cloud_event
from streams.plan.model import Plan

# Of one look; the next one has the rest.
AT_ONCE: Final = 1_000


class Acceptances:
    """Looks at them. Raises what database and Kafka raise: the next look goes on.

    What was told and is not taken in yet is told again, which changes nothing.
    """

    def __init__(self, plan: Plan, database: Database, writer: trail.Writer) -> None:
        self._database = database
        self._writer = writer
        self._topic = plan.own_topic("drift")
        self._source = f"/holdtrue/{plan.name}/control"

    def look(self) -> None:
        """Open again what was accepted until now; returns when Kafka has it."""
        ended = self._database.rows("ended_acceptances", {"limit": AT_ONCE})
        for row in ended:
            reason = f"accepted by {row['accepted_by']} until {row['accepted_until']:%Y-%m-%d %H:%M}Z, which is over"
            event = step_of(row, State.open, max(now(), row["accepted_until"]), reason=reason)
            headers = cloud_event("holdtrue.drift", self._source)
            self._writer.send(self._topic, event["id"], "drift", event, headers)
        if ended:
            self._writer.flush()
