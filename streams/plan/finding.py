"""What `plan check` says about one place of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from streams.errors import UsageError

Severity = Literal["missing", "contradictory", "invalid", "not_built", "filled_in"]
# How many findings an error of another verb repeats; `plan check` shows all.
_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One missing, wrong or filled-in input: where it is in the file, what is the matter, who can supply it."""

    line: int
    path: str
    severity: Severity
    message: str
    who: str

    @property
    def blocks(self) -> bool:
        """Whether nothing may start while this stands."""
        return self.severity != "filled_in"

    def as_text(self) -> str:
        """The finding as `plan check` writes it for people."""
        label = self.severity.replace("_", " ") if self.blocks else "warning"
        return f"line {self.line}: {self.path}\n  {label}: {self.message}\n  who can supply it: {self.who}"

    def as_row(self) -> dict[str, str | int]:
        """The finding as `plan check --format json` writes it."""
        return asdict(self)


class PlanIncomplete(UsageError):
    """The plan cannot be worked with yet; `findings` says why, completely."""

    def __init__(self, path: str, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        shown = [f"line {item.line}: {item.path}: {item.message}" for item in findings[:_SHOWN_MAX]]
        more = len(findings) - len(shown)
        rest = [f"and {more} more"] if more else []
        hint = "\n  ".join([*shown, *rest, "`holdtrue plan check` says who can supply what."])
        super().__init__(f"The plan {path} is incomplete or contradictory: {len(findings)} finding(s).", hint)
