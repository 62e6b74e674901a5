-- name: record_verdicts
select * from coilflow.record_verdicts(%(rows)s::jsonb, %(readings)b::bytea[], %(decided_at)s, %(destinations)s::text[]);

-- name: verdict_of
-- The verdict that stands; the latest, should there be several.
select
    v.plant, v.coil_id, v.revision, v.role, v.label, v.p_nok, v.threshold, v.ensemble_version, v.observed, v.reasons,
    v.review, v.review_probability, v.supersedes, v.decided_at,
    coalesce(
        (select jsonb_agg(jsonb_build_object('model', a.model, 'version', a.version, 'p_nok', a.p_nok)
                          order by a.model, a.version)
         from coilflow.assessments as a where a.verdict_id = v.verdict_id),
        '[]'::jsonb
    ) as members
from coilflow.verdicts as v
join coilflow.standing_verdicts using (verdict_id)
where v.plant = %(plant)s and v.coil_id = %(coil_id)s
order by v.verdict_id desc
limit 1;

-- name: verdicts_of_coils
-- The verdicts that stand; of several the latest comes last.
select
    v.plant, v.coil_id, v.revision, v.role, v.label, v.p_nok, v.threshold, v.ensemble_version, v.observed, v.reasons,
    v.review, v.review_probability, v.supersedes, v.decided_at,
    coalesce(
        (select jsonb_agg(jsonb_build_object('model', a.model, 'version', a.version, 'p_nok', a.p_nok)
                          order by a.model, a.version)
         from coilflow.assessments as a where a.verdict_id = v.verdict_id),
        '[]'::jsonb
    ) as members
from unnest(%(plants)s::text[], %(coil_ids)s::text[]) as given(plant, coil_id)
join coilflow.standing_verdicts as s using (plant, coil_id)
join coilflow.verdicts as v using (verdict_id)
order by v.verdict_id;
