"""What the image is built from is what the package needs."""

from __future__ import annotations

import re
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
