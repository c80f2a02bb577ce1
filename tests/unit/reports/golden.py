"""The reports of `dossiers` as they are meant to be. `python -m tests.unit.reports.golden` writes them anew: read the
difference before it is committed."""

from __future__ import annotations

from pathlib import Path

from streams.reports.markdown import markdown
from streams.reports.page import page
from streams.reports.run import run_report
from tests.unit.reports.dossiers import ALL

FOLDER = Path(__file__).with_name("golden")


def reports() -> dict[str, str]:
    """By file name."""
    written = {}
    for name, (found, bound) in ALL.items():
        document = run_report(found, bound)
        written |= {f"{name}.md": markdown(document), f"{name}.html": page(document)}
    return written


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in reports().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
