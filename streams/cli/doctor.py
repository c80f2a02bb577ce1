"""`holdtrue doctor`: what holdtrue needs, checked one by one, with what to do about each thing that is not right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from streams.cli.context import context
from streams.cli.stack import DataDir, embedded
from streams.errors import HoldtrueError, NotReady

if TYPE_CHECKING:
    from streams.local.findings import Finding
    from streams.local.stack import Stack


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks are about."""

    stack: Stack


Check = Callable[[Patient], "Iterator[Finding]"]


def checks() -> list[Check]:
    """Every check, in the order in which a person wants to read them."""
    from streams.local import findings
    from streams.local.fetch import Cache
    from streams.settings import settings

    return [
        lambda _: findings.python_version(),
        lambda _: findings.installed_packages(),
        lambda _: findings.servers(),
        lambda patient: findings.disk(patient.stack),
        lambda patient: findings.memory(patient.stack),
        lambda _: findings.downloads(Cache(settings().cache_dir)),
        lambda patient: findings.stack_services(patient.stack),
    ]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)


def doctor(ctx: typer.Context, data_dir: DataDir = None) -> None:
    """Check every dependency, permission and setting; exit 3 if something is not right."""

    out = context(ctx).out
    found = list(examine(Patient(embedded(data_dir)), checks()))
    failed = [each for each in found if each.outcome == "failed"]
    rows = [asdict(each) for each in found]
    out.rows("checks", rows, ("check", "outcome", "detail", "advice"), ok=not failed)
    if failed:
        raise NotReady(f"{len(failed)} of {len(found)} checks failed.", "See the advice beside each.")


def examine(patient: Patient, listed: list[Check]) -> Iterator[Finding]:
    """Run the checks; one that cannot be made is itself a failed finding, and the others still run."""
    from streams.local.findings import Finding, Outcome

    for check in listed:
        try:
            yield from check(patient)
        except HoldtrueError as error:
            yield Finding("doctor", Outcome.failed, error.what, error.hint)
