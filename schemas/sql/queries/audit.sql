-- name: one_moment
set transaction isolation level repeatable read, read only;

-- name: lineage
-- All that a verdict rests on and all that followed from what people said of its coil: one row a verdict. A verdict
-- counted from when it was given until another superseded it, or for good where the coil's label names its revision;
-- what was reckoned meanwhile counted the coil with the label that it had then.
with recursive asked as (
    select
        v.*, c.zn_min_g_m2, c.zn_max_g_m2, r.readings, r.stored_at, r.kafka_topic, r.kafka_partition, r.last_offset,
        e.version as ensemble, heard.first_at,
        newer.revision as superseded_by, newer.decided_at as superseded_at,
        case when l.revision is distinct from v.revision then newer.decided_at end as counted_until
    from coilflow.verdicts as v
    join coilflow.coils as c using (plant, coil_id)
    join coilflow.readings as r using (plant, coil_id, revision)
    left join coilflow.ensembles as e
        on v.ensemble_version = e.version or v.ensemble_version = any(
            select e.version || '+' || way.name from unnest(%(ways)s::text[]) as way(name)
        )
    left join lateral (
        select k.revision from coilflow.coil_labels as k where k.plant = v.plant and k.coil_id = v.coil_id
    ) as l on true
    left join lateral (
        select n.revision, n.decided_at from coilflow.verdicts as n
        where n.plant = v.plant and n.coil_id = v.coil_id and n.role = 'champion' and n.supersedes = v.revision
        order by n.verdict_id
        limit 1
    ) as newer on true
    cross join lateral (
        select min(f.received_at) as first_at from coilflow.feedback as f
        where f.plant = v.plant and f.coil_id = v.coil_id
    ) as heard
    where v.verdict_id = any(%(verdict_ids)s)
),
learnt as (
    select
        a.verdict_id, t.*, s.revision, s.label, s.holdout
    from asked as a
    join coilflow.snapshot_coils as s on s.plant = a.plant and s.coil_id = a.coil_id and s.revision = a.revision
    join coilflow.retrainings as t on t.snapshot = s.digest
),
ancestors as (
    select a.verdict_id, 0 as generation, e.version, e.parent
    from asked as a
    join coilflow.ensembles as e on e.version = a.ensemble
    union
    select b.verdict_id, b.generation + 1, e.version, e.parent
    from ancestors as b
    join coilflow.ensembles as e on e.version = b.parent
),
votes as ( -- a guard has no vote: it is there by the ensemble alone
    select a.verdict_id, s.model, s.version, s.p_nok, true as votes
    from asked as a
    join coilflow.assessments as s using (verdict_id)
    union all
    select a.verdict_id, m.model, m.version, null, m.votes
    from asked as a
    join coilflow.ensemble_members as m on m.ensemble_version = a.ensemble
    where not exists (
        select from coilflow.assessments as s
        where s.verdict_id = a.verdict_id and s.model = m.model and s.version = m.version
    )
),
descent as ( -- a manifest names its parent as name@version; a version may itself hold an @
    select v.verdict_id, v.model as of_model, v.version as of_version, 0 as generation, m.name, m.version, m.manifest
    from votes as v
    join coilflow.models as m on m.name = v.model and m.version = v.version
    union all
    select d.verdict_id, d.of_model, d.of_version, d.generation + 1, m.name, m.version, m.manifest
    from descent as d
    join coilflow.models as m on m.name || '@' || m.version = d.manifest ->> 'parent'
    where d.generation < 100
)
select
    a.verdict_id, a.plant, a.coil_id, a.revision, a.role, a.label, a.p_nok, a.threshold, a.ensemble_version, a.observed,
    a.reasons, a.review, a.review_probability, a.supersedes, a.decided_at, a.superseded_by, a.superseded_at,
    a.role = 'champion' and a.superseded_by is null as stands,
    a.readings, a.stored_at, a.kafka_topic, a.kafka_partition, a.last_offset,
    a.zn_min_g_m2, a.zn_max_g_m2,
    (
        select jsonb_agg(
            jsonb_build_object(
                'model', v.model, 'version', v.version, 'p_nok', v.p_nok, 'votes', v.votes, 'manifest', m.manifest,
                'snapshot', (
                    select to_jsonb(s) from coilflow.training_snapshots as s
                    where s.digest = m.manifest -> 'training' ->> 'data_digest'
                ),
                'parents', (
                    select jsonb_agg(
                        jsonb_build_object(
                            'model', d.name, 'version', d.version,
                            'data_digest', d.manifest -> 'training' ->> 'data_digest',
                            'source', d.manifest -> 'training' ->> 'source'
                        )
                        order by d.generation
                    )
                    from descent as d
                    where d.verdict_id = a.verdict_id and d.of_model = v.model and d.of_version = v.version
                      and d.generation > 0
                )
            )
            order by v.model, v.version
        )
        from votes as v
        left join coilflow.models as m on m.name = v.model and m.version = v.version
        where v.verdict_id = a.verdict_id
    ) as members,
    (
        select jsonb_agg(
            jsonb_build_object(
                'version', e.version, 'name', e.name, 'state', e.state, 'digest', e.digest, 'parent', e.parent,
                'snapshot_digest', e.snapshot_digest, 'registered_at', e.registered_at,
                'combine', coalesce(e.manifest ->> 'combine', 'mean'), 'limits', e.manifest -> 'limits',
                'snapshot', (
                    select to_jsonb(s) from coilflow.training_snapshots as s where s.digest = e.snapshot_digest
                )
            )
            order by b.generation
        )
        from ancestors as b
        join coilflow.ensembles as e using (version)
        where b.verdict_id = a.verdict_id
    ) as ensembles,
    (
        select jsonb_agg(
            jsonb_build_object(
                'kind', s.kind, 'model', s.model, 'version', s.version, 'role', s.role, 'label', s.label,
                'scores', s.scores, 'first_at', s.first_at, 'last_at', s.last_at
            )
            order by s.kind, s.model, s.version, s.first_at
        )
        from (
            select
                s.kind, s.model, s.version, s.role, at_that_time.label, count(*) as scores,
                min(s.computed_at) as first_at, max(s.computed_at) as last_at
            from coilflow.model_scores as s
            cross join lateral (
                select coilflow.label_as_of(a.plant, a.coil_id, s.computed_at) as label
            ) as at_that_time
            where s.slice_kind = 'all' and s.role = a.role and a.p_nok is not null
              and s.window_from < a.decided_at and s.computed_at >= greatest(a.decided_at, a.first_at)
              and (a.counted_until is null or s.computed_at < a.counted_until)
              and at_that_time.label in ('OK', 'NOK')
              and case s.kind
                  when 'ensemble' then s.version = a.ensemble_version
                  else exists (
                      select from coilflow.assessments as m
                      where m.verdict_id = a.verdict_id and m.model = s.model and m.version = s.version
                  )
              end
            group by s.kind, s.model, s.version, s.role, at_that_time.label
        ) as s
    ) as scores,
    (
        select jsonb_agg(
            jsonb_build_object(
                'decision_id', d.decision_id, 'at', d.at, 'job', d.job, 'subject', d.subject, 'act', d.act,
                'why', to_jsonb(d.why), 'label', nullif(at_that_time.label, 'disputed')
            )
            order by d.decision_id
        )
        from coilflow.decisions as d
        cross join lateral (select coilflow.label_as_of(a.plant, a.coil_id, d.at) as label) as at_that_time
        where d.job in ('retrain', 'promotion')
          and (
              exists ( -- of successors that learnt from it, or were judged on it, all
                  select from learnt as t, (values ('every plant'), (a.plant)) as scope(name)
                  where t.verdict_id = a.verdict_id and d.subject = scope.name || ': successor ' || t.candidate
              )
              or (
                  a.p_nok is not null and d.at >= greatest(a.decided_at, a.first_at)
                  and (a.counted_until is null or d.at < a.counted_until) and at_that_time.label in ('OK', 'NOK')
                  and d.subject in (
                      select scope.name || ': ' || version.name
                      from (values ('every plant'), (a.plant)) as scope(name)
                      cross join (
                          values ('ensemble ' || a.ensemble), ('successor ' || a.ensemble)
                          union all
                          select m.model || ' ' || m.version
                          from coilflow.assessments as m
                          where m.verdict_id = a.verdict_id
                      ) as version(name)
                  )
              )
          )
    ) as decisions,
    (
        select jsonb_agg(
            jsonb_build_object(
                'retraining_id', t.retraining_id, 'plant', t.plant, 'members', to_jsonb(t.members), 'parent', t.parent,
                'snapshot', t.snapshot, 'candidate', t.candidate, 'state', t.state, 'why', t.why,
                'started_at', t.started_at, 'ended_at', t.ended_at, 'label', t.label, 'holdout', t.holdout
            )
            order by t.retraining_id
        )
        from learnt as t
        where t.verdict_id = a.verdict_id
    ) as retrainings,
    (
        select jsonb_agg(
            jsonb_build_object(
                'change_id', g.change_id, 'at', g.at, 'plant', g.plant, 'ensemble_version', g.ensemble_version,
                'change', g.change, 'who', g.who, 'why', g.why, 'before', g.before
            )
            order by g.change_id
        )
        from coilflow.model_changes as g
        where g.ensemble_version in (select t.candidate from learnt as t where t.verdict_id = a.verdict_id)
    ) as changes,
    (
        select jsonb_agg(
            jsonb_build_object(
                'feedback_id', f.feedback_id, 'source', f.source, 'event_id', f.event_id,
                'voice', coalesce(nullif(f.operator, ''), f.source), 'label', f.label, 'revision', f.revision,
                'defect_kind', f.defect_kind, 'face', f.face, 'from_m', f.from_m, 'to_m', f.to_m, 'note', f.note,
                'corrects', f.corrects, 'settles', f.settles, 'given_at', f.given_at, 'received_at', f.received_at,
                'valid', k.feedback_id is not null, 'stands', s.feedback_id is not null
            )
            order by f.given_at, f.feedback_id
        )
        from coilflow.feedback as f
        left join coilflow.valid_feedback as k
            on k.plant = a.plant and k.coil_id = a.coil_id and k.feedback_id = f.feedback_id
        left join coilflow.standing_feedback as s
            on s.plant = a.plant and s.coil_id = a.coil_id and s.feedback_id = f.feedback_id
        where f.plant = a.plant and f.coil_id = a.coil_id
    ) as feedback,
    (
        select to_jsonb(l) - 'plant' - 'coil_id' - 'feedback_id' from coilflow.coil_labels as l
        where l.plant = a.plant and l.coil_id = a.coil_id
    ) as coil_label,
    (
        select jsonb_agg(
            jsonb_build_object('revision', d.revision, 'probability', d.probability, 'drawn_at', d.drawn_at)
            order by d.drawn_at
        )
        from coilflow.second_reviews as d
        where d.plant = a.plant and d.coil_id = a.coil_id
    ) as second_reviews
