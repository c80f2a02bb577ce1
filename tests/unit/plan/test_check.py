"""`plan check` on the file alone: everything that is missing or contradictory, at once, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from streams.errors import UsageError
from streams.plan.check import check_document, load_plan
from streams.plan.finding import PlanIncomplete
from streams.plan.load import UnreadablePlanError, parse_document
from tests.unit.plan.plans import EXAMPLE, edited, findings, found

REPORTS = "replicas.reports.tables"
ACCOUNTS = "public.pgbench_accounts"
VALIDATION = "      validation: {depths: [counts, checksums], every: 1h}\n"


def test_the_example_is_complete() -> None:
    """The committed example has no finding at all."""
    assert findings() == []
    assert load_plan(EXAMPLE).name == "bank"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("owner: payments-team\n", "owner"),
        ("approver: data-governance\n", "approver"),
        ("tombstone_retention: 14d\n", "tombstone_retention"),
        ("  retention: 7d\n", "kafka.retention"),
        ("  longest_pause: 2d\n", "kafka.longest_pause"),
        ("  dsn: {env: HOLDTRUE_SOT_DSN}\n", "source"),
        ("      mode: replicate\n", f"{REPORTS}.{ACCOUNTS}.mode"),
        ("      trigger: realtime\n", f"{REPORTS}.{ACCOUNTS}.trigger"),
        ("      consistency: {kind: eventual, lag: 2s}\n", f"{REPORTS}.{ACCOUNTS}.consistency"),
        (", lag: 2s", "replicas.reports.defaults.consistency.lag"),
        ("      conflict: source_wins\n", f"{REPORTS}.{ACCOUNTS}.conflict"),
        ("      on_failure: dead-letter\n", f"{REPORTS}.{ACCOUNTS}.on_failure"),
        ("      repair: {automatic: []}\n", f"{REPORTS}.{ACCOUNTS}.repair"),
        ("        tombstones: attribute\n", f"replicas.lookup.tables.{ACCOUNTS}.tombstones"),
        ('key: "account:{aid}"', f"replicas.cache.tables.{ACCOUNTS}.key"),
        ("key: [tid], ", "tables.public.pgbench_tellers.key"),
        ("    kind: redis\n", "replicas.cache.kind"),
    ],
)
def test_what_a_person_decides_is_never_filled_in(line: str, path: str) -> None:
    """Each decision that is left out is named as missing, at its place."""
    assert ("missing", path) in found((line, ""))


def test_an_empty_value_is_as_missing_as_none() -> None:
    """`owner:` with nothing behind it, or spaces, names nobody."""
    assert ("missing", "owner") in found(("owner: payments-team", "owner:"))
    assert ("missing", "owner") in found(("owner: payments-team", "owner: '  '"))


def test_everything_is_named_at_once() -> None:
    """Missing, wrong and contradictory inputs do not hide each other."""
    result = found(
        ("owner: payments-team\n", ""),
        ("retention: 7d", "retention: seven"),
        ("trigger: realtime", "trigger: on_demand"),
        ("on_failure: dead-letter", "on_failure: ignore"),
        ('key: "teller:{tid}"', 'key: "account:{x}"'),
        ("kind: dynamodb", "kind: dynamo"),
        ("to: accounts", "tooo: accounts"),
    )
    assert result >= {
        ("missing", "owner"),
        ("invalid", "kafka.retention"),
        ("not_built", "replicas.reports.defaults.trigger"),
        ("invalid", "replicas.reports.defaults.on_failure"),
        ("contradictory", "replicas.cache.tables.public.pgbench_tellers.key"),
        ("invalid", "replicas.lookup.kind"),
        ("invalid", f"replicas.lookup.tables.{ACCOUNTS}.tooo"),
    }


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (("tombstone_retention: 14d", "tombstone_retention: 8d"), "tombstone_retention"),
        (("longest_pause: 2d", "longest_pause: 7d"), "kafka.longest_pause"),
        (("retention: 7d", "retention: 7d\n  prefix: holdtrue"), "kafka.prefix"),
        ((f"      {ACCOUNTS}: {{}}", "      public.other: {}"), f"{REPORTS}.public.other"),
        (
            (f"      {ACCOUNTS}: {{}}", f"      {ACCOUNTS}: {{to: public.pgbench_tellers}}"),
            f"{REPORTS}.public.pgbench_tellers",
        ),
        ((f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{omit: [aid]}}}}"), f"{REPORTS}.{ACCOUNTS}.columns.omit[0]"),
        (
            (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{omit: [bid], rename: {{bid: b}}}}}}"),
            f"{REPORTS}.{ACCOUNTS}.columns.rename.bid",
        ),
        (
            (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{rename: {{bid: x, abalance: x}}}}}}"),
            f"{REPORTS}.{ACCOUNTS}.columns.rename",
        ),
        (
            (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{rename: {{bid: aid}}}}}}"),
            f"{REPORTS}.{ACCOUNTS}.columns.rename.bid",
        ),
        (
            (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{round: {{aid: 2}}}}}}"),
            f"{REPORTS}.{ACCOUNTS}.columns.round.aid",
        ),
        (
            (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{cut: {{filler: 5}}, omit: [filler]}}}}"),
            f"{REPORTS}.{ACCOUNTS}.columns.cut.filler",
        ),
        (
            (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{cut: {{filler: 5}}, round: {{filler: 5}}}}}}"),
            f"{REPORTS}.{ACCOUNTS}.columns.cut.filler",
        ),
        ((f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{to: accounts}}"), f"{REPORTS}.{ACCOUNTS}.to"),
        ((f"{ACCOUNTS}: {{}}", f'{ACCOUNTS}: {{key: "a:{{aid}}"}}'), f"{REPORTS}.{ACCOUNTS}.key"),
        (('key: "branch:{bid}"', 'key: "branches"'), "replicas.cache.tables.public.pgbench_branches.key"),
        (('key: "branch:{bid}"', 'key: "{bid}"'), "replicas.cache.tables.public.pgbench_branches.key"),
        (('key: "branch:{bid}"', 'key: "holdtrue:{bid}"'), "replicas.cache.tables.public.pgbench_branches.key"),
        (('key: "branch:{bid}"', 'key: "teller:branch:{bid}"'), "replicas.cache.tables.public.pgbench_branches.key"),
        ((f"{ACCOUNTS}: {{key: [aid]}}", f"{ACCOUNTS}: {{key: [aid, a, b]}}"), f"replicas.lookup.tables.{ACCOUNTS}"),
        (("      mode: replicate", "      mode: replicate\n      to: x.y"), "replicas.reports.defaults.to"),
        (("dsn: {env: HOLDTRUE_REPLICA_DSN}", "dsn: {env: HOLDTRUE_SOT_DSN}"), f"{REPORTS}.{ACCOUNTS}"),
        (
            ("  # pgbench_history is", "  holdtrue.signal: {key: [id]}\n  # pgbench_history is"),
            "tables.holdtrue.signal",
        ),
    ],
)
def test_contradictions_are_named(edit: tuple[str, str], path: str) -> None:
    """What cannot be true together is found, at the place to change."""
    assert ("contradictory", path) in found(edit)


@pytest.mark.parametrize(
    ("words", "path", "message"),
    [
        ("round: {abalance: -1}", "round.abalance", "must be at least 0"),
        ("round: {abalance: 16384}", "round.abalance", "must be at most 16383"),
        ("round: {abalance: '2'}", "round.abalance", "must be a whole number"),
        ("cut: {filler: 0}", "cut.filler", "must be at least 1"),
        ("cut: {filler: 10485761}", "cut.filler", "must be at most 10485760"),
        ("cut: [filler]", "cut", "must be a mapping (key: value)"),
    ],
)
def test_how_much_is_kept_is_bounded(words: str, path: str, message: str) -> None:
    """By what Postgres's own types can have."""
    result = findings((f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{{words}}}}}"))
    assert [(f.severity, f.path, f.message) for f in result] == [
        ("invalid", f"{REPORTS}.{ACCOUNTS}.columns.{path}", message)
    ]


