-- name: outcomes_of_ensemble
-- Every coil that an ensemble decided, or the first ones, in the order of decision; `others` have champions of their own.
select
    verdict_id, called_nok, p_nok, coalesce(is_nok, false), label is not null,
    extract(epoch from labelled_at)::float8, review <> '{}', review_probability, verdict = 'UNDECIDED',
    plant, champion_verdict, decided_at
from coilflow.counted_verdicts
where role = 'champion' and ensemble_version = any(%(versions)s) and decided_at <= %(until)s
  and (%(since)s::timestamptz is null or decided_at >= %(since)s)
  and (%(which)s = 'all' or label is not null or (%(which)s = 'undisputed' and labelled_at is null))
  and case when %(plant)s = '' then plant <> all(%(others)s) else plant = %(plant)s end
order by decided_at, verdict_id
limit %(most)s;

-- name: latest_outcomes
-- The last coils that an ensemble decided, the newest first.
select
    verdict_id, called_nok, p_nok, coalesce(is_nok, false), label is not null,
    extract(epoch from labelled_at)::float8, review <> '{}', review_probability, verdict = 'UNDECIDED',
    plant, champion_verdict, decided_at
from coilflow.counted_verdicts
where role = 'champion' and ensemble_version = any(%(versions)s) and decided_at <= %(until)s
  and case when %(plant)s = '' then plant <> all(%(others)s) else plant = %(plant)s end
  and (%(which)s = 'all' or label is not null or (%(which)s = 'undisputed' and labelled_at is null))
order by decided_at desc, verdict_id desc
limit %(most)s;

-- name: judged_by
-- Which ensembles gave a plant's verdicts in a time; `others` have champions of their own.
select distinct ensemble_version
from coilflow.verdicts
where role = 'champion' and ensemble_version is not null and decided_at between %(since)s and %(until)s
  and case when %(plant)s = '' then plant <> all(%(others)s) else plant = %(plant)s end;

-- name: votes_of_member
-- What a member said for the verdicts of some ensembles, in the order of their decision.
select a.verdict_id, a.p_nok >= coalesce((m.manifest ->> 'threshold')::float8, v.threshold), a.p_nok
from coilflow.assessments as a
join coilflow.verdicts as v using (verdict_id)
left join coilflow.models as m on m.name = a.model and m.version = a.version
where a.model = %(model)s and a.version = %(version)s and a.verdict_id = any(%(verdict_ids)s)
order by a.verdict_id;

-- name: ensembles_of_member
select ensemble_version from coilflow.ensemble_members where model = %(model)s and version = %(version)s and votes;

-- name: labelled_coils
-- Coils to learn from: on which people agree, and of which anything could be scored; the newest ones.
with labels as materialized (
    select plant, coil_id, first_received_at
    from coilflow.coil_labels
    where label is not null and received_at <= %(until)s
      and case when %(plant)s = '' then plant <> all(%(others)s) else plant = %(plant)s end
)
select plant, coil_id, revision, label, first_received_at as heard_at, review <> '{}' as asked, review_probability
from labels
join lateral (
    select revision, label, review, review_probability, decided_at, verdict_id
    from coilflow.counted_verdicts as c
    where c.plant = labels.plant and c.coil_id = labels.coil_id and role = 'champion'
    offset 0 -- coil by coil, by index: joined at once, the labels of all coils may be made up again for each coil
) as counted on true
order by decided_at desc, verdict_id desc
limit %(most)s;

-- name: readings_of_coils
select
    c.plant, c.coil_id, c.zn_min_g_m2, c.zn_max_g_m2, c.length_m, c.width_mm, c.thickness_mm, c.weight_t,
    c.material, c.customer, c.tolerance_profile, c.started_at, c.rows_per_face, r.revision, r.readings
from unnest(%(plants)s::text[], %(coil_ids)s::text[], %(revisions)s::text[]) as g(plant, coil_id, revision)
join coilflow.coils as c using (plant, coil_id)
join coilflow.readings as r using (plant, coil_id, revision);