from asked as a
order by a.verdict_id;

-- name: plants_of_coil
-- Wherever anything is known of it.
select plant from coilflow.coils where coil_id = %(coil_id)s
union
select plant from coilflow.feedback where coil_id = %(coil_id)s
union
select plant from coilflow.dead_letters where coil_id = %(coil_id)s
order by plant;

-- name: audited_coil
select
    zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm, weight_t, material, customer, tolerance_profile,
    started_at, truth, rows_per_face, state, seen_at
from coilflow.coils
where plant = %(plant)s and coil_id = %(coil_id)s;

-- name: audited_feedback
-- As in lineage, for a coil that has no verdict.
select
    f.feedback_id, f.source, f.event_id, coalesce(nullif(f.operator, ''), f.source) as voice, f.label, f.revision,
    f.defect_kind, f.face, f.from_m, f.to_m, f.note, f.corrects, f.settles, f.given_at, f.received_at,
    k.feedback_id is not null as valid, s.feedback_id is not null as stands
from coilflow.feedback as f
left join coilflow.valid_feedback as k
    on k.plant = %(plant)s and k.coil_id = %(coil_id)s and k.feedback_id = f.feedback_id
left join coilflow.standing_feedback as s
    on s.plant = %(plant)s and s.coil_id = %(coil_id)s and s.feedback_id = f.feedback_id