def test_two_replicas_may_not_write_to_the_same_table() -> None:
    """A row has one writer, whichever replica of the plan it is."""
    plan = yaml.safe_load(EXAMPLE.read_text())
    plan["replicas"]["second"] = plan["replicas"]["reports"]
    result = check_document(parse_document(yaml.safe_dump(plan), "p"))
    assert {f.path for f in result if "one writer" in f.message} == {
        f"replicas.second.tables.{t}" for t in plan["tables"]
    }


@pytest.mark.parametrize(
    ("edit", "path", "words"),
    [
        (("trigger: realtime", "trigger: scheduled"), "defaults.trigger", "scheduled is not built yet"),
        (("{kind: eventual, lag: 2s}", "{kind: strong}"), "defaults.consistency.kind", "strong"),
        (("source_wins", "{last_write_wins: mtime}"), "defaults.conflict", "last_write_wins"),
        (
            (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{compute: {{x: 'a'}}}}}}"),
            f"tables.{ACCOUNTS}.columns.compute",
            "computed",
        ),
        ((f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: [{{}}, {{to: a.b}}]"), f"tables.{ACCOUNTS}", "several shapes"),
        (("trigger: realtime", "trigger: realtime\n      windows: ['01:00-05:00']"), "defaults.windows", "scheduled"),
        (("every: 1h", "every: 1h, thresholds: {drift: 5}"), "defaults.validation.thresholds", "thresholds"),
    ],
)
def test_what_is_not_built_is_refused_by_name(edit: tuple[str, str], path: str, words: str) -> None:
    """A word of the vocabulary that does nothing yet is never ignored."""
    matching = [f for f in findings(edit) if f.path == f"replicas.reports.{path}"]
    assert [(f.severity, words in f.message) for f in matching] == [("not_built", True)]