-- name: shadow_pairs
-- Coils that a champion and its shadow both judged, on the same revision, the first one first.
select
    s.p_nok >= s.threshold, c.called_nok, coalesce(c.is_nok, false), c.label is not null,
    c.label is null and c.labelled_at is not null, c.review <> '{}', c.review_probability
from coilflow.verdicts as s
join coilflow.counted_verdicts as c
    on c.role = 'champion' and c.plant = s.plant and c.coil_id = s.coil_id and c.revision = s.revision
where s.role = 'shadow' and s.ensemble_version = any(%(shadows)s) and c.ensemble_version = any(%(champions)s)
  and s.p_nok is not null and s.decided_at >= %(since)s and s.decided_at <= %(until)s
  and case when %(plant)s = '' then s.plant <> all(%(others)s) else s.plant = %(plant)s end
order by s.verdict_id;

-- name: unanswered
-- Of the coils that a champion judged at a time, those that a person was asked to look at and nobody has yet. A disputed
-- coil has been looked at: it has a time and no label.
select count(*) as unanswered
from coilflow.counted_verdicts
where role = 'champion' and ensemble_version = any(%(versions)s) and decided_at between %(since)s and %(until)s
  and review <> '{}' and labelled_at is null
  and case when %(plant)s = '' then plant <> all(%(others)s) else plant = %(plant)s end;

-- name: record_snapshot
insert into coilflow.training_snapshots (
    digest, plant, limits_version, coils, nok, holdout_coils, holdout_nok, holdout_share, location, made_at, labels_until
) values (
    %(digest)s, %(plant)s, %(limits_version)s, %(coils)s, %(nok)s, %(holdout_coils)s, %(holdout_nok)s,
    %(holdout_share)s, %(location)s, %(made_at)s, %(labels_until)s
)
on conflict (digest) do nothing;

-- name: record_snapshot_coils
insert into coilflow.snapshot_coils (digest, plant, coil_id, revision, label, holdout)
select %(digest)s, plant, coil_id, revision, label, holdout
from jsonb_to_recordset(%(rows)s::jsonb)
    as g(plant text, coil_id text, revision text, label text, holdout boolean)
on conflict (digest, plant, coil_id) do nothing;

-- name: begin_retraining
insert into coilflow.retrainings (
    plant, members, how, parent, state, why, attempt_id, epoch, started_at, changed_at
) values (
    %(plant)s, %(members)s, %(how)s, %(parent)s, 'running', %(why)s, %(attempt_id)s, %(epoch)s, %(at)s, %(at)s
)
returning retraining_id;

-- name: lose_retrainings
-- Whoever trained them is gone: at most one run of the job stands.
update coilflow.retrainings
set state = 'lost', why = 'its scheduler was lost, or gave the run up', ended_at = greatest(started_at, %(at)s),
    changed_at = %(at)s
where state = 'running' and attempt_id <> %(attempt_id)s
returning retraining_id, plant, parent;

-- name: end_retraining
update coilflow.retrainings
set state = %(state)s, why = %(why)s, snapshot = %(snapshot)s, candidate = %(candidate)s, judged = %(judged)s::jsonb,
    ended_at = greatest(started_at, %(at)s), changed_at = %(at)s
where retraining_id = %(retraining_id)s and state = 'running'
returning retraining_id;

-- name: set_retraining
update coilflow.retrainings set state = %(state)s, why = %(why)s, changed_at = %(at)s
where retraining_id = %(retraining_id)s and state <> 'running';

-- name: retrainings
select
    retraining_id, plant, members, how, parent, snapshot, candidate, state, why, judged, attempt_id, epoch, started_at,
    ended_at, changed_at
from coilflow.retrainings
where (%(plant)s::text is null or plant = %(plant)s) and (%(states)s::text[] is null or state = any(%(states)s))
order by retraining_id desc;

-- name: last_codes
-- Why a job decided on a subject last, so that a decision which stands is not kept every minute.
select act, why from coilflow.decisions
where job = %(job)s and subject = %(subject)s
order by decision_id desc
limit 1;
