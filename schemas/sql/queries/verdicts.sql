-- name: record_verdicts
-- One statement, so a batch is stored and announced as a whole or not at all. Rows are taken in the order of their
-- key, so that two recorders of the same coils wait for each other instead of deadlocking. The count over `coil` makes
-- the coils come first. A new verdict supersedes the standing one by a trigger, so its event says so only here.
with given as materialized (
    select * from rows from (
        jsonb_to_recordset(%(rows)s::jsonb) as (
            plant text, coil_id text, revision text,
            zn_min_g_m2 float8, zn_max_g_m2 float8, length_m float8, width_mm float8, thickness_mm float8,
            weight_t float8, material text, customer text, tolerance_profile text,
            started_at timestamptz, truth text,
            label text, p_nok float8, threshold float8, ensemble_version text, observed float8,
            reasons text[], supersedes text,
            members jsonb, event_id uuid, key text, slot int2, payload jsonb
        ),
        unnest(%(readings)b::bytea[])
    ) with ordinality as r(
        plant, coil_id, revision,
        zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm,
        weight_t, material, customer, tolerance_profile,
        started_at, truth,
        label, p_nok, threshold, ensemble_version, observed,
        reasons, supersedes,
        members, event_id, key, slot, payload, readings, nth
    )
),
coil as (
    insert into coilflow.coils as known (
        plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm, weight_t,
        material, customer, tolerance_profile, started_at, truth, state
    )
    select distinct on (plant, coil_id)
        plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm, weight_t,
        material, customer, tolerance_profile, started_at, truth, 'decided'
    from given
    order by plant, coil_id, nth desc
    on conflict (plant, coil_id) do update set
        zn_min_g_m2 = coalesce(excluded.zn_min_g_m2, known.zn_min_g_m2),
        zn_max_g_m2 = coalesce(excluded.zn_max_g_m2, known.zn_max_g_m2),
        length_m = coalesce(known.length_m, excluded.length_m),
        width_mm = coalesce(known.width_mm, excluded.width_mm),
        thickness_mm = coalesce(known.thickness_mm, excluded.thickness_mm),
        weight_t = coalesce(known.weight_t, excluded.weight_t),
        material = coalesce(known.material, excluded.material),
        customer = coalesce(known.customer, excluded.customer),
        tolerance_profile = coalesce(known.tolerance_profile, excluded.tolerance_profile),
        started_at = coalesce(known.started_at, excluded.started_at),
        truth = coalesce(known.truth, excluded.truth),
        state = 'decided'
    where known.state <> 'decided' or (known.truth is null and excluded.truth is not null)
    returning 1
),
reading as (
    insert into coilflow.readings (plant, coil_id, revision, readings)
    select plant, coil_id, revision, readings
    from given
    where (select count(*) from coil) >= 0
    order by plant, coil_id, revision
    on conflict (plant, coil_id, revision) do nothing
    returning 1
),
inserted as (
    insert into coilflow.verdicts (
        plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, reasons, supersedes, decided_at
    )
    select
        plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, reasons, supersedes,
        %(decided_at)s
    from given
    where (select count(*) from reading) >= 0
    order by plant, coil_id, nth
    on conflict (plant, coil_id, revision, role) do nothing
    returning verdict_id, plant, coil_id, revision, supersedes
),
first_given as (
    select distinct on (plant, coil_id, revision) plant, coil_id, revision, members, event_id, key, slot, payload
    from given
    order by plant, coil_id, revision, nth
),
assessment as (
    insert into coilflow.assessments (verdict_id, model, version, p_nok)
    select i.verdict_id, m.model, m.version, m.p_nok
    from inserted as i
    join first_given as g using (plant, coil_id, revision)
    cross join lateral jsonb_to_recordset(g.members) as m(model text, version text, p_nok float8)
    returning 1
),
announced as (
    insert into coilflow.outbox (event_id, destination, key, slot, payload)
    select
        g.event_id, d.destination, g.key, g.slot,
        coalesce(jsonb_set(g.payload, '{data,supersedes}', to_jsonb(i.supersedes)), g.payload)
    from inserted as i
    join first_given as g using (plant, coil_id, revision)
    cross join unnest(%(destinations)s::text[]) as d(destination)
    order by i.verdict_id, d.destination
    returning 1
),
resolved as (
    update coilflow.dead_letters as d
    set state = 'resolved'
    from inserted as i
    where d.plant = i.plant and d.coil_id = i.coil_id and d.state in ('new', 'replayed')
    returning 1
)
select
    (select count(*) from inserted) as new,
    (select count(*) from given) - (select count(*) from inserted) as repeated,
    (select count(*) from announced) as announced;

-- name: verdict_of
-- The verdict that stands; the latest, should there be several.
select
    v.plant, v.coil_id, v.revision, v.role, v.label, v.p_nok, v.threshold, v.ensemble_version, v.observed, v.reasons,
    v.supersedes, v.decided_at,
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