where f.plant = %(plant)s and f.coil_id = %(coil_id)s
order by f.given_at, f.feedback_id;

-- name: verdicts_of_coil
select verdict_id from coilflow.verdicts where plant = %(plant)s and coil_id = %(coil_id)s order by verdict_id;

-- name: announcements_of_coil
-- By its key: published rows stay for as long as the settings say.
select
    event_id::text as event_id, destination, payload ->> 'type' as type, payload -> 'data' ->> 'revision' as revision,
    payload -> 'data' ->> 'label' as label, dead_letter_id, created_at, published_at, attempts, refusal, refused_at
from coilflow.outbox
where key = %(key)s
order by outbox_id;

-- name: models_of_version
select name, version from coilflow.models
where version = %(version)s or name || '@' || version = %(version)s
order by name;

-- name: guards_of_ensemble
select model, version from coilflow.ensemble_members where ensemble_version = %(version)s and not votes;

-- name: audited_members
select
    m.name as model, m.version, m.state, m.manifest, m.registered_at, m.changed_at,
    (select to_jsonb(s) from coilflow.training_snapshots as s
     where s.digest = m.manifest -> 'training' ->> 'data_digest') as snapshot,
    (select jsonb_agg(jsonb_build_object('version', k.ensemble_version, 'votes', k.votes) order by e.registered_at)
     from coilflow.ensemble_members as k
     join coilflow.ensembles as e on e.version = k.ensemble_version
     where k.model = m.name and k.version = m.version) as ensembles
