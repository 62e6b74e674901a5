-- name: limit_figures
-- Within the transaction.
select set_config('statement_timeout', %(longest_ms)s::text, true);

-- name: figures_unfinished
-- Coils without a verdict.
select plant, state, count(*) as coils, extract(epoch from clock_timestamp() - min(seen_at))::float8 as oldest_s
from coilflow.coils
where state <> 'decided'
group by plant, state;

-- name: figures_misfiled
-- Coils whose state is not what became of them: of the verdicts of the last hour, the coils that began last, and all
-- that were refused.
select 'verdict_without_decision' as fault, count(*)::int8 as coils
from coilflow.verdicts as v
join coilflow.coils as c using (plant, coil_id)
where v.decided_at > clock_timestamp() - interval '1 hour' and c.state <> 'decided'
union all
select 'decision_without_verdict', count(*)
from (
    select plant, coil_id, state from coilflow.coils order by started_at desc nulls last, plant, coil_id limit 1000
) as c
where c.state = 'decided'
  and not exists (select from coilflow.verdicts as v where v.plant = c.plant and v.coil_id = c.coil_id)
union all
select 'refusal_without_letter', count(*)
from coilflow.coils as c
where c.state = 'dead_lettered'
  and not exists (select from coilflow.dead_letters as d where d.plant = c.plant and d.coil_id = c.coil_id);

-- name: figures_verdicts
-- Of the last day: how many in the last hour, and when the last one was.
select
    plant, label, count(*) filter (where decided_at > clock_timestamp() - interval '1 hour') as coils,
    extract(epoch from max(decided_at))::float8 as last_at_s
from coilflow.verdicts
where role = 'champion' and decided_at > clock_timestamp() - interval '1 day'
group by plant, label;

-- name: figures_feedback
-- Of what was said in the last 30 days: how many words came in the last hour, and when the last one came.
select
    plant, count(*) filter (where received_at > clock_timestamp() - interval '1 hour') as words,
    extract(epoch from max(received_at))::float8 as last_at_s
from coilflow.feedback
where given_at > clock_timestamp() - interval '30 days'
group by plant;

-- name: figures_reviews
-- What coilflow.review_queue has of the last 30 days, asked coil by coil: the whole view goes through all that was ever
-- said.
select v.plant, 'review' as why, count(*) as coils
from coilflow.verdicts as v
where v.role = 'champion' and v.review <> '{}' and v.decided_at > clock_timestamp() - interval '30 days'
  and not exists (
      select from coilflow.verdicts as newer
      where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
        and newer.supersedes = v.revision
  )
  and not exists (select from coilflow.valid_feedback as f where f.plant = v.plant and f.coil_id = v.coil_id)
group by v.plant
union all
select two.plant, 'disputed', count(*)
from (
    select plant, coil_id from coilflow.feedback
    where given_at > clock_timestamp() - interval '30 days'
    group by plant, coil_id
    having count(distinct label) > 1
) as two
cross join lateral (
    select from coilflow.coil_labels as l where l.plant = two.plant and l.coil_id = two.coil_id and l.disputed
) as l
group by two.plant
union all
select d.plant, 'second', count(*)
from coilflow.second_reviews as d
where d.drawn_at > clock_timestamp() - interval '30 days'
  and (
      select count(distinct f.voice) from coilflow.valid_feedback as f
      where f.plant = d.plant and f.coil_id = d.coil_id
  ) = 1
group by d.plant;

-- name: figures_letters
-- Dead letters that nobody has dealt with.
select coalesce(plant, '') as plant, step, count(*) as letters
from coilflow.dead_letters
where state = 'new'
group by coalesce(plant, ''), step;

-- name: figures_fires
-- Of the last day.
select job as job_name, state, count(*) as fires
from coilflow.fires
where settled_at > clock_timestamp() - interval '1 day'
group by job, state;

-- name: figures_waiting_fires
select job as job_name, extract(epoch from clock_timestamp() - min(coalesce(next_attempt_at, fire_at)))::float8 as waiting_s
from coilflow.fires
where state = 'due' and coalesce(next_attempt_at, fire_at) <= clock_timestamp()
group by job;

-- name: figures_alarms
select kind, count(*) as alarms from coilflow.alarms where cleared_at is null group by kind;

-- name: figures_answers
-- What live workers made of the ensembles that the registry names; one that has not answered yet is `silent`.
with named as (
    select plant, 'champion' as role, champion as ensemble_version
    from coilflow.serving where champion is not null
    union all
    select plant, 'shadow', shadow from coilflow.serving where shadow is not null
),
live as (
    select worker from coilflow.workers where seen_at > clock_timestamp() - interval '2 minutes'
)
select n.plant, n.role, n.ensemble_version, coalesce(a.outcome, 'silent') as outcome, count(*) as workers
from named as n
cross join live as w
left join lateral (
    select s.outcome
    from coilflow.swap_answers as s
    where s.ensemble_version = n.ensemble_version and s.worker = w.worker and s.plant = n.plant and s.role = n.role
    order by s.answer_id desc
    limit 1
) as a on true
group by n.plant, n.role, n.ensemble_version, coalesce(a.outcome, 'silent');
