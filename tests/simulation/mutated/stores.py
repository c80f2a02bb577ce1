"""Mutants of single stores: what their own statements, conditions and scripts decide."""

from __future__ import annotations

from tests.simulation.mutants import Mutant, mutant

_RETENTION = "tests/contract/test_retention.py::test_"
_DYNAMODB = "tests/unit/replicas/test_dynamodb_write.py::test_"

STORES: tuple[Mutant, ...] = (
    mutant(
        "came-back-dead",
        "Postgres: a row that came back stays marked as dead, and its token is forgotten",
        "replicas.postgres_sql",
        "{dead} = excluded.{dead} ",
        "{dead} = coalesce(v.{dead}, excluded.{dead}) ",
        killer=_RETENTION + "a_row_that_came_back_is_never_forgotten[postgres]",
    ),
    mutant(
        "brought-back-dead",
        "Postgres: a repair leaves a row marked as dead or alive as it was",
        "replicas.postgres_sql",
        "SET {token} = b.token, {dead} = CASE WHEN b.live THEN NULL ELSE now() END ",
        "SET {token} = b.token ",
        killer=_RETENTION + "a_row_that_a_repair_brought_back_is_never_forgotten[postgres]",
    ),
    mutant(
        "removed-alive",
        "Postgres: what a repair removes under a token that was not there is marked as alive, and stays for ever",
        "replicas.postgres_sql",
        '"SELECT {key_cells}, token, CASE WHEN live THEN NULL ELSE now() END FROM {batch} ON CONFLICT DO NOTHING"',
        '"SELECT {key_cells}, token, NULL FROM {batch} ON CONFLICT DO NOTHING"',
        killer=_RETENTION + "a_row_that_a_repair_removed_is_forgotten_like_any_other[postgres-tokenless]",
    ),
    mutant(
        "forgotten-early",
        "Postgres: tombstones go before their retention is over",
        "replicas.postgres_sql",
        "now() - %s ",
        "now() - %s * 0.01 ",
        killer=_RETENTION + "a_tombstone_guards_for_its_retention_and_no_longer[postgres]",
    ),
    mutant(
        "came-back-expiring",
        "Redis: the token of a row that came back expires with its tombstone",
        "replicas.redis_script",
        ".read_text()",
        ".read_text().replace(\"redis.call('MSET', unpack(sets))\", "
        "\"for n = 1, #sets, 2 do redis.call('SET', sets[n], sets[n + 1], 'KEEPTTL') end\")",
        killer=_RETENTION + "a_row_that_came_back_is_never_forgotten[redis]",
    ),
    mutant(
        "other-type-as-gone",
        "Redis: a key of another type is taken for none when a delete is replayed",
        "replicas.redis_script",
        ".read_text()",
        ".read_text().replace(\" and redis.call('EXISTS', key) == 0\", '')",
        killer="tests/integration/replicas/test_redis.py"
        "::test_a_replayed_delete_over_a_key_of_another_type_is_a_conflict",
    ),
    mutant(
        "stranger-replaced-blindly",
        "DynamoDB: what came in place of a token that is none of ours is overwritten, however new",
        "replicas.dynamodb_write",
        '{"ConditionExpression": "#t = :t", "ExpressionAttributeValues": {":t": alien}}',
        '{"ConditionExpression": "attribute_exists(#t)"}',
        killer=_DYNAMODB + "a_token_that_is_none_of_ours_is_replaced_if_still_there",
        quick=True,
    ),
    mutant(
        "stranger-as-expected",
        "DynamoDB: a repair that expects a token replaces one that is none of ours",
        "replicas.dynamodb_write",
        "alien is not None and expected in (BY_ORDER, None)",
        "alien is not None",
        killer=_DYNAMODB + "a_token_that_is_none_of_ours_is_no_token_that_is_expected",
    ),
)
