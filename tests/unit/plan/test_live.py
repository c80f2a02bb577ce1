"""`plan check --live` as a comparison: catalog data in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streams.plan.catalog import Catalog, ColumnInfo, DatabaseInfo, PartInfo, PublicationInfo, SlotInfo, TableInfo
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live import source_findings
from streams.plan.live_replicas import postgres_findings
from streams.plan.load import parse_document
from streams.plan.model import Plan, PostgresReplica
from tests.unit.plan.plans import edited

ACCOUNTS = "public.pgbench_accounts"


def column(name: str, type_name: str = "int4", **fields: Any) -> ColumnInfo:
    """A nullable plain column."""
    known = {"typmod": -1, "shown": type_name, "sort": "", "nullable": True, "generated": False}
    return ColumnInfo(name=name, type=type_name, **{**known, "has_default": False, **fields})


def part(name: str, **fields: Any) -> PartInfo:
    """What holds rows, as the log wants it."""
    known: dict[str, Any] = {"relkind": "r", "logged": True, "replica_identity": "d"}
    return PartInfo(name, **{**known, **fields})


def table(name: str, key: tuple[str, ...], *columns: ColumnInfo, **fields: Any) -> TableInfo:
    """An ordinary table its reader owns."""
    known: dict[str, Any] = {"relkind": "r", "row_security": False, "parts": (part(name),)}
    known |= {
        "is_owner": True,
        "privileges": frozenset(("SELECT", "INSERT", "UPDATE", "DELETE")),
        "key_deferrable": False,
    }
    keys = [column(part, nullable=False) for part in key]
    return TableInfo(name=name, columns=(*keys, *columns), primary_key=key, **{**known, **fields})


DATABASE = DatabaseInfo("sot", "app", "7", "logical", False, True, True, 10, schemas={"public": True})
FILLER = column("filler", "bpchar", typmod=88, shown="character(84)")
TABLES = {
    ACCOUNTS: table(ACCOUNTS, ("aid",), column("bid"), column("abalance"), FILLER),
    "public.pgbench_tellers": table("public.pgbench_tellers", ("tid",), column("tbalance")),
    "public.pgbench_branches": table("public.pgbench_branches", ("bid",), column("bbalance")),
}
SIGNAL = "holdtrue.signal"
# Made by its owner, for the role to use.
WHOLE = PublicationInfo(is_owner=False, tables=frozenset((*TABLES, SIGNAL)))
SOURCE = Catalog(DATABASE, {**TABLES, SIGNAL: table(SIGNAL, ("id",))})


def _source(catalog: Catalog, *edits: tuple[str, str]) -> list[Finding]:
    document = parse_document(edited(*edits), "p")
    return list(source_findings(Plan.model_validate(document.data), Draft(document), catalog))


def _with(**changes: Any) -> Catalog:
    return replace(SOURCE, tables={**SOURCE.tables, ACCOUNTS: replace(TABLES[ACCOUNTS], **changes)})


def test_a_fitting_source_has_no_findings() -> None:
    """Nothing is said where nothing is wrong."""
    assert _source(SOURCE) == []


def test_a_table_without_a_primary_key_says_what_to_do() -> None:
    """pgbench_history, when somebody lists it."""
    history = "public.pgbench_history"
    listed = ("  # pgbench_history is", f"  {history}: {{key: [tid]}}\n  # pgbench_history is")
    catalog = replace(SOURCE, tables={**SOURCE.tables, history: table(history, (), column("tid"))})
    [finding] = _source(catalog, listed)
    assert (finding.severity, finding.path) == ("missing", f"tables.{history}.key")
    assert finding.message == (
        "has no primary key, so its rows cannot be told apart, ordered or checked: add a primary key "
        "(ALTER TABLE public.pgbench_history ADD PRIMARY KEY …), or leave the table out of the plan"
    )


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"primary_key": ("aid", "bid")}, "contradictory", "says aid, but the primary key is aid and bid"),
        ({"relkind": "v"}, "not_built", "a view"),
        ({"heirs": ("public.other",)}, "not_built", "is inherited by public.other"),
        ({"ancestors": ("public.pgbench_tellers",)}, "contradictory", "is a partition of public.pgbench_tellers"),
        ({"row_security": True}, "invalid", "BYPASSRLS"),
        ({"privileges": frozenset()}, "invalid", "GRANT SELECT ON public.pgbench_accounts"),
        ({"is_owner": False}, "invalid", "CREATE PUBLICATION holdtrue_bank"),
    ],
)
def test_tables_that_do_not_fit(changes: dict[str, Any], severity: str, words: str) -> None:
    """Each finding names the statement that settles it."""
    [finding] = [f for f in _source(_with(**changes)) if f.path.startswith("tables.")]
    assert (finding.severity, words in finding.message) == (severity, True)


OF_ANOTHER_INDEX = {"replica_identity": "i", "identity_columns": ("bid",)}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"logged": False}, "is unlogged, so its changes never reach the log: run ALTER TABLE public.one SET LOGGED"),
        ({"relkind": "f"}, "is a foreign table"),
        ({"replica_identity": "n"}, "NOTHING, so that Postgres refuses updates and deletes once it is published"),
        (OF_ANOTHER_INDEX, "do not say which row is gone: run ALTER TABLE public.one REPLICA IDENTITY DEFAULT"),
    ],
)
def test_a_table_and_its_partitions_must_be_in_the_log_under_their_key(wrong: dict[str, Any], words: str) -> None:
    """What holds for a table holds for each of its partitions, which is named then."""
    assert [words in f.message for f in _source(_with(parts=(part("public.one", **wrong),)))] == [True]
    parts = (part(ACCOUNTS), part("public.one", **wrong), part("public.two"))
    [finding] = _source(_with(relkind="p", parts=parts))
    assert (finding.path, finding.severity) == (f"tables.{ACCOUNTS}", "invalid")
    assert finding.message.startswith("has the partition public.one, which ")
    assert words in finding.message


@pytest.mark.parametrize(
    ("identity", "fits"),
    [
        ({"replica_identity": "d"}, True),
        ({"replica_identity": "f"}, True),
        ({"replica_identity": "i", "identity_columns": ("aid", "bid")}, True),
        (OF_ANOTHER_INDEX, False),
    ],
)
def test_every_identity_that_names_the_whole_key_fits(identity: dict[str, Any], fits: bool) -> None:
    """An index of more columns does, too."""
    assert (_source(_with(parts=(part(ACCOUNTS, **identity),))) == []) is fits


def test_a_deferrable_key_is_no_replica_identity() -> None:
    """Updates of a published table that has no other are refused by Postgres."""
    assert _source(_with(key_deferrable=True, parts=(part(ACCOUNTS, replica_identity="f"),))) == []
    [finding] = _source(_with(key_deferrable=True))
    assert "refuses updates and deletes once it is published" in finding.message
    assert "REPLICA IDENTITY FULL" in finding.message


@pytest.mark.parametrize(
    ("version", "identity", "fits"),
    [
        (180_004, {"replica_identity": "d"}, True),
        (180_004, {"replica_identity": "f"}, False),
        (180_004, {"replica_identity": "i", "identity_columns": ("aid", "total")}, False),
        (180_004, {"replica_identity": "i", "identity_columns": ("aid", "bid")}, True),
        (170_005, {"replica_identity": "f"}, True),
    ],
)
def test_generated_columns_are_no_part_of_an_identity(version: int, identity: dict[str, Any], fits: bool) -> None:
    """Postgres 18 refuses updates of such a table once it is published."""
    columns = (*TABLES[ACCOUNTS].columns, column("total", generated=True))
    catalog = _with(columns=columns, parts=(part(ACCOUNTS, **identity),))
    catalog = replace(catalog, database=replace(DATABASE, version=version))
    found = [f.message for f in _source(catalog) if f.path == f"tables.{ACCOUNTS}"]
    assert ["generated columns in its replica identity" in message for message in found] == ([] if fits else [True])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (
            column("places", "point"),
            "column places has the type point, which is not carried by itself, because it is not known to arrive",
        ),
        (column("tags", "_text", shown="text[]"), "text[]"),
        (column("total", generated=True), "is generated"),
        (column("has space"), "a name that Avro does not carry"),
        (column("größe"), "a name that Avro does not carry"),
        (column("2nd"), "a name that Avro does not carry"),
    ],
)
def test_columns_that_are_not_built(extra: ColumnInfo, words: str) -> None:
    """Named by column and type, once for each replica that would copy it, and not for one that leaves it out."""
    catalog = _with(columns=(*TABLES[ACCOUNTS].columns, extra))
    assert [(f.severity, words in f.message) for f in _source(catalog)] == [("not_built", True)] * 3
    omitted = (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{omit: [{extra.name}]}}}}")
    assert len(_source(catalog, omitted)) == 2


@pytest.mark.parametrize(
    ("extra", "refused"),
    [
        (column("tags", "_text", sort="array"), False),
        (column("span", "interval"), False),
        (column("total", generated=True), False),
        (column("born", "date"), False),
        (column("pair", "pair", sort="composite"), False),
        (column("price", "money"), True),
        (column("prices", "_money", sort="array", held=("money",)), True),
        (column("pairs", "pair", sort="composite", held=("int4", "regclass")), True),
        (column("state", "mood", sort="domain over enum"), True),
        (column("size", "of_an_extension"), True),
    ],
)
def test_what_does_not_arrive_can_be_asked(extra: ColumnInfo, refused: bool) -> None:
    """Only where one text says it; what is refused for good says nothing of asking."""
    catalog = _with(columns=(*TABLES[ACCOUNTS].columns, extra))
    asked = (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{ask: [{extra.name}]}}}}")
    mine = [f.message for f in _source(catalog, asked) if f.path.startswith("replicas.reports")]
    assert ["columns.ask" in message for message in mine] == ([False] if refused else [])


@pytest.mark.parametrize(
    ("extra", "words", "said"),
    [
        (
            column("ratio", "float8"),
            "round: {ratio: 2}",
            "rounds ratio, of type float8: its digits are binary",
        ),
        (column("made", "timestamp"), "round: {made: 7}", "of type timestamp: it has at most 6 digits of a second"),
        (column("word", "text"), "round: {word: 2}", "only numeric, timestamp, timestamptz and time can be rounded"),
        (column("price", "numeric"), "cut: {price: 2}", "only text and varchar can be cut"),
        (column("price", "numeric"), "cut: {nope: 2}", "names the column nope, which the table does not have"),
        (column("price", "numeric"), "round: {price: 7}", ""),
        (column("made", "timestamptz"), "round: {made: 0}, ask: [made]", ""),
        (column("word", "varchar", typmod=24), "cut: {word: 5}", ""),
    ],
)
def test_what_can_be_rounded_and_cut(extra: ColumnInfo, words: str, said: str) -> None:
    """By the column's type, with the reason, at the word's place."""
    catalog = _with(columns=(*TABLES[ACCOUNTS].columns, extra))
    found = _source(catalog, (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{{words}}}}}"))
    name = words.partition("{")[2].partition(":")[0]
    path = f"replicas.reports.tables.{ACCOUNTS}.columns.{words.partition(':')[0]}.{name}"
    assert [(f.severity, f.path, said in f.message) for f in found] == [("contradictory", path, True)] * bool(said)


def test_a_column_that_only_a_filter_looks_at_must_arrive() -> None:
    """Left out of the replica, it decides all the same."""
    catalog = _with(columns=(*TABLES[ACCOUNTS].columns, column("called", "name")))
    filtered = f"{ACCOUNTS}: {{columns: {{omit: [called]}}, where: [{{column: called, op: '=', value: x}}]}}"
    [found, *_] = _source(catalog, (f"{ACCOUNTS}: {{}}", filtered))
    assert "it arrives as NULL from the log" in found.message
    assert len(_source(catalog, (f"{ACCOUNTS}: {{}}", filtered))) == 3


def test_enums_that_stop_the_connector_are_named() -> None:
    """They need not be in any copied table."""
    [finding] = _source(replace(SOURCE, database=replace(DATABASE, unreadable_enums=("public.nothing",))))
    assert finding.path == "source"
    assert "public.nothing" in finding.message


def test_an_enum_is_text() -> None:
    """Enums are allowed."""
    assert _source(_with(columns=(*TABLES[ACCOUNTS].columns, column("state", "mood", sort="enum")))) == []


@pytest.mark.parametrize(("one", "other"), [("a-b", "a_b"), ("1x", "_x"), ("é", "_")])
def test_columns_that_avro_cannot_tell_apart_stop_every_table(one: str, other: str) -> None:
    """Also those that no replica copies: the connector writes all columns of a table."""
    catalog = _with(columns=(*TABLES[ACCOUNTS].columns, column(one), column(other)))
    omitted = f"{ACCOUNTS}: {{columns: {{omit: ['{one}', '{other}']}}}}"
    messages = [f.message for f in _source(catalog, (f"{ACCOUNTS}: {{}}", omitted)) if f.path == f"tables.{ACCOUNTS}"]
    assert len(messages) == 1
    assert "Avro cannot tell apart" in messages[0]


def test_a_table_that_is_not_there_and_a_column_that_is_not_there() -> None:
    """Both are named at their place in the plan."""
    catalog = replace(SOURCE, tables={name: info for name, info in TABLES.items() if name != ACCOUNTS})
    assert [(f.severity, f.path) for f in _source(catalog)] == [("missing", f"tables.{ACCOUNTS}")]
    renamed = (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{rename: {{nope: x}}}}}}")
    [finding] = _source(SOURCE, renamed)
    assert finding.path == f"replicas.reports.tables.{ACCOUNTS}.columns.rename.nope"


def test_ordering_a_text_column_is_refused() -> None:
    """Collations differ between stores, so order on text has no one meaning."""
    [finding] = _source(SOURCE, ("column: aid, op", "column: filler, op"))
    assert "only =, != and in work" in finding.message


def test_a_filter_on_inet_is_refused() -> None:
    """Its cast to text, which Postgres would compare, is not what it prints."""
    catalog = _with(columns=(*TABLES[ACCOUNTS].columns, column("host", "inet")))
    [finding] = _source(catalog, ('column: aid, op: "<=", value: 20000', "column: host, op: '=', value: '::1'"))
    assert "inet, which a filter does not compare yet" in finding.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wal_level": "replica"}, "ALTER SYSTEM SET wal_level"),
        ({"may_replicate": False}, 'ALTER ROLE "app" REPLICATION'),
        ({"may_create": False}, 'GRANT CREATE ON DATABASE "sot" TO "app"'),
        ({"publications": {"holdtrue_bank": replace(WHOLE, tables=frozenset((ACCOUNTS,)))}}, "may not change it"),
        ({"slots_max": 1, "slots": {"x": SlotInfo("pgoutput", "sot", True)}}, "max_replication_slots"),
        ({"slots": {"holdtrue_bank": SlotInfo("wal2json", "sot", False)}}, "belongs to wal2json"),
        ({"slots": {"holdtrue_bank": SlotInfo("pgoutput", "other", False)}}, "of other"),
    ],
)
def test_servers_and_roles_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    """Settings and permissions, with the statement that settles them."""
    [finding] = _source(replace(SOURCE, database=replace(DATABASE, **changes)))
    assert words in finding.message


OTHERS = table(SIGNAL, ("id",), is_owner=False, privileges=frozenset(("SELECT",)))
USED = table(SIGNAL, ("id",), is_owner=False)
PUBLISHED = {"publications": {"holdtrue_bank": WHOLE}, "may_create": False}


@pytest.mark.parametrize(
    ("signal", "database", "words"),
    [
        (OTHERS, PUBLISHED, 'GRANT USAGE ON SCHEMA holdtrue TO "app"; GRANT DELETE, INSERT, SELECT ON holdtrue.signal'),
        (USED, {}, "is not owned by the role app"),
        (None, {**PUBLISHED, "schemas": {"holdtrue": False}}, 'GRANT USAGE, CREATE ON SCHEMA holdtrue TO "app"'),
        (None, {**PUBLISHED, "schemas": {}}, 'GRANT CREATE ON DATABASE "sot" TO "app"'),
        (USED, PUBLISHED, ""),
        (None, {**PUBLISHED, "schemas": {"holdtrue": True}}, ""),
    ],
)
def test_the_signal_table_is_there_to_be_written_or_can_be_made(
    signal: TableInfo | None, database: dict[str, Any], words: str
) -> None:
    """What `connectors apply` would meet, with the statement that settles it."""
    tables = {**TABLES, **({SIGNAL: signal} if signal else {})}
    found = _source(replace(SOURCE, database=replace(DATABASE, **database), tables=tables))
    assert [finding.path for finding in found] == ["source.signal_table"] * bool(words)
    assert all(words in finding.message for finding in found)


def test_what_exists_needs_no_permission_to_create() -> None:
    """With its publication there, the role needs neither CREATE nor ownership."""
    database = replace(DATABASE, may_create=False, publications={"holdtrue_bank": WHOLE})
    assert _source(replace(_with(is_owner=False), database=database)) == []


def _replica(catalog: Catalog, *edits: tuple[str, str], source: Catalog = SOURCE) -> list[Finding]:
    document = parse_document(edited(*edits), "p")
    plan = Plan.model_validate(document.data)
    replica = plan.replicas["reports"]
    assert isinstance(replica, PostgresReplica)
    return list(postgres_findings(plan, Draft(document), "reports", replica, source, catalog))


STORE = Catalog(replace(DATABASE, name="replica", system_identifier="8"), TABLES)


def test_a_replica_that_fits_or_can_be_created_has_no_findings() -> None:
    """Equal tables, and no tables at all."""
    assert _replica(STORE) == []
    assert _replica(replace(STORE, tables={})) == []


@pytest.mark.parametrize(
    ("extra", "fits"),
    [
        (column("state", "mood", sort="enum"), True),
        (column("pair", "pair", sort="composite"), True),
        (column("states", "_mood", sort="array"), True),
        (column("tags", "_text", sort="array"), False),
        (column("total", "int4"), False),
    ],
)
def test_what_only_the_source_knows_may_be_text(extra: ColumnInfo, fits: bool) -> None:
    """As in a table that holdtrue creates; every other column has the source's own type."""
    known, kept = TABLES[ACCOUNTS], TABLES[ACCOUNTS].columns
    found = replace(STORE, tables={**TABLES, ACCOUNTS: replace(known, columns=(*kept, column(extra.name, "text")))})
    findings = _replica(found, source=_with(columns=(*kept, extra)))
    assert ["expected is" in finding.message for finding in findings] == ([] if fits else [True])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"columns": (column("aid", "int8", nullable=False), column("bid"), column("abalance"), FILLER)},
            "aid as int8; expected is int4",
        ),
        (
            {"columns": (column("aid", nullable=False), column("bid"), column("abalance"))},
            "no column filler; expected is character(84)",
        ),
        (
            {"columns": (*TABLES[ACCOUNTS].columns[:-1], replace(FILLER, typmod=24, shown="character(20)"))},
            "filler as character(20)",
        ),
        ({"columns": (*TABLES[ACCOUNTS].columns, column("must", nullable=False))}, "must that needs a value"),
        ({"columns": (column("aid"), column("bid", nullable=False), column("abalance"), FILLER)}, "bid NOT NULL"),
        (
            {"columns": (column("aid"), column("bid", generated=True), column("abalance"), FILLER)},
            "computes the column bid",
        ),
        ({"primary_key": ()}, "the primary key none; expected is aid"),
        ({"key_deferrable": True}, "deferrable"),
        ({"relkind": "v"}, "not a table"),
    ],
)
def test_replica_tables_of_another_shape(changes: dict[str, Any], words: str) -> None:
    """Named by column, expected and found type."""
    catalog = replace(STORE, tables={**TABLES, ACCOUNTS: replace(TABLES[ACCOUNTS], **changes)})
    [finding] = _replica(catalog)
    assert (finding.severity, words in finding.message) == ("contradictory", True), finding.message


