-- Every statement on the control database, by name. Loaded by queries.py.

-- name: lock_migration
-- The number replicas use too (replicas/postgres_prepare.py): control and a replica may share one database.
SELECT pg_advisory_xact_lock(7308613581302001)

-- name: create_meta
CREATE SCHEMA IF NOT EXISTS holdtrue;
CREATE TABLE IF NOT EXISTS holdtrue.meta (
    version integer PRIMARY KEY,
    plan text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: schema_version
SELECT version, plan FROM holdtrue.meta ORDER BY version DESC LIMIT 1

-- name: add_version
INSERT INTO holdtrue.meta (version, plan) VALUES (%(version)s, %(plan)s)

-- name: has_schema
SELECT to_regclass('holdtrue.meta') IS NOT NULL AS there

-- name: add_progress
INSERT INTO holdtrue.progress (topic, partition, next_offset) VALUES (%(topic)s, %(partition)s, 0)
ON CONFLICT DO NOTHING

-- name: lock_progress
SELECT next_offset FROM holdtrue.progress WHERE topic = %(topic)s AND partition = %(partition)s FOR UPDATE

-- name: move_progress
UPDATE holdtrue.progress SET next_offset = %(next_offset)s WHERE topic = %(topic)s AND partition = %(partition)s

-- name: all_progress
SELECT topic, partition, next_offset FROM holdtrue.progress

-- name: add_unreadable
INSERT INTO holdtrue.unreadable (topic, partition, "offset", error)
VALUES (%(topic)s, %(partition)s, %(offset)s, %(error)s)
ON CONFLICT DO NOTHING

-- name: drift_states
SELECT id, state, kind, first_seen, last_seen, times_seen, lives, accepted_until FROM holdtrue.drift WHERE id = ANY(%(ids)s)

-- name: drift_told
-- What a run said of an end, refused or not, is no news of the drift; what a repair or its owner said is.
SELECT id, max("offset") AS "offset" FROM holdtrue.drift_events
 WHERE id = ANY(%(ids)s) AND NOT (state IN ('resolved', 'superseded') AND run IS NOT NULL AND repair IS NULL)
 GROUP BY id

-- name: put_drift
INSERT INTO holdtrue.drift (
    id, replica, table_name, key, key_bytes, key_hidden, kind, cause, state, first_seen, last_seen, times_seen, lives,
    entry_token, replica_token, entry_digest, replica_digest, sot_digest, columns, run, change, repair, reason,
    accepted_by, accepted_until, at, keys, causes, evidence
) VALUES (
    %(id)s, %(replica)s, %(table)s, %(key)s, %(key_bytes)s, %(key_hidden)s, %(kind)s, %(cause)s, %(state)s,
    %(first_seen)s, %(last_seen)s, %(times_seen)s, %(lives)s, %(entry_token)s, %(replica_token)s, %(entry_digest)s,
    %(replica_digest)s, %(sot_digest)s, %(columns)s, %(run)s, %(change)s, %(repair)s, %(reason)s, %(accepted_by)s,
    %(accepted_until)s, %(at)s, %(keys)s, %(causes)s, %(evidence)s
) ON CONFLICT (id) DO UPDATE SET
    replica = excluded.replica, table_name = excluded.table_name, key_hidden = excluded.key_hidden,
    kind = excluded.kind, state = excluded.state,
    cause = CASE WHEN NOT %(fresh)s AND (excluded.cause, excluded.kind) = ('unknown', drift.kind)
                 THEN drift.cause ELSE excluded.cause END,
    -- Of the cause that holds: a later step that repeats that may leave it out.
    evidence = CASE WHEN NOT %(fresh)s AND (excluded.kind = drift.kind AND excluded.cause IN ('unknown', drift.cause))
                    THEN coalesce(excluded.evidence, drift.evidence) ELSE excluded.evidence END,
    first_seen = excluded.first_seen, last_seen = excluded.last_seen, times_seen = excluded.times_seen,
    lives = excluded.lives, at = excluded.at, keys = excluded.keys, causes = excluded.causes,
    -- Seen again while it is accepted, it stays so.
    accepted_by = CASE WHEN excluded.state = 'accepted' THEN coalesce(excluded.accepted_by, drift.accepted_by) END,
    accepted_until = CASE WHEN excluded.state = 'accepted'
                          THEN coalesce(excluded.accepted_until, drift.accepted_until) END,
    -- Seen again in the same state, what was said of it first still holds.
    reason = CASE WHEN NOT %(fresh)s AND (excluded.state, excluded.kind) = (drift.state, drift.kind)
                  THEN coalesce(excluded.reason, drift.reason) ELSE excluded.reason END,
    -- A later step of the same life may not repeat what an earlier one said; a new life starts with nothing.
    key = CASE WHEN %(fresh)s THEN excluded.key ELSE coalesce(excluded.key, drift.key) END,
    key_bytes = CASE WHEN %(fresh)s THEN excluded.key_bytes ELSE coalesce(excluded.key_bytes, drift.key_bytes) END,
    entry_token = CASE WHEN %(fresh)s THEN excluded.entry_token
                       ELSE coalesce(excluded.entry_token, drift.entry_token) END,
    replica_token = CASE WHEN %(fresh)s THEN excluded.replica_token
                         ELSE coalesce(excluded.replica_token, drift.replica_token) END,
    entry_digest = CASE WHEN %(fresh)s THEN excluded.entry_digest
                        ELSE coalesce(excluded.entry_digest, drift.entry_digest) END,
    replica_digest = CASE WHEN %(fresh)s THEN excluded.replica_digest
                          ELSE coalesce(excluded.replica_digest, drift.replica_digest) END,
    sot_digest = CASE WHEN %(fresh)s THEN excluded.sot_digest
                      ELSE coalesce(excluded.sot_digest, drift.sot_digest) END,
    columns = CASE WHEN %(fresh)s OR excluded.columns <> '{}' THEN excluded.columns ELSE drift.columns END,
    run = CASE WHEN %(fresh)s THEN excluded.run ELSE coalesce(excluded.run, drift.run) END,
    change = CASE WHEN %(fresh)s THEN excluded.change ELSE coalesce(excluded.change, drift.change) END,
    repair = CASE WHEN %(fresh)s THEN excluded.repair ELSE coalesce(excluded.repair, drift.repair) END

-- name: add_drift_event
INSERT INTO holdtrue.drift_events (
    topic, partition, "offset", id, state, before, verdict, life, cause, run, repair, reason, said_by, at, keys, ordered_by
) VALUES (
    %(topic)s, %(partition)s, %(offset)s, %(id)s, %(state)s, %(before)s, %(verdict)s, %(life)s, %(cause)s, %(run)s,
    %(repair)s, %(reason)s, %(said_by)s, %(at)s, %(keys)s, %(ordered_by)s
)

-- name: put_run
INSERT INTO holdtrue.runs (
    run, table_name, replica, depth, scope, outcome, sot_rows, replica_rows, verified, superseded, skipped, failed,
    drift_found, fence_lsn, verified_through, verified_through_at, seconds, started, finished, error, absent, who, plan_hash,
    owner, approver
) VALUES (
    %(run)s, %(table)s, %(replica)s, %(depth)s, %(scope)s, %(outcome)s, %(sot_rows)s, %(replica_rows)s, %(verified)s,
    %(superseded)s, %(skipped)s, %(failed)s, %(drift_found)s, %(fence_lsn)s, %(verified_through)s,
    %(verified_through_at)s, %(seconds)s, %(started)s, %(finished)s, %(error)s, %(absent)s, %(who)s, %(plan_hash)s,
    %(owner)s, %(approver)s
) ON CONFLICT DO NOTHING

-- name: put_repair
INSERT INTO holdtrue.repairs (repair, first_at, last_at) VALUES (%(repair)s, %(at)s, %(at)s)
ON CONFLICT (repair) DO UPDATE SET
    first_at = least(repairs.first_at, excluded.first_at), last_at = greatest(repairs.last_at, excluded.last_at)

-- name: put_repair_item
INSERT INTO holdtrue.repair_items (
    repair, drift, replica, table_name, partition, key_bytes, outcome, token, reason, at
) VALUES (
    %(repair)s, %(drift)s, %(replica)s, %(table)s, %(partition)s, %(key)s, %(outcome)s, %(token)s, %(reason)s, %(at)s
) ON CONFLICT (repair, drift, sha256(key_bytes)) DO UPDATE SET
    outcome = excluded.outcome, token = excluded.token, reason = excluded.reason, at = excluded.at

-- name: add_signal
INSERT INTO holdtrue.signals (
    topic, partition, "offset", id, type, replica, table_name, position, run, detail, at
) VALUES (
    %(topic)s, %(partition)s, %(offset)s, %(id)s, %(type)s, %(replica)s, %(table)s, %(position)s, %(run)s, %(detail)s,
    %(at)s
)

-- name: known_hold
SELECT reason FROM holdtrue.holds
 WHERE replica = %(replica)s AND table_name = %(table)s AND partition = %(partition)s AND "offset" = %(offset)s

-- name: put_hold
INSERT INTO holdtrue.holds (replica, table_name, partition, "offset", reason, since, held_by)
VALUES (%(replica)s, %(table)s, %(partition)s, %(offset)s, %(reason)s, %(at)s, %(held_by)s)
ON CONFLICT (replica, table_name, partition) DO UPDATE
   SET "offset" = excluded."offset", reason = excluded.reason, held_by = excluded.held_by

-- name: end_holds
DELETE FROM holdtrue.holds
 WHERE replica = %(replica)s AND table_name = %(table)s
   AND (%(partition)s::integer IS NULL OR partition = %(partition)s)

-- name: end_passed_hold
DELETE FROM holdtrue.holds
 WHERE replica = %(replica)s AND table_name = %(table)s AND partition = %(partition)s
   AND "offset" >= 0 AND "offset" < %(committed)s
RETURNING reason, "offset"

-- name: holds
-- Those that stop for a record of another partition come last.
SELECT replica, table_name AS table, partition, "offset", reason, since FROM holdtrue.holds
 ORDER BY replica, table_name, held_by NOT IN (-1, partition), partition

-- name: put_dead_letter
INSERT INTO holdtrue.dead_letters (
    id, replica, table_name, topic, partition, "offset", recorded_at, key_bytes, value_bytes, header_names, reason,
    error, drift, times, letter_partition, letter_offset, schema_id, at
) VALUES (
    %(id)s, %(replica)s, %(table)s, %(topic)s, %(partition)s, %(offset)s, %(recorded_at)s, %(key_bytes)s,
    %(value_bytes)s, %(header_names)s, %(reason)s, %(error)s, %(drift)s, 1, %(letter_partition)s, %(letter_offset)s,
    %(schema_id)s, %(at)s
) ON CONFLICT (replica, topic, partition, "offset") DO UPDATE SET times = dead_letters.times + 1

-- name: lock_audit
SELECT pg_advisory_xact_lock(hashtext('holdtrue.audit'))

-- name: audit_tail
SELECT sequence, hash FROM holdtrue.audit ORDER BY sequence DESC LIMIT 1

-- name: audit_known
SELECT source FROM holdtrue.audit WHERE source = ANY(%(sources)s)

-- name: add_audit
INSERT INTO holdtrue.audit (sequence, at, who, what, object, why, detail, previous, hash, source)
VALUES (%(sequence)s, %(at)s, %(who)s, %(what)s, %(object)s, %(why)s, %(detail)s, %(previous)s, %(hash)s, %(source)s)

-- name: audit_range
SELECT sequence, at, who, what, object, why, detail, previous, hash FROM holdtrue.audit
 WHERE sequence > %(after)s ORDER BY sequence LIMIT %(limit)s

-- name: audit_newest
SELECT sequence, at, who, what, object, why, detail, previous, hash FROM holdtrue.audit
 ORDER BY sequence DESC LIMIT %(limit)s

-- name: audit_published
SELECT through FROM holdtrue.audit_published

-- name: lock_published
SELECT through FROM holdtrue.audit_published FOR UPDATE

-- name: move_published
UPDATE holdtrue.audit_published SET through = greatest(through, %(through)s)

-- name: list_drift
SELECT id, table_name AS table, replica, key, key_bytes, key_hidden, kind, cause, state, first_seen, last_seen,
       times_seen, entry_token, replica_token, columns, run, repair, keys, causes, evidence
  FROM holdtrue.drift
 WHERE (%(states)s::text[] IS NULL OR state = ANY(%(states)s)) AND (%(kind)s::text IS NULL OR kind = %(kind)s)
   AND (%(table)s::text IS NULL OR table_name = %(table)s) AND (%(replica)s::text IS NULL OR replica = %(replica)s)
 ORDER BY first_seen, id LIMIT %(limit)s

-- name: open_drift
-- Whatever has not ended, with the record that told of each last, as drift_told has it.
SELECT d.id, d.key, d.key_bytes, d.key_hidden, d.kind, d.cause, d.keys, d.causes, d.state, d.first_seen, d.last_seen,
       d.at, e.partition, e."offset"
  FROM holdtrue.drift d
  JOIN LATERAL (SELECT partition, "offset" FROM holdtrue.drift_events
                 WHERE id = d.id AND NOT (state IN ('resolved', 'superseded') AND run IS NOT NULL AND repair IS NULL)
                 ORDER BY "offset" DESC LIMIT 1) e ON true
 WHERE d.state IN ('open', 'repairing', 'repaired', 'accepted') AND d.table_name = %(table)s AND d.replica = %(replica)s
 ORDER BY d.first_seen, d.id LIMIT %(limit)s

-- name: open_since
-- Of what a look at single keys can end, when it was seen last: of the one longest ago.
SELECT replica, table_name AS table, min(last_seen) AS seen
  FROM holdtrue.drift
 WHERE (state = 'open' OR (state IN ('repairing', 'repaired') AND at < now() - interval '10 minutes'))
   AND key_bytes IS NOT NULL AND NOT key_hidden
 GROUP BY 1, 2

-- name: one_drift
SELECT d.id, d.replica, d.table_name AS table, d.key, d.key_bytes, d.key_hidden, d.kind, d.cause, d.keys, d.causes,
       d.state, d.first_seen, d.last_seen, e.partition
  FROM holdtrue.drift d
  JOIN LATERAL (SELECT partition FROM holdtrue.drift_events WHERE id = d.id LIMIT 1) e ON true
 WHERE d.id = %(id)s

-- name: ended_acceptances
SELECT id, replica, table_name AS table, key, key_bytes, key_hidden, kind, cause, keys, causes, first_seen, last_seen,
       accepted_by, coalesce(accepted_until, at) AS accepted_until
  FROM holdtrue.drift WHERE state = 'accepted' AND coalesce(accepted_until, at) <= now()
 ORDER BY accepted_until LIMIT %(limit)s

-- name: show_drift
SELECT id, table_name AS table, replica, key, key_bytes, key_hidden, kind, cause, state, first_seen, last_seen,
       times_seen, entry_token, replica_token, columns, run, repair, keys, causes, evidence, lives, entry_digest,
       replica_digest, sot_digest, change, reason, accepted_by, accepted_until, at
  FROM holdtrue.drift WHERE id = %(id)s

-- name: drift_history
SELECT at, state, before, verdict, life, cause, run, repair, reason, said_by, ordered_by, partition, "offset"
  FROM holdtrue.drift_events WHERE id = %(id)s ORDER BY partition, "offset"

-- name: drift_counts
SELECT table_name AS table, replica, kind, sum(keys)::bigint AS count FROM holdtrue.drift
 WHERE state = ANY(%(states)s) GROUP BY 1, 2, 3

-- name: newest_runs
SELECT DISTINCT ON (table_name, replica) table_name AS table, replica, outcome, verified, superseded, skipped, failed,
       drift_found, finished
  FROM holdtrue.runs
 -- A look at the keys of a repair says nothing of the table.
 WHERE depth <> 'keys'
 ORDER BY table_name, replica, finished DESC

-- name: unrecorded_drift
-- Tables whose last run that came to an answer found more drift than there are keys it could name: nothing records it.
WITH last AS (
    SELECT DISTINCT ON (table_name, replica) table_name, replica, run, outcome, drift_found FROM holdtrue.runs
     WHERE depth <> 'keys' AND outcome <> 'incomplete'
     ORDER BY table_name, replica, finished DESC
)
SELECT last.table_name AS table, last.replica
  FROM last LEFT JOIN LATERAL (SELECT max(keys) AS keys FROM holdtrue.drift_events
                                WHERE run = last.run AND state = 'open' GROUP BY id) e ON true
 WHERE last.outcome = 'drifted'
 GROUP BY last.table_name, last.replica, last.drift_found
HAVING last.drift_found > coalesce(sum(e.keys), 0)

-- name: last_runs
SELECT table_name AS table, replica, depth, max(finished) AS finished FROM holdtrue.runs GROUP BY 1, 2, 3

-- name: scheduled
-- Since when runs of these kinds are wanted; of those that are new, since now.
WITH wanted AS (
    SELECT * FROM unnest(%(replicas)s::text[], %(tables)s::text[], %(depths)s::text[]) w (replica, table_name, depth)
), added AS (
    INSERT INTO holdtrue.scheduled SELECT replica, table_name, depth, now() FROM wanted
    ON CONFLICT DO NOTHING RETURNING *
)
SELECT replica, table_name AS table, depth, since FROM holdtrue.scheduled NATURAL JOIN wanted
UNION ALL SELECT replica, table_name AS table, depth, since FROM added

-- name: runs_found
-- Of the newest run of each kind that this one asked for lately, where it has found drift: the kinds of what was open
-- when it ended, and still is.
SELECT r.*, ARRAY(SELECT DISTINCT d.kind FROM holdtrue.drift d
                   WHERE d.replica = r.replica AND d.table_name = r.table AND d.state IN ('open', 'repairing')
                     AND d.first_seen <= r.finished) AS kinds
  FROM (SELECT DISTINCT ON (replica, table_name, depth) run, replica, table_name AS table, depth, drift_found, finished
          FROM holdtrue.runs WHERE who = %(who)s AND finished > now() - interval '1 day'
         ORDER BY replica, table_name, depth, finished DESC) r
 WHERE r.drift_found > 0

-- name: verified_through
SELECT DISTINCT ON (table_name, replica) table_name AS table, replica, verified_through AS position,
       coalesce(verified_through_at, finished) AS at
  FROM holdtrue.runs WHERE verified_through IS NOT NULL
 ORDER BY table_name, replica, verified_through::pg_lsn DESC, finished DESC

-- name: list_dead_letters
SELECT id, replica, table_name AS table, topic, partition, "offset", reason, error, drift, times, at
  FROM holdtrue.dead_letters
 WHERE (%(table)s::text IS NULL OR table_name = %(table)s) AND (%(replica)s::text IS NULL OR replica = %(replica)s)
   AND (%(reason)s::text IS NULL OR reason = %(reason)s)
 ORDER BY at, id LIMIT %(limit)s

-- name: show_dead_letter
SELECT l.id, l.replica, l.table_name AS table, l.topic, l.partition, l."offset", l.recorded_at, l.reason, l.error,
       l.schema_id, l.key_bytes AS key_size, l.value_bytes AS value_size, l.header_names, l.times, l.at,
       l.letter_partition, l.letter_offset, l.drift, d.state AS drift_state, d.key, d.key_bytes, d.key_hidden
  FROM holdtrue.dead_letters l LEFT JOIN holdtrue.drift d ON d.id = l.drift
 WHERE l.id = %(id)s

-- name: count_unreadable
SELECT topic, count(*) AS count FROM holdtrue.unreadable GROUP BY topic

-- name: count_unpublished
SELECT count(*) AS count FROM holdtrue.audit WHERE sequence > (SELECT through FROM holdtrue.audit_published)

-- name: count_dead_letters
SELECT table_name AS table, replica, reason, count(*) AS count FROM holdtrue.dead_letters GROUP BY 1, 2, 3

-- name: add_source
INSERT INTO holdtrue.source (system, timeline, lsn, slot, published, parts)
VALUES (%(system)s, %(timeline)s, %(lsn)s, %(slot)s, %(published)s, %(parts)s)
ON CONFLICT DO NOTHING

-- name: lock_source
SELECT system, timeline, lsn, slot, published, parts, epoch, ordered, cause, reason, tables, sweeps
  FROM holdtrue.source FOR UPDATE

-- name: move_source
UPDATE holdtrue.source SET system = %(system)s, timeline = %(timeline)s, lsn = %(lsn)s, slot = %(slot)s,
       published = %(published)s, epoch = %(epoch)s, ordered = %(ordered)s, cause = %(cause)s, reason = %(reason)s,
       tables = %(tables)s, parts = %(parts)s, sweeps = %(sweeps)s, seen_at = now()

-- name: told_source
UPDATE holdtrue.source SET cause = NULL, reason = NULL, tables = NULL WHERE reason = %(reason)s

-- name: ordered_source
UPDATE holdtrue.source SET ordered = true WHERE epoch = %(epoch)s

-- name: add_store
INSERT INTO holdtrue.stores (replica, histories) VALUES (%(replica)s, %(histories)s) ON CONFLICT DO NOTHING

-- name: lock_store
SELECT histories, told FROM holdtrue.stores WHERE replica = %(replica)s FOR UPDATE

-- name: move_store
UPDATE holdtrue.stores SET histories = %(histories)s, told = told AND NOT %(lost)s,
       lost_at = CASE WHEN %(lost)s THEN now() ELSE lost_at END
 WHERE replica = %(replica)s

-- name: told_store
UPDATE holdtrue.stores SET told = true WHERE replica = %(replica)s RETURNING replica

-- name: lost_stores
SELECT replica, lost_at FROM holdtrue.stores WHERE lost_at IS NOT NULL

-- name: swept_source
UPDATE holdtrue.source SET sweeps = '{}' WHERE sweeps = %(sweeps)s::text[]

-- name: put_sample
INSERT INTO holdtrue.samples (replica, table_name, minutes, at, lag_seconds, lag_events, drift_open, held)
VALUES (%(replica)s, %(table)s, 1, %(at)s, %(lag_seconds)s, %(lag_events)s, %(drift_open)s, %(held)s)
ON CONFLICT (replica, table_name, minutes, at) DO UPDATE SET
    lag_seconds = greatest(samples.lag_seconds, excluded.lag_seconds),
    lag_events = greatest(samples.lag_events, excluded.lag_events),
    drift_open = greatest(samples.drift_open, excluded.drift_open), held = samples.held OR excluded.held

-- name: thin_samples
-- Minutes of whole hours become those hours.
WITH gone AS (DELETE FROM holdtrue.samples WHERE minutes = 1 AND at < %(before)s RETURNING *)
INSERT INTO holdtrue.samples (replica, table_name, minutes, at, lag_seconds, lag_events, drift_open, held)
SELECT replica, table_name, 60, date_trunc('hour', at), max(lag_seconds), max(lag_events), max(drift_open),
       bool_or(held)
  FROM gone GROUP BY 1, 2, 4
ON CONFLICT (replica, table_name, minutes, at) DO UPDATE SET
    lag_seconds = greatest(samples.lag_seconds, excluded.lag_seconds),
    lag_events = greatest(samples.lag_events, excluded.lag_events),
    drift_open = greatest(samples.drift_open, excluded.drift_open), held = samples.held OR excluded.held

-- name: forget_samples
DELETE FROM holdtrue.samples WHERE at < %(before)s

-- name: samples_between
SELECT at, lag_seconds, lag_events, drift_open, held FROM holdtrue.samples
 WHERE table_name = %(table)s AND replica = %(replica)s AND minutes = %(minutes)s AND at >= %(first)s AND at <= %(last)s
 ORDER BY at LIMIT %(limit)s

-- name: lock_syncs
SELECT pg_advisory_xact_lock(hashtext('holdtrue.syncs'), hashtext(%(replica)s || '/' || %(table)s))

-- name: sync_of
SELECT rules, out, since, within_since FROM holdtrue.syncs WHERE replica = %(replica)s AND table_name = %(table)s

-- name: put_sync
-- What is still to be told is never taken back by a later look.
INSERT INTO holdtrue.syncs (replica, table_name, rules, out, since, within_since, untold)
VALUES (%(replica)s, %(table)s, %(rules)s, %(out)s, %(since)s, %(within_since)s, %(untold)s)
ON CONFLICT (replica, table_name) DO UPDATE SET
    rules = excluded.rules, out = excluded.out, since = excluded.since, within_since = excluded.within_since,
    untold = coalesce(excluded.untold, syncs.untold)

-- name: untold_sync
SELECT untold FROM holdtrue.syncs
 WHERE replica = %(replica)s AND table_name = %(table)s AND untold IS NOT NULL

-- name: told_sync
UPDATE holdtrue.syncs SET untold = NULL
 WHERE replica = %(replica)s AND table_name = %(table)s AND untold ->> 'id' = %(id)s

-- name: one_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: list_runs
SELECT run, table_name AS table, replica, depth, outcome, sot_rows, replica_rows, verified, absent, superseded, skipped,
       failed, drift_found, fence_lsn, verified_through, seconds, started, finished, who, plan_hash, error
  FROM holdtrue.runs
 WHERE (%(table)s::text IS NULL OR table_name = %(table)s) AND (%(replica)s::text IS NULL OR replica = %(replica)s)
   AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
 ORDER BY finished DESC, run LIMIT %(limit)s

-- name: show_run
SELECT run, table_name AS table, replica, depth, scope, outcome, sot_rows, replica_rows, verified, absent, superseded,
       skipped, failed, drift_found, fence_lsn, verified_through, verified_through_at, seconds, started, finished, who,
       plan_hash, owner, approver, error
  FROM holdtrue.runs WHERE run = %(run)s ORDER BY table_name, replica LIMIT 1

-- name: run_drift_counts
-- Of the drift that a run told of, what it is by now: keys, and records, of which one may be about many keys.
SELECT kind, cause, state, sum(keys)::bigint AS count, count(*) AS records FROM holdtrue.drift
 WHERE id IN (SELECT id FROM holdtrue.drift_events
               WHERE run = %(run)s AND state = 'open' AND verdict <> 'refused' AND repair IS NULL)
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- name: run_drift
SELECT id, key, key_bytes, key_hidden, keys, kind, cause, state, first_seen, last_seen, times_seen, columns, repair,
       reason
  FROM holdtrue.drift
 WHERE id IN (SELECT id FROM holdtrue.drift_events
               WHERE run = %(run)s AND state = 'open' AND verdict <> 'refused' AND repair IS NULL)
 ORDER BY first_seen, id LIMIT %(limit)s

-- name: run_ended
-- Drift that was open before and that the run found over.
SELECT state, sum(keys)::bigint AS count
  FROM (SELECT state, id, max(keys) AS keys FROM holdtrue.drift_events
         WHERE run = %(run)s AND state IN ('resolved', 'superseded') AND verdict <> 'refused' AND repair IS NULL
         GROUP BY state, id) ended
 GROUP BY state ORDER BY state

-- name: run_repairs
-- Repairs, since the run began, of drift that it told of; `repairs` is how many there are.
SELECT i.repair, min(i.at) AS first, max(i.at) AS last, count(*) AS keys,
       count(*) FILTER (WHERE i.outcome = 'repaired') AS repaired,
       (SELECT e.reason FROM holdtrue.drift_events e
         WHERE e.repair = i.repair AND e.state = 'repairing' AND e.reason IS NOT NULL
         ORDER BY e.topic, e.partition, e."offset" LIMIT 1) AS reason,
       (SELECT e.ordered_by FROM holdtrue.drift_events e
         WHERE e.repair = i.repair AND e.state = 'repairing' AND e.ordered_by IS NOT NULL
         ORDER BY e.topic, e.partition, e."offset" LIMIT 1) AS ordered_by,
       count(*) OVER () AS repairs
  FROM holdtrue.repair_items i
 WHERE i.at >= %(started)s
   AND i.drift IN (SELECT id FROM holdtrue.drift_events
                    WHERE run = %(run)s AND state = 'open' AND verdict <> 'refused' AND repair IS NULL)
 GROUP BY i.repair ORDER BY 2, 1 LIMIT %(limit)s

-- name: holds_told
-- Newest first.
SELECT at, who, what, why, detail FROM holdtrue.audit
 WHERE object = %(object)s AND what IN ('hold', 'release') AND at <= %(until)s
 ORDER BY at DESC, sequence DESC LIMIT %(limit)s

-- name: audit_of_run
-- By the signal's id; entries from before that was so are by where the signal was.
SELECT a.sequence, a.at, a.who, a.hash FROM holdtrue.signals s
  JOIN holdtrue.audit a ON a.source IN ('signal:' || s.id, s.topic || '/' || s.partition || '/' || s."offset")
 WHERE s.run = %(run)s AND a.what = 'run'
 ORDER BY a.sequence LIMIT 1

-- name: plan_kept
SELECT plan FROM holdtrue.meta ORDER BY version DESC LIMIT 1

-- name: put_backfill
INSERT INTO holdtrue.backfills (backfill, replica, table_name, scope, range, ordered_by, reason, rows, partitions, ordered_at)
VALUES (%(backfill)s, %(replica)s, %(table)s, %(scope)s, %(range)s, %(who)s, %(reason)s, %(rows)s, %(partitions)s, %(at)s)
ON CONFLICT (backfill) DO NOTHING

-- name: put_backfill_part
-- Said again, after a crash, it is the same.
INSERT INTO holdtrue.backfill_parts (backfill, partition, looked, written, removed, failed, reason, ended_at)
VALUES (%(backfill)s, %(partition)s, %(looked)s, %(written)s, %(removed)s, %(failed)s, %(reason)s, %(at)s)
ON CONFLICT (backfill, partition) DO UPDATE
   SET looked = EXCLUDED.looked, written = EXCLUDED.written, removed = EXCLUDED.removed, failed = EXCLUDED.failed,
       reason = EXCLUDED.reason

-- name: end_backfill
UPDATE holdtrue.backfills SET outcome = %(outcome)s, run = %(run)s, ended_at = %(at)s WHERE backfill = %(backfill)s

-- name: open_backfill
-- The newest of this range that is not done, or whose end nobody has validated. What has not been done for a day, or
-- was given up, is ordered anew.
SELECT b.backfill FROM holdtrue.backfills b
 WHERE b.replica = %(replica)s AND b.table_name = %(table)s AND b.scope = %(scope)s AND b.outcome IS NULL
   AND b.ordered_at > now() - interval '1 day'
   AND (SELECT count(*) < b.partitions OR count(*) FILTER (WHERE p.reason <> '') = 0
          FROM holdtrue.backfill_parts p WHERE p.backfill = b.backfill)
 ORDER BY b.ordered_at DESC LIMIT 1
