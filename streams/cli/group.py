"""What is common to all verbs. A variable that cannot be used is told by its name, never by its value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from typer.core import TyperGroup

from streams.errors import UsageError

# Of a command that is refused by name, whatever is given with it.
UNBUILT: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


class Verbs(TyperGroup):
    """Its own options are read where its context is made, those of a verb where that is invoked."""

    def make_context(self, *words: Any, **more: Any) -> Any:
        """The call."""
        with unshown():
            return super().make_context(*words, **more)

    def invoke(self, ctx: Any) -> Any:
        """The verb."""
        with unshown():
            return super().invoke(ctx)


@contextmanager
def unshown() -> Iterator[None]:
    """Raises UsageError in place of Typer's error, which shows the value, where that came from the environment."""
    try:
        yield
    except typer.BadParameter as error:
        variable = _variable(error)
        if variable is None:
            raise
        raise UsageError(
            f"The environment cannot be used: {variable}: {_wrong(error.message.rstrip('.'))}.",
            "Correct what is named there, or unset it.",
        ) from None


def _variable(error: typer.BadParameter) -> str | None:
    if error.ctx is None or error.param is None or error.param.name is None:
        return None
    source = error.ctx.get_parameter_source(error.param.name)
    return str(error.param.envvar) if source is not None and source.name == "ENVIRONMENT" else None


def _wrong(message: str) -> str:
    """What is wrong; of the messages that an option of ours can have, one shows the value, before the choices."""
    _, choices, listed = message.partition(" is not one of ")
    return f"must be one of {listed}" if choices else message.lower()
