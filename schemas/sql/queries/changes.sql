-- name: current_snapshot
select pg_current_snapshot()::text as snapshot;

-- name: changes_between
-- What the one snapshot does not see and the other does: transactions that had not begun, or were running.
select c.txid::text::int8 as txid, c.change_no, c.kind, c.ref
from coilflow.changes as c
where (
        c.txid >= pg_snapshot_xmax(%(seen)s::pg_snapshot)
        or c.txid = any(array(select pg_snapshot_xip(%(seen)s::pg_snapshot)))
    )
  and pg_visible_in_snapshot(c.txid, %(until)s::pg_snapshot)
  and (
      %(after_txid)s::text is null
      or (c.txid, c.change_no) > (%(after_txid)s::text::xid8, %(after_no)s::int8)
  )
order by c.txid, c.change_no
limit %(most)s;

-- name: changed_verdicts
select
    v.verdict_id, v.plant, v.coil_id, v.revision, v.role, v.label, v.p_nok, v.threshold, v.ensemble_version, v.observed,
    v.reasons, v.review, v.review_probability, v.supersedes, v.decided_at,
    coalesce(
        (select jsonb_agg(jsonb_build_object('model', a.model, 'version', a.version, 'p_nok', a.p_nok)
                          order by a.model, a.version)
         from coilflow.assessments as a where a.verdict_id = v.verdict_id),
        '[]'::jsonb
    ) as members
from coilflow.verdicts as v
where v.verdict_id = any(%(refs)s::int8[]);

-- name: changed_models
select
    c.change_id, nullif(c.plant, '') as plant, c.ensemble_version, e.name as ensemble, c.change, null as worker, c.who,
    c.why, c.at
from coilflow.model_changes as c
left join coilflow.ensembles as e on e.version = c.ensemble_version
where c.change_id = any(%(refs)s::int8[]);

-- name: answered_swaps
select
    a.answer_id, nullif(a.plant, '') as plant, a.ensemble_version, e.name as ensemble, a.outcome as change, a.worker,
    null as who, a.reason as why, a.at
from coilflow.swap_answers as a
join coilflow.ensembles as e on e.version = a.ensemble_version
where a.answer_id = any(%(refs)s::int8[]);

-- name: given_warnings
select warning_id, data from coilflow.early_warnings where warning_id = any(%(refs)s::int8[]);

-- name: changes_forgotten
select txid::text::int8 as txid from coilflow.changes_forgotten;

-- name: prune_changes
with gone as (
    delete from coilflow.changes
    where (txid, change_no) in (
        select txid, change_no from coilflow.changes where noted_at < %(before)s order by txid, change_no limit %(rows)s
    )
    returning txid
),
forgotten as (
    update coilflow.changes_forgotten as f
    set txid = greatest(f.txid, (select txid from gone order by txid desc limit 1))
    where exists (select from gone)
)
select count(*) as rows from gone;

-- name: forget_foreign_changes
-- A restored database counts its transactions from a lower number on: what was noted under higher ones would seem to
-- happen once they are reached, and nobody can tell what those who were told of the other server's have missed.
with gone as (
    delete from coilflow.changes where txid >= pg_snapshot_xmax(pg_current_snapshot()) returning txid
),
forgotten as (
    update coilflow.changes_forgotten as f
    set txid = greatest(f.txid, pg_snapshot_xmax(pg_current_snapshot()))
    where exists (select from gone)
)
select count(*) as rows from gone;
