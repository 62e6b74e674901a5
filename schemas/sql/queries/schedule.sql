-- name: register_schedules
-- A crontab that a person set stays; one that the settings changed counts from now on.
with leader as (
    select epoch from coilflow.leaders where epoch = %(epoch)s and ended_at is null for key share
)
insert into coilflow.schedules as s (job, cron, since, changed_at)
select g.job, g.cron, %(now)s, %(now)s
from leader, unnest(%(jobs)s::text[], %(crons)s::text[]) as g(job, cron)
order by g.job
on conflict (job) do update set cron = excluded.cron, since = excluded.since, changed_at = excluded.changed_at
where not s.own_cron and s.cron <> excluded.cron;

-- name: schedules
-- `after`: fires up to then are recorded, or nobody's business.
select
    s.job, s.cron, s.own_cron, s.paused_at, s.paused_by, s.paused_why, s.changed_by, s.changed_at,
    greatest(
        least(s.since, %(now)s),
        (select max(f.fire_at) from coilflow.fires as f
         where f.job = s.job and f.requested_by is null and f.fire_at <= %(now)s)
    ) as after
from coilflow.schedules as s
order by s.job;

-- name: forget_future
-- What a clock that was ahead left behind: fires that have not run come again at their time, and a job that was new or
-- resumed then is due from now on. Those that have run stay, for each fire runs once.
with leader as (
    select epoch from coilflow.leaders where epoch = %(epoch)s and ended_at is null for key share
),
ahead as (
    select f.fire_id, f.job, f.fire_at
    from coilflow.fires as f, leader
    where f.job = any(%(jobs)s::text[]) and f.fire_at > %(now)s and f.requested_by is null
),
forgotten as (
    delete from coilflow.fires as f using ahead
    where f.fire_id = ahead.fire_id and f.attempts = 0
),
due_from_now as (
    update coilflow.schedules as s set since = %(now)s from leader
    where s.job = any(%(jobs)s::text[]) and s.since > %(now)s
)
select job, count(*)::int4 as fires, max(fire_at) as last_at from ahead group by job order by job;

-- name: set_cron
insert into coilflow.schedules as s (job, cron, own_cron, since, changed_by, changed_at)
values (%(job)s, %(cron)s, %(own)s, %(now)s, %(who)s, %(now)s)
on conflict (job) do update
set cron = excluded.cron, own_cron = excluded.own_cron, since = excluded.since, changed_by = excluded.changed_by,
    changed_at = excluded.changed_at;

-- name: pause_job
-- One that is paused already stays as it was paused.
insert into coilflow.schedules as s (job, cron, since, paused_at, paused_by, paused_why, changed_at)
values (%(job)s, %(cron)s, %(now)s, %(now)s, %(who)s, %(why)s, %(now)s)
on conflict (job) do update
set paused_at = excluded.paused_at, paused_by = excluded.paused_by, paused_why = excluded.paused_why
where s.paused_at is null
returning job;

-- name: resume_job
update coilflow.schedules set paused_at = null, paused_by = null, paused_why = null, since = %(now)s
where job = %(job)s and paused_at is not null
returning job;

-- name: record_fires
-- One that has not begun is coalesced into a later one, where the job wants that.
with leader as (
    select epoch from coilflow.leaders where epoch = %(epoch)s and ended_at is null for key share
),
stale as (
    update coilflow.fires as f set state = 'coalesced', settled_at = %(now)s
    from leader
    where %(coalesce)s and f.job = %(job)s and f.state = 'due' and f.attempts = 0 and f.requested_by is null
)
insert into coilflow.fires (job, fire_at, state, recorded_at, settled_at)
select %(job)s, g.fire_at, g.state, %(now)s, case when g.state <> 'due' then %(now)s::timestamptz end
from leader, unnest(%(fire_ats)s::timestamptz[], %(states)s::text[]) as g(fire_at, state)
order by g.fire_at
on conflict (job, fire_at) do nothing;

-- name: request_fire
insert into coilflow.fires (job, fire_at, state, requested_by, why, recorded_at)
values (%(job)s, %(now)s, 'due', %(who)s, %(why)s, %(now)s)
on conflict (job, fire_at) do nothing
returning fire_id;

-- name: fires_to_run
-- The oldest of each job that nothing holds back; a paused job runs only what a person asks for. What was asked for by a
-- clock that was ahead waits for no more.
select distinct on (f.job) f.fire_id, f.job, f.fire_at, f.state, f.attempts, f.failures
from coilflow.fires as f
left join coilflow.schedules as s using (job)
where f.state in ('due', 'begun') and f.job = any(%(jobs)s::text[])
  and (
      f.next_attempt_at is null or f.next_attempt_at <= %(now)s
      or (f.attempts = 0 and f.recorded_at > %(now)s::timestamptz + interval '1 minute')
  )
  and case
      when f.requested_by is null then s.paused_at is null and f.fire_at <= %(now)s
      when f.requested_by in ('feedback', 'drift', 'policy') then s.paused_at is null
      else true
  end
