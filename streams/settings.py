"""Where holdtrue keeps files, and what the environment may set. Flags win over these, these over defaults."""

from __future__ import annotations

import os
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.errors import UsageError

_PREFIX = "HOLDTRUE_"
LOOPBACK: Final = "127.0.0.1"


def absolute(path: Path) -> Path:
    """`path`, the same wherever a process works. A `~` that stands for nobody's home is a name as any other."""
    return Path(os.path.expanduser(path)).absolute()


def _base(path: Path | None) -> Path | None:
    """A base directory; none where it is relative, which its specification says to ignore."""
    return path if path and path.is_absolute() else None


def _ip(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        raise ValueError("must be an IP address, such as 127.0.0.1, 0.0.0.0 or ::") from None


_Base = Annotated[Path | None, AfterValidator(_base)]
_Folder = Annotated[Path | None, AfterValidator(lambda path: path and absolute(path))]


class Settings(BaseSettings):
    """The environment: `HOLDTRUE_…` variables and the XDG base directories."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, extra="ignore")

    xdg_cache_home: _Base = Field(default=None, validation_alias="XDG_CACHE_HOME")
    xdg_state_home: _Base = Field(default=None, validation_alias="XDG_STATE_HOME")
    stack_dir: _Folder = None
    worker_dir: _Folder = None
    run_dir: _Folder = None
    # How long a change waits for the registry to learn its schema id before the table is held: longer than a registry's
    # restart, shorter than a person's patience.
    unknown_schema_seconds: float = Field(default=60.0, ge=0, allow_inf_nan=False)
    # Metrics name tables and replicas: they leave the machine only where somebody says so.
    metrics_host: Annotated[str, AfterValidator(_ip)] = LOOPBACK
    metrics_port: int = Field(default=0, ge=0, le=65_535)

    @property
    def cache_dir(self) -> Path:
        """Downloads that can be fetched again."""
        return (self.xdg_cache_home or absolute(Path("~/.cache"))) / "holdtrue"

    @property
    def _state_dir(self) -> Path:
        return (self.xdg_state_home or absolute(Path("~/.local/state"))) / "holdtrue"

    @property
    def stack_data_dir(self) -> Path:
        """Data of the embedded stack (`HOLDTRUE_STACK_DIR`, or `up --data-dir`)."""
        return self.stack_dir or self._state_dir / "stack"

    @property
    def worker_data_dir(self) -> Path:
        """Local state of workers: their version tables (`HOLDTRUE_WORKER_DIR`)."""
        return self.worker_dir or self._state_dir / "workers"

    @property
    def run_data_dir(self) -> Path:
        """What validations that are not over have found so far (`HOLDTRUE_RUN_DIR`)."""
        return self.run_dir or self._state_dir / "runs"


@cache
def settings() -> Settings:
    """The settings of this process, read once. Raises UsageError, which names variables and never shows a value."""
    try:
        return Settings()
    except ValidationError as errors:
        wrong = [f"{_variable(str(each['loc'][0]))}: {each['msg'].lower()}" for each in errors.errors()]
        raise UsageError(
            f"The environment cannot be used: {'; '.join(wrong)}.", "Correct what is named there, or unset it."
        ) from None


def _variable(field: str) -> str:
    return field if field.isupper() else f"{_PREFIX}{field.upper()}"