def test_automatic_repair_needs_a_check_that_names_keys() -> None:
    """By continuous checking, or by scheduled runs: counts name none."""
    automatic, counts = ("automatic: []", "automatic: [stale]"), ("[counts, checksums]", "[counts]")
    told = [f for f in findings(automatic, counts) if "validation.scrub_period" in f.message]
    assert [(f.severity, f.path) for f in told if f.path.startswith("replicas.reports")] == [
        ("contradictory", "replicas.reports.defaults.repair.automatic")
    ]
    assert not findings(automatic, counts, ("every: 1h", "every: 1h, scrub_period: 10m"))
    assert not findings(automatic)


def test_a_replicas_own_log_is_followed_where_there_is_one() -> None:
    """A Redis has none; and what is found needs the continuous check, which looks at it."""
    told = {(f.severity, f.path.split(".")[1]) for f in findings(("every: 1h", "every: 1h, replica_log: true"))}
    assert told == {("contradictory", name) for name in ("reports", "cache", "lookup")}
    others = findings(("every: 1h", "every: 1h, scrub_period: 10m, replica_log: true"), ("replicate", "verify"))
    assert any("mode verify others write" in f.message and f.path.startswith("replicas.reports") for f in others)
    followed = findings(("every: 1h", "every: 1h, scrub_period: 10m, replica_log: true"))
    assert {(f.severity, f.path.split(".")[1]) for f in followed} == {("contradictory", "cache")}


@pytest.mark.parametrize("value", ["{page: payments}", "{}", "[]", "''"])
@pytest.mark.parametrize("field", ["monitoring", "review_triggers"])
def test_what_is_not_built_of_the_plan_as_a_whole_is_refused_by_name(field: str, value: str) -> None:
    """Once, at its place, and as nothing else; also where it says nothing yet."""
    (finding,) = findings(("owner:", f"{field}: {value}\nowner:"))
    assert (finding.severity, finding.path, finding.line) == ("not_built", field, 4)
    assert "not built yet" in finding.message


