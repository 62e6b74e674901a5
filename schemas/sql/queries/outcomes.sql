-- name: count_outcomes
-- How many coils ensembles decided, or a member of them. A coil that was judged once counts by that verdict; those that
-- were judged again are few, and only for them is it asked which verdict counts. `others` have champions of their own.
-- The least probability is of all the coils, also of those in which the member had no say. Every verdict of the ensembles
-- is gone through.
with again as materialized (
    select distinct plant, coil_id from coilflow.verdicts where supersedes is not null
),
counted as (
    select verdict_id, plant, review_probability
    from coilflow.verdicts as v
    where v.role = 'champion' and v.ensemble_version = any(%(versions)s) and v.p_nok is not null
      and v.decided_at <= %(until)s
      and not exists (select from again as a where a.plant = v.plant and a.coil_id = v.coil_id)
    union all
    select verdict_id, plant, review_probability
    from coilflow.counted_verdicts
    where role = 'champion' and ensemble_version = any(%(versions)s) and decided_at <= %(until)s
      and verdict_id = any(array(
          select v.verdict_id from coilflow.verdicts as v join again using (plant, coil_id) where v.role = 'champion'
      ))
)
select
    count(*) filter (where %(model)s::text is null or a.verdict_id is not null) as coils,
    min(c.review_probability) filter (where c.review_probability > 0) as least_probability
from counted as c
left join coilflow.assessments as a
    on a.verdict_id = c.verdict_id and a.model = %(model)s and a.version = %(version)s
where case when %(plant)s = '' then c.plant <> all(%(others)s) else c.plant = %(plant)s end;

-- name: telling_outcomes
-- Of the coils that ensembles decided the latest, those of which anybody ever said one of `labels`, and those of the
-- score's window that people labelled or were asked to; in the order of decision, by the verdict that counts.
with latest as materialized (
    select l.verdict_id
    from unnest(%(versions)s::text[]) as g(version)
    cross join lateral (
        select v.verdict_id, v.decided_at
        from coilflow.verdicts as v
        where v.ensemble_version = g.version and v.role = 'champion' and v.p_nok is not null
          and v.decided_at <= %(until)s
          and case when %(plant)s = '' then v.plant <> all(%(others)s) else v.plant = %(plant)s end
        order by v.decided_at desc, v.verdict_id desc
        limit %(latest)s
    ) as l
    order by l.decided_at desc, l.verdict_id desc
    limit %(latest)s
),
labelled as (
    select v.verdict_id
    from (select distinct plant, coil_id from coilflow.feedback where label = any(%(labels)s)) as f
    cross join lateral ( -- by index: there are few words beside all verdicts
        select verdict_id, ensemble_version
        from coilflow.verdicts
        where plant = f.plant and coil_id = f.coil_id and role = 'champion'
        offset 0
    ) as v
    where v.ensemble_version = any(%(versions)s)
),
scored as (
    select v.verdict_id
    from coilflow.verdicts as v
    where v.role = 'champion' and v.ensemble_version = any(%(versions)s)
      and v.decided_at > %(after)s and v.decided_at <= %(until)s
      and (
          v.review <> '{}'
          or exists (select from coilflow.feedback as f where f.plant = v.plant and f.coil_id = v.coil_id)
      )
)
select
    verdict_id, called_nok, p_nok, coalesce(is_nok, false), label is not null,
    extract(epoch from labelled_at)::float8, review <> '{}', review_probability, verdict = 'UNDECIDED',
    plant, champion_verdict, decided_at, verdict_id in (select verdict_id from latest)
from coilflow.counted_verdicts
where verdict_id = any(array(
        select verdict_id from latest union select verdict_id from labelled union select verdict_id from scored
    ))
  and role = 'champion' and decided_at <= %(until)s
  and case when %(plant)s = '' then plant <> all(%(others)s) else plant = %(plant)s end
order by decided_at, verdict_id;
