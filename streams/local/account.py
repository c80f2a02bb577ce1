"""The account that Postgres runs as when the caller is root, as which Postgres refuses to run."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from functools import cache
from pathlib import Path

from streams.local.errors import StackError
from streams.local.process import Account

NAME = "pgserver"


@cache
def for_postgres() -> Account | None:
    """The account for Postgres: None (the caller's own) unless the caller is root. Creates it once.

    Raises StackError if it cannot be created.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        _create()
        entry = pwd.getpwnam(NAME)
    return Account(NAME, entry.pw_uid, entry.pw_gid)


def _create() -> None:
    words = ("useradd", "--system", "--no-create-home", "--shell", "/bin/false", NAME)
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(
            f"Postgres does not run as root, and the account {NAME} for it could not be created.",
            f"Create it ({' '.join(words)}), or run holdtrue as another user than root.",
        ) from error


def open_path(file: Path) -> None:
    """Let other accounts pass through the folders above `file`: only that, not list what is in them."""
    for folder in file.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
