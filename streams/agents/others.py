"""What continuous checking thinks of content that somebody else writes: keys in doubt are under a watch of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.checks.compare import ABSENT, UNDECIDED, VERIFIED, Content, Finding, Verdict, expected_of, kind_of_others
from streams.checks.others import Judgement

if TYPE_CHECKING:
    from streams.agents.owner import Owner
    from streams.versions.entry import Entry

RUN = "continuous"


class Others:
    """Of one partition. lag: seconds that the other writer may take."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._allowed = owner.work.absent_allowed
        self.lag = owner.work.others_lag_seconds

    def doubt(self, key: bytes) -> None:
        """Know from now on what the key has."""
        self._owner.watch.begin(RUN, [(key, expected_of(self._owner.state.entry(key)))])

    def forget(self, key: bytes) -> None:
        """It is not in doubt any more."""
        self._owner.watch.forget(RUN, key)

    async def caught_up(self) -> bool:
        """Have applied what the SOT has committed by now, which may explain what is there; False when that waits."""
        owner = self._owner
        await owner.work.pass_fence()
        return await owner.passed(await owner.newest_end_offset() - 1)

    def finding(self, key: bytes, entry: Entry | None, content: Content) -> Finding:
        """What this look says; behind a fence that came after the look before it."""
        watch, expected = self._owner.watch, expected_of(entry)
        judged = watch.judge(RUN, key, content.digest, self.lag, absent_allowed=self._allowed)
        if self._allowed and content.digest is None:
            return VERIFIED if expected is None else ABSENT
        if content.digest == expected:
            return VERIFIED
        match judged:
            case Judgement.right:
                return VERIFIED
            case Judgement.open:
                return UNDECIDED
            case Judgement.wrong:
                kind = kind_of_others(expected, content, watch.known(RUN, key))
                return Finding(Verdict.suspected, kind, proven=True)
