"""Folders for servers that tests start."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder outside pytest's own.

    Started by root, Postgres runs as another account, to which its path is opened. Every pytest session that begins
    on the machine closes pytest's folder to all other accounts again, and a server that runs in it loses its files.
    """
    folder = Path(tempfile.mkdtemp(prefix="holdtrue-test-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
