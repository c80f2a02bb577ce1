"""The errors a person sees: what happened, to what, what to do. Never a secret, never a row's values."""

from __future__ import annotations


class HoldtrueError(Exception):
    """Base of every error this project raises on purpose.

    `what` is one sentence saying what happened and to what; `hint` says what to do about it. `exit_code` is what the
    command line ends with: 1 error, 2 usage or an incomplete plan, 3 drift found or not ready (interface document).
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".rstrip()

    @property
    def told(self) -> str:
        """The lines a command ends with: what happened, and below it what to do."""
        return f"error: {self.what}\n" + (f"  {self.hint}\n" if self.hint else "")


class UsageError(HoldtrueError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class StoreUnavailable(HoldtrueError):
    """A store could not be reached or refused to serve now; trying again later may work."""


class NotReady(HoldtrueError):
    """Drift was found, or a state that was waited for was not reached in time."""

    exit_code = 3
