-- name: drifting_plants
-- Plants with coils decided in a window.
select distinct plant
from coilflow.verdicts
where role = 'champion' and decided_at > %(after)s and decided_at <= %(until)s
order by plant;

-- name: latest_coils
-- The newest coils of a plant by the verdict that stands, oldest first, as they were read, and what each member said.
with latest as materialized (
    select v.verdict_id, v.plant, v.coil_id, v.revision, v.label, v.ensemble_version, v.decided_at
    from coilflow.verdicts as v
    where v.plant = %(plant)s and v.role = 'champion' and v.decided_at > %(after)s and v.decided_at <= %(until)s
      and not exists (
          select from coilflow.verdicts as newer
          where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = 'champion'
            and newer.supersedes = v.revision
      )
    order by v.decided_at desc, v.verdict_id desc
    limit %(coils)s
)
select
    l.plant, l.coil_id, l.revision, l.label, l.ensemble_version, r.readings, c.zn_min_g_m2, c.zn_max_g_m2, c.length_m,
    c.started_at, c.rows_per_face,
    coalesce(
        (select jsonb_agg(jsonb_build_object('model', a.model, 'version', a.version, 'p_nok', a.p_nok))
         from coilflow.assessments as a where a.verdict_id = l.verdict_id),
        '[]'::jsonb
    ) as members
from latest as l
join coilflow.readings as r using (plant, coil_id, revision)
join coilflow.coils as c using (plant, coil_id)
order by l.decided_at, l.verdict_id;

-- name: store_drift_check
insert into coilflow.drift_checks (checked_at, plant, ensemble_version, coils, drifted, sentence, figures)
values (
    %(checked_at)s, %(plant)s, %(ensemble_version)s, %(coils)s, %(drifted)s, %(sentence)s, %(figures)s::jsonb
);

-- name: latest_drift_checks
select distinct on (plant) checked_at, plant, ensemble_version, coils, drifted, sentence, figures
from coilflow.drift_checks
order by plant, check_id desc;

-- name: prune_drift_checks
-- A check holds until the plant's next one: only what had been replaced by then goes. What found drift stays for
-- good: audits tell of it.
delete from coilflow.drift_checks
where check_id in (
    select d.check_id from coilflow.drift_checks as d
    where d.checked_at < %(before)s and not d.drifted
      and exists (
          select from coilflow.drift_checks as n
          where n.plant = d.plant and n.check_id > d.check_id and n.checked_at < %(before)s
      )
    limit %(rows)s
);
