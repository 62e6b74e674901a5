-- name: stored_readings
-- What a verdict was given on: on one revision, or the one that stands; with the limits of the ensemble that gave it.
select
    c.plant, c.coil_id, c.zn_min_g_m2, c.zn_max_g_m2, c.length_m, c.width_mm, c.thickness_mm, c.weight_t,
    c.material, c.customer, c.tolerance_profile, c.started_at, c.rows_per_face, r.revision, r.readings,
    v.ensemble_version, e.manifest -> 'limits' as limits
from coilflow.coils as c
cross join lateral (
    select j.revision, j.ensemble_version
    from coilflow.verdicts as j
    where j.plant = c.plant and j.coil_id = c.coil_id and j.role = 'champion'
      and (
          j.revision = %(revision)s
          or (
              %(revision)s::text is null
              and not exists (
                  select from coilflow.verdicts as newer
                  where newer.plant = j.plant and newer.coil_id = j.coil_id and newer.role = j.role
                    and newer.supersedes = j.revision
              )
          )
      )
    order by j.verdict_id desc
    limit 1
) as v
join coilflow.readings as r on r.plant = c.plant and r.coil_id = c.coil_id and r.revision = v.revision
left join coilflow.ensembles as e on e.version = v.ensemble_version
where c.plant = %(plant)s and c.coil_id = %(coil_id)s;
