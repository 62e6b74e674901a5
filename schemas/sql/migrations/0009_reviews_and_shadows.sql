-- depends: 0008_intake
-- What the loop asks of a verdict: a shadow's verdicts beside the champion's, and which coils are to be looked at.

alter table coilflow.verdicts add column review text[] not null default '{}';
alter table coilflow.verdicts add column review_probability double precision check (review_probability between 0 and 1);
comment on column coilflow.verdicts.review is 'Why a person is asked to look at the coil, as `code: detail`; empty: nobody is asked.';
comment on column coilflow.verdicts.review_probability is
    'With which probability a coil such as this is asked for: 1 where it is certain; null: verdicts before this was kept.';

create index verdicts_to_review on coilflow.verdicts (decided_at desc) where review <> '{}' and role = 'champion';

-- Only the champion's verdicts are counted, announced and resolve dead letters.
create or replace function coilflow.record_verdicts(
    given_rows jsonb, given_readings bytea[], decided_at timestamptz, destinations text[]
) returns table (new bigint, repeated bigint, announced bigint) language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with given as materialized (
        select * from rows from (
            jsonb_to_recordset(given_rows) as (
                plant text, coil_id text, revision text,
                zn_min_g_m2 float8, zn_max_g_m2 float8, length_m float8, width_mm float8, thickness_mm float8,
                weight_t float8, material text, customer text, tolerance_profile text,
                started_at timestamptz, truth text, rows_per_face int4,
                kafka_topic text, kafka_partition int4, last_offset int8,
                role text, label text, p_nok float8, threshold float8, ensemble_version text, observed float8,
                reasons text[], review text[], review_probability float8, supersedes text,
                members jsonb, event_id uuid, key text, slot int2, payload jsonb
            ),
            unnest(given_readings)
        ) with ordinality as r(
            plant, coil_id, revision,
            zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm,
            weight_t, material, customer, tolerance_profile,
            started_at, truth, rows_per_face,
            kafka_topic, kafka_partition, last_offset,
            role, label, p_nok, threshold, ensemble_version, observed,
            reasons, review, review_probability, supersedes,
            members, event_id, key, slot, payload, readings, nth
        )
    ),
    coil as (
        insert into coilflow.coils as known (
            plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm, weight_t,
            material, customer, tolerance_profile, started_at, truth, rows_per_face, state
        )
        select distinct on (plant, coil_id)
            plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm, weight_t,
            material, customer, tolerance_profile, started_at, truth, rows_per_face, 'decided'
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
            rows_per_face = greatest(known.rows_per_face, excluded.rows_per_face),
            state = 'decided'
        where known.state <> 'decided'
            or (known.truth is null and excluded.truth is not null)
            or excluded.rows_per_face > coalesce(known.rows_per_face, -1)
        returning 1
    ),
    reading as (
        insert into coilflow.readings (plant, coil_id, revision, readings, kafka_topic, kafka_partition, last_offset)
        select plant, coil_id, revision, readings, kafka_topic, kafka_partition, last_offset
        from given
        where (select count(*) from coil) >= 0
        order by plant, coil_id, revision
        on conflict (plant, coil_id, revision) do nothing
        returning 1
    ),
    inserted as (
        insert into coilflow.verdicts (
            plant, coil_id, revision, role, label, p_nok, threshold, ensemble_version, observed, reasons, review,
            review_probability, supersedes, decided_at
        )
        select
            plant, coil_id, revision, role, label, p_nok, threshold, ensemble_version, observed, reasons, review,
            review_probability, supersedes, decided_at
        from given
        where (select count(*) from reading) >= 0
        order by plant, coil_id, nth
        on conflict (plant, coil_id, revision, role) do nothing
        returning verdict_id, plant, coil_id, revision, role, supersedes, observed
    ),
    first_given as (
        select distinct on (plant, coil_id, revision, role)
            plant, coil_id, revision, role, members, event_id, key, slot, payload
        from given
        order by plant, coil_id, revision, role, nth
    ),
    assessment as (
        insert into coilflow.assessments (verdict_id, model, version, p_nok)
        select i.verdict_id, m.model, m.version, m.p_nok
        from inserted as i
        join first_given as g using (plant, coil_id, revision, role)
        cross join lateral jsonb_to_recordset(g.members) as m(model text, version text, p_nok float8)
        returning 1
    ),
    announced as (
        insert into coilflow.outbox (event_id, destination, key, slot, payload)
        select
            g.event_id, d.destination, g.key, g.slot,
            coalesce(jsonb_set(g.payload, '{data,supersedes}', to_jsonb(i.supersedes)), g.payload)
        from inserted as i
        join first_given as g using (plant, coil_id, revision, role)
        cross join unnest(destinations) as d(destination)
        where i.role = 'champion'
        order by i.verdict_id, d.destination
        returning 1
    ),
    resolved as (
        update coilflow.dead_letters as d
        set state = 'resolved'
        from inserted as i
        where d.plant = i.plant and d.coil_id = i.coil_id and d.state in ('new', 'replayed')
          and i.role = 'champion' and i.observed > 0 -- a fragment, of which nothing was assessed, is no answer to what was refused
        returning 1
    )
    select
        (select count(*) from inserted where role = 'champion') as new,
        (select count(*) from given where role = 'champion')
            - (select count(*) from inserted where role = 'champion') as repeated,
        (select count(*) from announced) as announced;
end
$$;
