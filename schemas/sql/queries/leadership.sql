-- name: try_lead
select pg_try_advisory_lock(%(class)s::int4, 0) as led;

-- name: watch_leader_session
-- The server ends this session, and with it the lock, where the machine at the other end has vanished.
select
    set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '2', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('idle_in_transaction_session_timeout', '5000', false),
    set_config('lock_timeout', '5000', false);

-- name: end_silent_leader
-- Whoever holds the lock and has been silent for too long; the clock is the server's.
select pg_terminate_backend(l.pid) as ended
from pg_locks as l
join pg_stat_activity as a using (pid)
where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::int8 = %(class)s and l.objid::int8 = 0 and l.objsubid = 2 and l.granted
  and l.pid <> pg_backend_pid() and a.usename = current_user
  and clock_timestamp() - a.state_change > %(silent_s)s * interval '1 second';

-- name: end_sessions
-- Of an epoch, or of one attempt: a frozen process would hold its transaction open for as long as it stands still.
select pg_terminate_backend(pid)
from pg_stat_activity
where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
  and starts_with(application_name, %(name)s);

-- name: standing_epoch
select epoch, extract(epoch from clock_timestamp() - heartbeat_at)::float8 as silent_s
from coilflow.leaders
where ended_at is null;

-- name: end_epoch
with standing as (
    select epoch from coilflow.leaders where ended_at is null for update
)
update coilflow.leaders as l set ended_at = clock_timestamp() from standing as s where l.epoch = s.epoch;

-- name: begin_epoch
insert into coilflow.leaders (epoch, holder)
select coalesce(max(epoch), 0) + 1, %(holder)s from coilflow.leaders
returning epoch;

-- name: beat
update coilflow.leaders set heartbeat_at = clock_timestamp()
where epoch = %(epoch)s and ended_at is null
returning epoch;

-- name: resign
-- `for update` waits for what a job has open under the epoch, which an update alone does not.
with standing as (
    select epoch from coilflow.leaders where epoch = %(epoch)s and ended_at is null for update
)
update coilflow.leaders as l set ended_at = clock_timestamp() from standing as s where l.epoch = s.epoch;

-- name: leader
-- The last leader; `leads` where its session holds the lock.
select
    epoch, holder, began_at, heartbeat_at, ended_at,
    extract(epoch from clock_timestamp() - heartbeat_at)::float8 as silent_s,
    ended_at is null and exists (
        select from pg_locks as l
        where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
          and l.classid::int8 = %(class)s and l.objid::int8 = 0 and l.objsubid = 2 and l.granted
    ) as leads
from coilflow.leaders
order by epoch desc
limit 1;

-- name: hold_attempt
-- Until the end of the transaction nobody takes over and nobody gives the attempt up.
select a.attempt_id
from coilflow.attempts as a
join coilflow.leaders as l using (epoch)
where a.attempt_id = %(attempt_id)s and a.ended_at is null and l.ended_at is null
for share of a
for key share of l;

-- name: limit_fence
select set_config('idle_in_transaction_session_timeout', %(idle_ms)s::text, true);