order by f.job, f.fire_at;

-- name: fire
select fire_id, job, fire_at, state, attempts, failures from coilflow.fires where fire_id = %(fire_id)s;

-- name: lose_attempts
-- Those of leaders that lead no more.
with leader as (
    select epoch from coilflow.leaders where epoch = %(epoch)s and ended_at is null for key share
)
update coilflow.attempts as a
set ended_at = %(now)s, outcome = 'lost', error = 'its leader leads no more'
from leader as l
where a.ended_at is null and a.epoch <> l.epoch;

-- name: begin_attempt
-- An earlier attempt that is still open had nobody left to end it.
with leader as (
    select epoch, holder from coilflow.leaders where epoch = %(epoch)s and ended_at is null for key share
),
fire as (
    update coilflow.fires as f
    set state = 'begun', attempts = f.attempts + 1, next_attempt_at = null
    from leader
    where f.fire_id = %(fire_id)s and f.state in ('due', 'begun')
    returning f.fire_id, f.attempts
),
lost as (
    update coilflow.attempts as a
    set ended_at = %(now)s, outcome = 'lost', error = 'its end could not be recorded'
    from fire
    where a.fire_id = fire.fire_id and a.ended_at is null
)
insert into coilflow.attempts (fire_id, attempt, epoch, holder, started_at)
select fire.fire_id, fire.attempts, leader.epoch, leader.holder, %(now)s
from fire, leader
returning attempt_id, attempt;

-- name: commit_attempt
with mine as (
    select a.attempt_id
    from coilflow.attempts as a
    join coilflow.leaders as l using (epoch)
    where a.attempt_id = %(attempt_id)s and a.ended_at is null and l.ended_at is null
    for key share of l
),
done as (
    update coilflow.attempts as a
    set ended_at = %(now)s, outcome = 'committed', said = %(said)s
    from mine
    where a.attempt_id = mine.attempt_id and a.ended_at is null
    returning a.fire_id
)
update coilflow.fires as f
set state = 'committed', settled_at = %(now)s
from done
where f.fire_id = done.fire_id
returning f.fire_id;

-- name: end_attempt
-- `next_attempt_at` null: the fire has failed for good.
with mine as (
    select a.attempt_id
    from coilflow.attempts as a
    join coilflow.leaders as l using (epoch)
    where a.attempt_id = %(attempt_id)s and a.ended_at is null and l.ended_at is null
    for key share of l
),
done as (
    update coilflow.attempts as a
    set ended_at = %(now)s, outcome = %(outcome)s, error = %(error)s
    from mine
    where a.attempt_id = mine.attempt_id and a.ended_at is null
    returning a.fire_id
)
update coilflow.fires as f
set failures = f.failures + %(failures)s,
    next_attempt_at = %(next_attempt_at)s,
    state = case when %(next_attempt_at)s::timestamptz is null then 'failed' else f.state end,
    settled_at = case when %(next_attempt_at)s::timestamptz is null then %(now)s::timestamptz end
from done
where f.fire_id = done.fire_id
returning f.fire_id;

-- name: attempt_outcome
select outcome from coilflow.attempts where attempt_id = %(attempt_id)s;

-- name: last_fires
-- The newest fires with their last attempts.
select
    f.fire_id, f.job, f.fire_at, f.state, f.requested_by, f.why, f.attempts, f.next_attempt_at, f.settled_at,
    a.attempt, a.epoch, a.holder, a.started_at, a.ended_at, a.outcome, a.said, a.error
from coilflow.fires as f
left join lateral (
    select * from coilflow.attempts as t where t.fire_id = f.fire_id order by t.attempt desc limit 1
) as a on true
where (%(job)s::text is null or f.job = %(job)s) and (%(fire_id)s::int8 is null or f.fire_id = %(fire_id)s)
  and (%(before)s::timestamptz is null or f.fire_at < %(before)s)
order by f.fire_at desc
limit %(most)s;

-- name: prune_fires
-- The newest fire of the crontab stays: the next are counted from it.
delete from coilflow.fires
where fire_id in (
    select f.fire_id from coilflow.fires as f
    where f.settled_at < %(before)s
      and f.fire_at < coalesce(
          (select max(n.fire_at) from coilflow.fires as n where n.job = f.job and n.requested_by is null), 'infinity'
      )
    order by f.settled_at
    limit %(rows)s
);

-- name: prune_leaders
delete from coilflow.leaders as l
where l.ended_at < %(before)s and l.epoch < (select max(epoch) from coilflow.leaders)
  and not exists (select from coilflow.attempts as a where a.epoch = l.epoch);

-- name: record_decision
insert into coilflow.decisions (at, job, subject, act, why, evidence)
values (%(at)s, %(job)s, %(subject)s, %(act)s, %(why)s::text[], %(evidence)s::jsonb);

-- name: last_decisions
select decision_id, at, job, subject, act, why, evidence
from coilflow.decisions
where job = %(job)s and (%(before_id)s::int8 is null or decision_id < %(before_id)s)
order by decision_id desc
limit %(most)s;
