"""What is to be thought of content that somebody else writes, as far as one look can tell it.

Under `mode: verify` the other writer comes after the source by up to the plan's lag, or before our stream where an
application writes both. So a row is right whose content is any that its key had within that lag; and what was there at
a look is proven wrong only by a later one, when everything that the key had around the first is known. Under `mode:
invalidate` an application fills in rows that it has read: it may have read more than our stream has brought, never less
without being wrong, which is a lag of nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple

Digest = bytes | None
# The digests that a key had at some moment since the given one; None where it was not watched for so long.
Had = Callable[[float], Collection[Digest] | None]


class Judgement(StrEnum):
    """What one look says of content. open: another look is needed, no sooner than the lag after this one."""

    right = "right"
    wrong = "wrong"
    open = "open"


class Look(NamedTuple):
    """What the replica held for a key, and when."""

    at: float
    digest: Digest


def judge(now: Look, last: Look | None, had: Had, lag: float) -> Judgement:
    """last: the look before this one whose content was not right. lag: seconds that the other writer may take.

    Everything that the source had committed a lag after `last` must have been applied, so that `had` knows of it.
    """
    if now.digest in (had(now.at - lag) or had(now.at) or ()):
        return Judgement.right
    if last is None or now.at - last.at < lag:
        return Judgement.open
    around = had(last.at - lag)
    return Judgement.open if around is None or last.digest in around else Judgement.wrong
