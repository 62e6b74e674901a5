-- name: verdicts_on_coil
-- The newest first, a shadow's beside the champion's.
select
    v.revision, v.role, v.label, v.p_nok, v.threshold, v.ensemble_version, v.observed, v.reasons, v.review,
    v.supersedes, v.decided_at, s.verdict_id is not null as stands,
    coalesce(
        (select jsonb_agg(jsonb_build_object('model', a.model, 'version', a.version, 'p_nok', a.p_nok)
                          order by a.model, a.version)
         from coilflow.assessments as a where a.verdict_id = v.verdict_id),
        '[]'::jsonb
    ) as members
from coilflow.verdicts as v
left join coilflow.standing_verdicts as s using (verdict_id)
where v.plant = %(plant)s and v.coil_id = %(coil_id)s
order by v.verdict_id desc;

-- name: coils_beside
-- The coils that were decided just before and just after a coil, in the order of the list, by the verdicts that stand.
with here as (
    select v.decided_at, v.plant, v.coil_id
    from coilflow.verdicts as v
    join coilflow.standing_verdicts using (verdict_id)
    where v.plant = %(plant)s and v.coil_id = %(coil_id)s
    order by v.verdict_id desc
    limit 1
)
(
    select 'older' as side, v.plant, v.coil_id
    from here
    join coilflow.verdicts as v on (v.decided_at, v.plant, v.coil_id) < (here.decided_at, here.plant, here.coil_id)
    join coilflow.standing_verdicts using (verdict_id)
    where v.role = 'champion'
    order by v.decided_at desc, v.plant desc, v.coil_id desc
    limit 1
)
union all
(
    select 'newer', v.plant, v.coil_id
    from here
    join coilflow.verdicts as v on (v.decided_at, v.plant, v.coil_id) > (here.decided_at, here.plant, here.coil_id)
    join coilflow.standing_verdicts using (verdict_id)
    where v.role = 'champion'
    order by v.decided_at, v.plant, v.coil_id
    limit 1
);

-- name: shift_counts
-- Of the hours up to the newest verdict: the line may stand still, or have a time of its own.
select
    n.until,
    count(*) filter (where v.label = 'OK') as ok,
    count(*) filter (where v.label = 'NOK') as nok,
    count(*) filter (where v.label = 'UNDECIDED') as undecided,
    count(*) filter (where v.decided_at > n.until - interval '1 hour') as last_hour
from (
    select decided_at as until
    from coilflow.verdicts
    where role = 'champion' and (%(plant)s::text is null or plant = %(plant)s)
    order by decided_at desc
    limit 1
) as n
join coilflow.verdicts as v
    on v.decided_at > n.until - make_interval(hours => %(hours)s) and v.decided_at <= n.until
    and (%(plant)s::text is null or v.plant = %(plant)s)
join coilflow.standing_verdicts using (verdict_id)
group by n.until;

-- name: plants
-- The next one by index each time, for coils are many and plants are few.
with recursive plants as (
    (select plant from coilflow.coils order by plant limit 1)
    union all
    select (select c.plant from coilflow.coils as c where c.plant > p.plant order by c.plant limit 1)
    from plants as p
    where p.plant is not null
)
select plant from plants where plant is not null;