def test_a_narrower_column_is_taken_where_the_mapping_declares_it() -> None:
    """Undeclared, the store would round what the check compares."""
    known, kept = TABLES[ACCOUNTS], TABLES[ACCOUNTS].columns
    source = _with(columns=(*kept, column("note", "text")))
    short = column("note", "varchar", typmod=204, shown="character varying(200)")
    found = replace(STORE, tables={**TABLES, ACCOUNTS: replace(known, columns=(*kept, short))})
    declared = (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{cut: {{note: 200}}}}}}")
    assert _replica(found, declared, source=source) == []
    [finding] = _replica(found, source=source)
    assert "has the column note as character varying(200); expected is text" in finding.message
    [finding] = _replica(found, (declared[0], declared[1].replace("200", "201")), source=source)
    assert "has the column note as character varying(200); expected is text (cut: 201)" in finding.message


def test_replica_permissions() -> None:
    """What the role may not write or create is named with the GRANT that allows it."""
    read_only = replace(
        STORE, tables={**TABLES, ACCOUNTS: replace(TABLES[ACCOUNTS], privileges=frozenset(("SELECT",)))}
    )
    assert ["GRANT INSERT, UPDATE, DELETE" in f.message for f in _replica(read_only)] == [True]
    closed = Catalog(replace(STORE.database, may_create=False, schemas={"public": False}), {})
    found = [(f.path, f.message.partition(": run ")[2]) for f in _replica(closed)]
    assert found[0] == ("replicas.reports.token_schema", 'GRANT CREATE ON DATABASE "replica" TO "app"')
    assert found[1] == (f"replicas.reports.tables.{ACCOUNTS}", 'GRANT CREATE ON SCHEMA "public" TO "app"')


