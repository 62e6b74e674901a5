-- name: lock_scores
select pg_advisory_xact_lock(hashtext('coilflow.model_scores'));

-- name: counted_coils
-- Coils that people labelled or were asked to.
select
    verdict_id, role, ensemble_version, coalesce(is_nok, false), is_nok is not null, called_nok, p_nok,
    verdict = 'UNDECIDED', review <> '{}', review_probability, champion_verdict, plant, zn_min_g_m2, zn_max_g_m2,
    material
from coilflow.counted_verdicts
where decided_at > %(after)s and decided_at <= %(until)s and (label is not null or review <> '{}')
order by verdict_id;

-- name: counted_votes
select model, version, verdict_id, called_nok, p_nok
from coilflow.counted_members
where decided_at > %(after)s and decided_at <= %(until)s and (label is not null or review <> '{}')
order by model, version, verdict_id;

-- name: assessed_coils
-- A verdict that another replaced is not counted twice.
with judged as materialized (
    select v.verdict_id, v.role, v.ensemble_version, v.decided_at
    from coilflow.verdicts as v
    left join coilflow.verdicts as newer
        on newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = 'champion'
        and newer.supersedes = v.revision
    where v.decided_at > %(after)s and v.decided_at <= %(until)s and newer.verdict_id is null
)
select
    'ensemble' as kind, '' as model, ensemble_version as version, role, count(*) as assessed,
    min(decided_at) as assessed_from, max(decided_at) as assessed_to
from judged
group by ensemble_version, role
union all
select 'member', a.model, a.version, j.role, count(*), min(j.decided_at), max(j.decided_at)
from judged as j
join coilflow.assessments as a using (verdict_id)
group by a.model, a.version, j.role
order by kind, model, version, role;

-- name: newest_scores
select
    kind, model, version, role, slice_kind, slice, computed_at, window_from, assessed, assessed_from, assessed_to,
    tp, fp, fn, tn, plain, weighted
from coilflow.model_scores
where newest
order by kind, model, version, role, slice_kind <> 'all', slice_kind, slice;

-- name: score_history
select
    kind, model, version, role, slice_kind, slice, computed_at, window_from, assessed, assessed_from, assessed_to,
    tp, fp, fn, tn, plain, weighted
from coilflow.model_scores
where kind = %(kind)s and model = %(model)s and version = %(version)s and role = %(role)s
  and slice_kind = %(slice_kind)s and slice = %(slice)s
order by score_id;

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