from coilflow.models as m
where (m.name, m.version) in (select * from unnest(%(models)s::text[], %(versions)s::text[]))
order by m.name, m.version;

-- name: ancestors_of_ensemble
with recursive ancestors as (
    select 0 as generation, version, parent from coilflow.ensembles where version = %(version)s
    union
    select b.generation + 1, e.version, e.parent
    from ancestors as b
    join coilflow.ensembles as e on e.version = b.parent
)
select
    e.version, e.name, e.state, e.digest, e.parent, e.snapshot_digest, e.registered_at,
    coalesce(e.manifest ->> 'combine', 'mean') as combine, e.manifest -> 'limits' as limits,
    (select to_jsonb(s) from coilflow.training_snapshots as s where s.digest = e.snapshot_digest) as snapshot
from ancestors as b
join coilflow.ensembles as e using (version)
order by b.generation;

-- name: changes_of_ensembles
select change_id, at, plant, ensemble_version, change, who, why, before
from coilflow.model_changes
where ensemble_version = any(%(versions)s)
order by change_id;

-- name: decisions_on_models
-- A subject is "WHOSE COILS: WHAT".
select decision_id, at, job, subject, act, why
from coilflow.decisions
where substring(subject from '.*: (.*)$') = any(%(subjects)s)
order by decision_id;

-- name: retrainings_of_ensembles
select
    retraining_id, plant, members, how, parent, snapshot, candidate, state, why, judged, started_at, ended_at, changed_at
from coilflow.retrainings
where candidate = any(%(versions)s) or parent = any(%(versions)s)
order by retraining_id;

-- name: judged_by_ensembles
select
    plant, role, ensemble_version, count(*) as verdicts, count(*) filter (where label = 'OK') as ok,
    count(*) filter (where label = 'NOK') as nok, count(*) filter (where label = 'UNDECIDED') as undecided,
    min(decided_at) as first_at, max(decided_at) as last_at
from coilflow.verdicts
where ensemble_version = any(%(versions)s)
group by plant, role, ensemble_version
order by plant, role, ensemble_version;

-- name: judged_by_member
select
    v.plant, v.role, v.ensemble_version, count(*) as verdicts, count(*) filter (where v.label = 'OK') as ok,
    count(*) filter (where v.label = 'NOK') as nok, count(*) filter (where v.label = 'UNDECIDED') as undecided,
    min(v.decided_at) as first_at, max(v.decided_at) as last_at
from coilflow.assessments as a
join coilflow.verdicts as v using (verdict_id)
where a.model = %(model)s and a.version = %(version)s
group by v.plant, v.role, v.ensemble_version
order by v.plant, v.role, v.ensemble_version;

-- name: answers_with_hosts
select a.worker, w.host, w.kind, a.plant, a.ensemble_version, a.role, a.outcome, a.reason, a.at, w.seen_at
from coilflow.swap_answers as a
left join coilflow.workers as w using (worker)
where a.ensemble_version = any(%(versions)s)
order by a.answer_id;

-- name: scores_of_model
-- The last score of each day over all coils, and the newest one of each slice.
select distinct on (s.role, s.version, s.slice_kind, s.slice, day.at)
    s.version, s.role, s.slice_kind, s.slice, s.computed_at, s.window_from, s.assessed, s.tp, s.fp, s.fn, s.tn,
    s.evaluated, s.plain, s.weighted, s.newest
from coilflow.model_scores as s
cross join lateral (
    select case when s.slice_kind = 'all' then date_trunc('day', s.computed_at at time zone 'UTC') end as at
) as day
where s.kind = %(kind)s and s.model = %(model)s and s.version = any(%(versions)s)
  and (s.slice_kind = 'all' or s.newest)
order by s.role, s.version, s.slice_kind, s.slice, day.at, s.score_id desc;

-- name: drift_of_ensembles
-- The last check of each day and plant, and every one that found drift.
select checked_at, plant, ensemble_version, coils, drifted, sentence, figures
from (
    select d.*, row_number() over (
        partition by plant, ensemble_version, date_trunc('day', checked_at at time zone 'UTC') order by check_id desc
    ) as nth_last_of_day
    from coilflow.drift_checks as d
    where ensemble_version = any(%(versions)s)
) as checks
where nth_last_of_day = 1 or drifted
order by check_id;

-- name: server_version
select current_setting('server_version') as version;