def test_what_is_said_not_to_be_wanted_is_not_refused() -> None:
    """Nor is an empty field: nobody relies on it."""
    none = "trigger: realtime\n      windows: null\n      drift: {row_values: false, hidden_keys: false}"
    assert findings(("trigger: realtime", none), ("owner:", "monitoring:\nowner:")) == []


def test_hidden_keys_need_a_secret() -> None:
    """Without one anybody could hide a guess in the same way, and compare."""
    hidden = (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{drift: {{hidden_keys: true}}}}")
    (finding,) = findings(hidden)
    path = f"replicas.reports.tables.{ACCOUNTS}.drift.hidden_keys"
    assert (finding.severity, finding.path, "digest_key" in finding.message) == ("contradictory", path, True)
    assert findings(hidden, ("owner:", "digest_key: {env: KEY}\nowner:")) == []


def test_a_side_table_for_tombstones_is_not_built_yet() -> None:
    """DynamoDB replicas keep tombstones as an attribute of the item."""
    result = found(("tombstones: attribute", "tombstones: table"))
    assert result == {("not_built", f"replicas.lookup.tables.{ACCOUNTS}.tombstones")}


def test_joins_are_refused_with_the_reason() -> None:
    """A joined row has no key whose log could order it, and the finding says so."""
    result = findings((f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{join: {{with: public.pgbench_tellers}}}}"))
    assert [(f.path, "no single key whose log orders" in f.message) for f in result] == [
        (f"{REPORTS}.{ACCOUNTS}.join", True)
    ]


def test_a_list_with_one_shape_is_that_shape() -> None:
    """And a mistake in it is found where it is."""
    assert findings((f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: [{{to: a.b}}]")) == []
    assert ("invalid", f"{REPORTS}.{ACCOUNTS}[0].tooo") in found((f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: [{{tooo: a.b}}]"))


def test_only_a_missing_validation_is_filled_in(tmp_path: Path) -> None:
    """It is a warning for each table, and the plan can be used with counts."""
    path = tmp_path / "p.yaml"
    path.write_text(edited((VALIDATION, "")))
    result = findings((VALIDATION, ""))
    assert {f.severity for f in result} == {"filled_in"}
    assert len(result) == 7
    assert load_plan(path).replicas["cache"].tables[ACCOUNTS].validation.depths == ("counts",)


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (("name: bank", "name: Bank!"), "name"),
        (("holdtrue: 1", "holdtrue: 2"), "holdtrue"),
        (("holdtrue: 1", "holdtrue: 1\nextra: 1"), "extra"),
        (("owner: payments-team", "owner: [a]"), "owner"),
        (("key: [tid], ", "key: tid, "), "tables.public.pgbench_tellers.key"),
        (("[tid], partitions: 1", "[tid], partitions: 1001"), "tables.public.pgbench_tellers.partitions"),
        (("[tid], partitions: 1", "[tid], partitions: 0"), "tables.public.pgbench_tellers.partitions"),
        (("[tid], partitions: 1", "[tid], partitions: true"), "tables.public.pgbench_tellers.partitions"),
        (("[tid], partitions: 1", "[tid], partitions: '4'"), "tables.public.pgbench_tellers.partitions"),
        (("key: [tid], ", "key: [tid, tid], "), "tables.public.pgbench_tellers"),
        (("  public.pgbench_tellers: {key", "  Pg Tellers: {key"), "tables.Pg Tellers"),
        (("  lookup:", "  Look Up:"), "replicas.Look Up"),
        (("{env: HOLDTRUE_SOT_DSN}", "{env: HOLDTRUE_SOT_DSN}\n  slot: Not-A-Slot"), "source.slot"),
        (("{env: HOLDTRUE_SOT_DSN}", "{env: HOLDTRUE_SOT_DSN, file: x}"), "source.dsn"),
        (("{env: HOLDTRUE_KAFKA}", "a:b@c:9092"), "kafka.bootstrap"),
        (('op: "<="', 'op: "~"'), f"replicas.lookup.tables.{ACCOUNTS}.where[0].op"),
        (("value: 20000", "value: abc"), f"replicas.lookup.tables.{ACCOUNTS}.where[0]"),
        (("replicas:\n", "replicas: []\nold:\n"), "replicas"),
    ],
)
def test_invalid_values_are_named(edit: tuple[str, str], path: str) -> None:
    """Unknown fields, wrong types and names no server would take."""
    assert ("invalid", path) in found(edit)


def test_an_invalid_name_is_not_repeated_for_what_derives_from_it() -> None:
    """One mistake is one finding."""
    assert found(("name: bank", "name: Bank!")) == {("invalid", "name")}


@pytest.mark.parametrize("line", ["name: null", "name:", "name: [1]", "# no name"])
def test_what_derives_from_a_missing_name_is_not_missing_itself(line: str) -> None:
    """Only the name is: with it, slot, publication and prefix are there."""
    assert [finding.path for finding in findings(("name: bank", line))] == ["name"]


def test_a_literal_secret_is_refused_and_never_shown() -> None:
    """Not in a message, a path or the error of another verb."""
    secret = "postgresql://u:hunter2@h/db"
    result = findings(("{env: HOLDTRUE_CONTROL_DSN}", secret), ("{env: HOLDTRUE_KAFKA}", "u:hunter2@h:9092"))
    assert {f.path for f in result} == {"control.dsn", "kafka.bootstrap"}
    assert "hunter2" not in repr(result)


@pytest.mark.parametrize("dsn", ["postgresql://u:hunter2@h/db", "host=h password=hunter2"])
@pytest.mark.parametrize("place", ["{env: HOLDTRUE_CONTROL_DSN}", "{env: HOLDTRUE_KAFKA}", "{env: HOLDTRUE_REDIS_URL}"])
def test_a_secret_that_became_a_key_is_never_shown(place: str, dsn: str) -> None:
    """Not in the finding's path either, nor where it stands twice."""
    result = findings((place, f'{{"{dsn}": 1}}'))
    assert result
    assert "hunter2" not in repr(result)
    with pytest.raises(UsageError) as caught:
        findings((place, f'{{"{dsn}": 1, "{dsn}": 2}}'))
    assert "hunter2" not in str(caught.value)


def test_a_finding_has_line_sentence_and_who_can_supply_it() -> None:
    """A person can act on it without reading the documentation."""
    [finding] = findings(("approver: data-governance", "approver:"))
    assert (finding.line, finding.who) == (5, "the owner of the data")
    assert finding.message == "is missing: the team or person who approves changes of this plan"


def test_other_verbs_refuse_an_incomplete_plan(tmp_path: Path) -> None:
    """`load_plan` lists what is missing and ends with exit code 2."""
    path = tmp_path / "p.yaml"
    path.write_text(edited(("owner: payments-team\n", "")))
    with pytest.raises(PlanIncomplete, match="owner: is missing") as caught:
        load_plan(path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["[]", "plan", "1", "null"])
def test_what_has_no_fields_is_said_to_be_no_plan(text: str) -> None:
    """There is nothing in it that could be missing one by one."""
    with pytest.raises(UnreadablePlanError, match="p does not hold fields"):
        parse_document(text, "p")


@pytest.mark.parametrize("text", ["{}", "replicas: {a: {tables: {b: [1]}}}", "tables: {a: 1}\nreplicas: {a: b}"])
def test_any_shape_of_document_gives_findings(text: str) -> None:
    """What is no plan at all is described, not a crash."""
    assert any(finding.blocks for finding in check_document(parse_document(text, "p")))
