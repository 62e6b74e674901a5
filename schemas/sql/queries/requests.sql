-- name: request_pending
-- At most one waits; none of a paused job, nor where no scheduler ever ran. What has begun may have read before this.
with asked as (
    select coalesce(%(now)s::timestamptz, clock_timestamp()) as at
)
insert into coilflow.fires (job, fire_at, state, requested_by, why, recorded_at, next_attempt_at)
select %(job)s, asked.at, 'due', %(who)s, %(why)s, asked.at, asked.at + make_interval(secs => %(wait_s)s)
from asked
where exists (select from coilflow.leaders)
  and not exists (select from coilflow.schedules as s where s.job = %(job)s and s.paused_at is not null)
  and not exists (select from coilflow.fires as f where f.job = %(job)s and f.state = 'due')
on conflict do nothing
returning fire_id;
