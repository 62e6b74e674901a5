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
-- The coils that were decided just before and just after a coil, in the order of the list, by the verdicts that stand:
-- each is the next one of the list's index.
with here as materialized (
    select v.decided_at, v.plant, v.coil_id
    from coilflow.verdicts as v
    join coilflow.standing_verdicts using (verdict_id)
    where v.plant = %(plant)s and v.coil_id = %(coil_id)s
    order by v.verdict_id desc
    limit 1
)
select 'older' as side, beside.plant, beside.coil_id
from here
cross join lateral (
    select v.plant, v.coil_id
    from coilflow.verdicts as v
    where v.role = 'champion' and (v.decided_at, v.plant, v.coil_id) < (here.decided_at, here.plant, here.coil_id)
      and not exists (
          select from coilflow.verdicts as newer
          where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
            and newer.supersedes = v.revision
      )
    order by v.decided_at desc, v.plant desc, v.coil_id desc
    limit 1
) as beside
union all
select 'newer', beside.plant, beside.coil_id
from here
cross join lateral (
    select v.plant, v.coil_id
    from coilflow.verdicts as v
    where v.role = 'champion' and (v.decided_at, v.plant, v.coil_id) > (here.decided_at, here.plant, here.coil_id)
      and not exists (
          select from coilflow.verdicts as newer
          where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
            and newer.supersedes = v.revision
      )
    order by v.decided_at, v.plant, v.coil_id
    limit 1
) as beside;

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
cross join lateral (
    select v.label, v.decided_at
    from coilflow.verdicts as v
    where v.role = 'champion' and v.decided_at > n.until - make_interval(hours => %(hours)s)
      and v.decided_at <= n.until
      and (%(plant)s::text is null or v.plant = %(plant)s)
      and not exists (
          select from coilflow.verdicts as newer
          where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
            and newer.supersedes = v.revision
      )
    offset 0 -- by the index of the list, however long the line has run
) as v
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
