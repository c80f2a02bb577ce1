"""Where holdtrue keeps files, and what the environment may set. Flags win over these, these over defaults."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The environment: `HOLDTRUE_…` variables and the XDG base directories."""

    model_config = SettingsConfigDict(env_prefix="HOLDTRUE_", extra="ignore")

    xdg_cache_home: Path = Field(default=Path("~/.cache"), validation_alias="XDG_CACHE_HOME")
    xdg_state_home: Path = Field(default=Path("~/.local/state"), validation_alias="XDG_STATE_HOME")
    stack_dir: Path | None = None
    worker_dir: Path | None = None
    # How long a change waits for the registry to learn its schema id before the table is held: longer than a registry's
    # restart, shorter than a person's patience.
    unknown_schema_seconds: float = Field(default=60.0, ge=0)

    @property
    def cache_dir(self) -> Path:
        """Downloads that can be fetched again."""
        return self.xdg_cache_home.expanduser() / "holdtrue"

    @property
    def stack_data_dir(self) -> Path:
        """Data of the embedded stack (`HOLDTRUE_STACK_DIR`, or `up --data-dir`)."""
        return self.stack_dir or self.xdg_state_home.expanduser() / "holdtrue" / "stack"

    @property
    def worker_data_dir(self) -> Path:
        """Local state of workers: their version tables (`HOLDTRUE_WORKER_DIR`)."""
        return self.worker_dir or self.xdg_state_home.expanduser() / "holdtrue" / "workers"


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
