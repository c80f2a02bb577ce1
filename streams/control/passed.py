"""Holds that are over because the group has committed past the record that held."""

from __future__ import annotations

from streams.control import trail
from streams.control.audit import Fact
from streams.control.database import Database, Row
from streams.control.offsets import Offsets
from streams.control.queries import query
from streams.control.run import now
from streams.plan.model import Plan


def end_passed_holds(database: Database, offsets: Offsets, plan: Plan) -> int:
    """End them, each with an entry in the trail; how many.

    A hold for a reason that went away by itself (a registry that came back, a worker that was restarted after a fix)
    is released by nobody: the offset that moved is the proof.
    """
    ended = 0
    for hold in database.rows("holds"):
        if hold["partition"] < 0 or hold["replica"] not in plan.replicas:
            continue
        place = (plan.change_topic(hold["table"]), hold["partition"])
        committed = offsets.committed(plan.group(hold["replica"]), [place]).get(place)
        if committed is not None and committed > hold["offset"] >= 0:
            ended += _end(database, hold, committed)
    return ended


def _end(database: Database, hold: Row, committed: int) -> int:
    about = f"{hold['replica']}/{hold['table']}"
    source = f"passed:{about}/{hold['partition']}/{hold['offset']}@{hold['since'].isoformat()}"
    detail = {"partition": hold["partition"], "offset": hold["offset"], "committed": committed}
    with database.transaction() as connection:
        gone = connection.execute(query("end_passed_hold"), {**hold, "committed": committed}).fetchall()
        fact = Fact(now(), "control", "release", about, "the group has committed past it", detail, source)
        trail.append(connection, [fact] if gone else [])
    return len(gone)