def test_row_security_of_a_replica_that_hides_rows() -> None:
    """It would refuse writes, too; both ways out are statements."""
    hidden = replace(STORE, tables={**TABLES, ACCOUNTS: replace(TABLES[ACCOUNTS], row_security=True)})
    [finding] = _replica(hidden)
    assert (finding.severity, finding.path) == ("invalid", f"replicas.reports.tables.{ACCOUNTS}")
    assert 'run ALTER ROLE "app" BYPASSRLS, or ALTER TABLE public.pgbench_accounts DISABLE' in finding.message


def test_a_generated_key_is_neither_left_out_nor_asked() -> None:
    """Both were advised, and each is refused for a key."""
    columns = (column("aid", "int4", nullable=False, generated=True), *TABLES[ACCOUNTS].columns[1:])
    found = [f for f in _source(_with(columns=columns)) if "is generated" in f.message]
    assert found
    assert all("columns.omit" not in f.message and "primary key of other columns" in f.message for f in found)


def test_what_is_held_in_arrays_and_composites_is_looked_at() -> None:
    """Asking gives what Postgres prints, which of some types is not of the value alone."""
    columns = (*TABLES[ACCOUNTS].columns, column("paid", "_money", sort="array", held=("money",), shown="money[]"))
    asking = (f"{ACCOUNTS}: {{}}", f"{ACCOUNTS}: {{columns: {{ask: [paid]}}}}")
    found = [f for f in _source(_with(columns=columns), asking) if "paid" in f.message]
    assert found
    assert all(
        "it holds money, which no column can have" in f.message and "columns.ask" not in f.message for f in found
    )


