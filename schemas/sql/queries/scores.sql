-- name: lock_scores
select pg_advisory_xact_lock(hashtext('coilflow.model_scores'));

-- name: counted_coils
-- Coils that people labelled or were asked to. Those of which anything was said are looked up first: they are few, and
-- what was said long before the window is of coils that were decided before it too.
with seen as materialized (
    select plant, coil_id from coilflow.feedback where received_at > %(heard_after)s
    union
    select plant, coil_id from coilflow.verdicts
    where role = 'champion' and review <> '{}' and decided_at > %(after)s and decided_at <= %(until)s
)
select
    verdict_id, role, ensemble_version, coalesce(is_nok, false), is_nok is not null, called_nok, p_nok,
    verdict = 'UNDECIDED', review <> '{}', review_probability, champion_verdict, plant, zn_min_g_m2, zn_max_g_m2,
    material
from coilflow.counted_verdicts
join seen using (plant, coil_id)
where decided_at > %(after)s and decided_at <= %(until)s and (label is not null or review <> '{}')
order by verdict_id;

-- name: counted_votes
select a.model, a.version, a.verdict_id, a.p_nok >= coalesce((m.manifest ->> 'threshold')::float8, v.threshold), a.p_nok
from unnest(%(verdict_ids)s::bigint[]) as given(verdict_id)
join coilflow.verdicts as v using (verdict_id)
join coilflow.assessments as a using (verdict_id)
left join coilflow.models as m on m.name = a.model and m.version = a.version
order by a.model, a.version, a.verdict_id;

-- name: assessed_coils
-- A verdict that another replaced is not counted twice. Verdicts of one ensemble that skipped the same members have the
-- same members: those of the newest one are read, and not three votes of each of a hundred thousand verdicts.
with judged as materialized (
    select
        v.ensemble_version, v.role, count(*) as coils, min(v.decided_at) as first_at, max(v.decided_at) as last_at,
        max(v.verdict_id) filter (where v.p_nok is not null) as example, count(v.p_nok) as scored,
        min(v.decided_at) filter (where v.p_nok is not null) as first_scored_at,
        max(v.decided_at) filter (where v.p_nok is not null) as last_scored_at
    from coilflow.verdicts as v
    left join lateral (
        select reason from unnest(v.reasons) as reason where reason like 'members_skipped:%%'
    ) as skipped on v.reasons <> '{}'
    where v.decided_at > %(after)s and v.decided_at <= %(until)s
      and not exists (
          select from coilflow.verdicts as newer
          where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = 'champion'
            and newer.supersedes = v.revision
      )
    group by v.ensemble_version, v.role, skipped.reason
)
select
    'ensemble' as kind, '' as model, ensemble_version as version, role, sum(coils)::bigint as assessed,
    min(first_at) as assessed_from, max(last_at) as assessed_to
from judged
group by ensemble_version, role
union all
select
    'member', a.model, a.version, j.role, sum(j.scored)::bigint, min(j.first_scored_at), max(j.last_scored_at)
from judged as j
join coilflow.assessments as a on a.verdict_id = j.example
group by a.model, a.version, j.role
order by kind, model, version, role;

-- name: newest_scores
select
    kind, model, version, role, slice_kind, slice, computed_at, window_from, assessed, assessed_from, assessed_to,
    tp, fp, fn, tn, plain, weighted
from coilflow.model_scores
where newest
order by kind, model, version, role, slice_kind <> 'all', slice_kind, slice;

-- name: retire_scores
update coilflow.model_scores as s
set newest = false
from jsonb_to_recordset(%(rows)s::jsonb)
    as g(kind text, model text, version text, role text, slice_kind text, slice text)
where s.newest
  and (s.kind, s.model, s.version, s.role, s.slice_kind, s.slice)
      = (g.kind, g.model, g.version, g.role, g.slice_kind, g.slice);

-- name: store_scores
insert into coilflow.model_scores (
    kind, model, version, role, slice_kind, slice, computed_at, window_from, assessed, assessed_from, assessed_to,
    tp, fp, fn, tn, plain, weighted
)
select
    kind, model, version, role, slice_kind, slice, computed_at, window_from, assessed, assessed_from, assessed_to,
    tp, fp, fn, tn, plain, weighted
from jsonb_to_recordset(%(rows)s::jsonb) as g(
    kind text, model text, version text, role text, slice_kind text, slice text, computed_at timestamptz,
    window_from timestamptz, assessed int4, assessed_from timestamptz, assessed_to timestamptz,
    tp int4, fp int4, fn int4, tn int4, plain jsonb, weighted jsonb
);

-- name: note_assessed
-- The figures stand; only how many coils the model has judged since goes on.
update coilflow.model_scores as s
set assessed = g.assessed, assessed_from = g.assessed_from, assessed_to = g.assessed_to
from jsonb_to_recordset(%(rows)s::jsonb) as g(
    kind text, model text, version text, role text, slice_kind text, slice text, assessed int4,
    assessed_from timestamptz, assessed_to timestamptz
)
where s.newest
  and (s.kind, s.model, s.version, s.role, s.slice_kind, s.slice)
      = (g.kind, g.model, g.version, g.role, g.slice_kind, g.slice);

-- name: prune_scores
-- A score holds until the next one of its subject and slice: only what had been replaced by then goes.
delete from coilflow.model_scores
where score_id in (
    select s.score_id from coilflow.model_scores as s
    where s.computed_at < %(before)s and not s.newest
      and exists (
          select from coilflow.model_scores as n
          where (n.kind, n.model, n.version, n.role, n.slice_kind, n.slice)
                = (s.kind, s.model, s.version, s.role, s.slice_kind, s.slice)
            and n.score_id > s.score_id and n.computed_at < %(before)s
      )
    order by s.computed_at
    limit %(rows)s
);

-- name: score_history
-- Scores of some subjects, as `MODEL VERSION`, as they changed, the newest first.
select
    kind, model, version, role, slice_kind, slice, computed_at, window_from, assessed, assessed_from, assessed_to,
    tp, fp, fn, tn, plain, weighted, score_id
from coilflow.model_scores
where slice_kind = %(slice_kind)s and model || ' ' || version = any(%(subjects)s)
  and (
      %(before_id)s::bigint is null or (computed_at, score_id) < (%(before_at)s::timestamptz, %(before_id)s::bigint)
  )
order by computed_at desc, score_id desc
limit %(most)s;

-- name: member_performance
-- The pilot's table of model scores.
select mname, from_ass, to_ass, num_oper, ok_percentage, numc_assessed, ts from coilflow.mperformance order by mname;
