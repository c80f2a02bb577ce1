"""The documents say what is: links lead somewhere, plans are complete, commands and metrics exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client.metrics import MetricWrapperBase

import streams.agents.keeper
import streams.control.gauges
import streams.metrics
from streams.cli.program import composed
from streams.plan.check import check

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Where a document shows a command: in a code span, or at the start of a line of code.
COMMAND = re.compile(r"(?:`|^ {4}(?:\$ )?)holdtrue((?: +[^\s`#|]+)*)", re.MULTILINE)
VALUED = ("--plan", "--format")


def name_of(page: Path) -> str:
    """How a page is called in the answers of pytest."""
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The places within a page that a link can name, as GitHub makes them from headings."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in kept}


def dead_links(page: Path) -> Iterator[str]:
    """Relative links of a page that lead nowhere."""
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            yield target


def inner(command: Any) -> dict[str, Any]:
    """The verbs of a group, by name; none for a verb."""
    return getattr(command, "commands", {})


def unknown_command(words: list[str]) -> str | None:
    """What of `holdtrue WORDS` does not exist: a verb, or an option of it; None when all does."""
    command: Any = typer.main.get_command(composed())
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            name = word.partition("=")[0].rstrip(".,;:)")
            if name not in {option for parameter in command.params for option in parameter.opts} | {"--help"}:
                return word
            if name in VALUED:
                next(rest, None)
        elif inner(command):
            if not re.fullmatch(r"[a-z]+[.,;:]?", word):
                return None  # a placeholder, such as VERB or …
            found = inner(command).get(word.rstrip(".,;:"))
            if found is None:
                return word
            command = found
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading in it."""
    assert list(dead_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page: Path) -> None:
    """Every `holdtrue …` that a reader may type is a verb of the command line, with options it has."""
    text = FENCED.sub(lambda block: block.group().replace("\n", "\n    "), page.read_text(encoding="utf-8"))
    commands = COMMAND.findall(text)
    assert [said for said in commands if unknown_command(said.split()) is not None] == []


def test_the_readme_plan_is_complete(tmp_path: Path) -> None:
    """A reader can save it and go on; it is as short as promised."""
    found = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 1
    plan = tmp_path / "consistency.yaml"
    plan.write_text(found[0], encoding="utf-8")
    assert check(plan) == []
    assert len(found[0].splitlines()) <= 15


def test_runbooks_are_there() -> None:
    """Every alert leads to what to do about it."""
    rules = (ROOT / "ops/alerts/holdtrue.rules.yaml").read_text(encoding="utf-8")
    urls = re.findall(r"runbook_url: (\S+)", rules)
    assert urls
    assert [url for url in urls if url.partition("#")[2] not in anchors(ROOT / url.partition("#")[0])] == []


def test_every_verb_is_documented() -> None:
    """The interface document names all verbs that can be called."""
    text = (ROOT / "docs/interface.md").read_text(encoding="utf-8")
    names = {
        f"{name} {verb}".rstrip()
        for name, command in inner(typer.main.get_command(composed())).items()
        for verb in inner(command) or [""]
    }
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_metrics_are_documented_as_they_are_named() -> None:
    """Every metric of the processes is in the interface document, and no other one."""
    modules = (streams.metrics, streams.control.gauges, streams.agents.keeper)
    metrics = [value for module in modules for value in vars(module).values() if isinstance(value, MetricWrapperBase)]
    ours = {described.name + ("_total" if described.type == "counter" else "")
            for metric in metrics for described in metric.describe()}  # fmt: skip
    text = (ROOT / "docs/interface.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(holdtrue_\w+)`", text)) == ours


@pytest.mark.parametrize(
    ("words", "unknown"),
    [("validate --depth counts", None), ("plan show", "show"), ("--format json status", None), ("up --wipe", "--wipe")],
)
def test_unknown_commands_are_found(words: str, unknown: str | None) -> None:
    """The check itself can fail."""
    assert unknown_command(words.split()) == unknown