def test_a_replica_that_numbers_a_column_itself() -> None:
    """Its INSERT is refused by the server: the table was held, and this check said that all was well."""
    first, *others = TABLES[ACCOUNTS].columns
    numbered = replace(TABLES[ACCOUNTS], columns=(replace(first, numbered=True), *others))
    [finding] = _replica(replace(STORE, tables={**TABLES, ACCOUNTS: numbered}))
    assert "SET GENERATED BY DEFAULT" in finding.message


def test_a_replica_that_is_the_source_itself() -> None:
    """Two addresses of one database are recognised by the server's own identifier."""
    assert ["source of truth itself" in f.message for f in _replica(SOURCE)] == [True] * 3


def test_values_of_an_enum_that_a_replica_lacks() -> None:
    """Where its table has the enum; one that is to be created has text."""
    listed = (*TABLES[ACCOUNTS].columns[:-1], column("filler", "mood", sort="enum"))
    tables = {**TABLES, ACCOUNTS: replace(TABLES[ACCOUNTS], columns=listed)}
    source = Catalog(replace(DATABASE, enums={"mood": ("good", "it's bad")}), tables)
    assert _replica(replace(STORE, tables={}), source=source) == []
    [finding] = _replica(Catalog(replace(STORE.database, enums={"mood": ("good",)}), tables), source=source)
    assert "run ALTER TYPE \"mood\" ADD VALUE 'it''s bad'" in finding.message
    assert _replica(Catalog(replace(STORE.database, enums=source.database.enums), tables), source=source) == []
