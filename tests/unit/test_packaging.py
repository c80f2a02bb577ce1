"""What the image is built from is what the package needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_image_has_what_links_in_the_package_lead_to() -> None:
    """Else the package in the image lacks a file that is there in the repository, such as the demo's plan."""
    dockerfile = (ROOT / "ops/docker/Dockerfile").read_text()
    copied = [(ROOT / place).resolve() for place in re.findall(r"^COPY (\w[\w/]*) \./", dockerfile, re.MULTILINE)]
    links = [path for path in (ROOT / "streams").rglob("*") if path.is_symlink()]
    assert links
    lost = [link for link in links if not any(link.resolve().is_relative_to(place) for place in copied)]
    assert not lost


def test_the_image_is_built_from_the_lock_file_alone() -> None:
    """What pip would fetch for a build of its own is in no lock file; the Makefile builds in the same way."""
    build = next(iter(tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]))
    tool = re.split(r"\W", build)[0]
    assert re.search(rf"^{tool}==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    for place in ("ops/docker/Dockerfile", "Makefile"):
        installs = [line for line in (ROOT / place).read_text().splitlines() if "pip" in line and " install " in line]
        unlocked = [line for line in installs if "--require-hashes" not in line and not line.endswith(" uv")]
        assert len(unlocked) == 1
        assert all({"--no-deps", "--no-build-isolation"} <= set(line.split()) for line in unlocked)
