-- name: waiting_destinations
-- A jump from one destination to the next in the index, so that a long queue is not read through.
with recursive waiting as (
    select (select min(destination) from coilflow.outbox where published_at is null and refused_at is null) as destination
    union all
    select (
        select min(o.destination) from coilflow.outbox as o
        where o.destination > w.destination and o.published_at is null and o.refused_at is null
    )
    from waiting as w
    where w.destination is not null
)
select destination from waiting where destination is not null;

-- name: waiting_rows
-- The head of each slot, oldest first, up to a number of rows and bytes; the first row always. Rows of one coil become
-- visible in the order of their numbers, since whoever records a coil holds its row in coilflow.coils until the commit.
with head as materialized (
    select
        o.outbox_id, sum(coalesce(octet_length(d.original), pg_column_size(o.payload)))
            over (order by o.outbox_id) - coalesce(octet_length(d.original), pg_column_size(o.payload)) as bytes_before
    from unnest(%(slots)s::int2[]) as mine(slot)
    cross join lateral (
        select w.outbox_id, w.payload, w.dead_letter_id
        from coilflow.outbox as w
        where w.destination = %(destination)s and w.slot = mine.slot and w.published_at is null and w.refused_at is null
          and w.outbox_id <> all(%(but)s::int8[]) and w.key <> all(%(but_keys)s::text[])
        order by w.outbox_id
        limit %(rows_per_slot)s
    ) as o
    left join coilflow.dead_letters as d using (dead_letter_id)
    order by o.outbox_id
    limit %(rows)s
)
select
    o.outbox_id, o.event_id, o.key, o.attempts, o.payload::text as payload, o.headers, o.created_at,
    d.dead_letter_id, d.original, d.kafka_key, d.headers as original_headers, d.step, d.error, d.remedy,
    d.kafka_topic, d.kafka_partition, d.kafka_offset
from head as h
join coilflow.outbox as o using (outbox_id)
left join coilflow.dead_letters as d using (dead_letter_id)
where h.bytes_before < %(bytes)s
order by o.outbox_id;

-- name: mark_published
update coilflow.outbox set published_at = now()
where outbox_id = any(%(outbox_ids)s::int8[]) and published_at is null and refused_at is null;

-- name: mark_refused
-- One attempt more; after the last one the row is set aside.
update coilflow.outbox as o
set attempts = o.attempts + 1,
    refusal = r.refusal,
    refused_at = case when o.attempts + 1 >= %(most_attempts)s then now() end
from unnest(%(outbox_ids)s::int8[], %(refusals)s::text[]) as r(outbox_id, refusal)
where o.outbox_id = r.outbox_id and o.published_at is null and o.refused_at is null
returning o.outbox_id, o.refused_at is not null as set_aside;

-- name: retry_refused
update coilflow.outbox set refused_at = null, attempts = 0 where refused_at is not null;

-- name: outbox_backlog
select destination, sum(waiting)::int8 as waiting, sum(refused)::int8 as refused, sum(lag_s)::float8 as lag_s
from (
    select
        destination, count(*) as waiting, 0 as refused,
        extract(epoch from clock_timestamp() - min(created_at)) as lag_s
    from coilflow.outbox
    where published_at is null and refused_at is null
    group by destination
    union all
    select destination, 0, count(*), 0
    from coilflow.outbox
    where refused_at is not null
    group by destination
) as part
group by destination;

-- name: prune_outbox
delete from coilflow.outbox
where outbox_id in (
    select outbox_id from coilflow.outbox
    where published_at < %(before)s
    order by published_at
    limit %(rows)s
    for update skip locked
);

-- name: join_relays
-- The session's keepalives end it, and with it its locks, where the machine at the other end has vanished.
select
    pg_advisory_lock_shared(%(class)s::int4, %(membership)s::int4),
    set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '2', false),
    set_config('tcp_keepalives_count', '3', false);

-- name: relays
-- Every relay of this database, and how long it has been silent; the clock is the server's.
select
    l.pid, l.pid = pg_backend_pid() as own,
    coalesce(extract(epoch from clock_timestamp() - a.state_change), 0)::float8 as silent_s
from pg_locks as l
join pg_stat_activity as a using (pid)
where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::int8 = %(class)s and l.objid::int8 = %(membership)s and l.objsubid = 2 and l.granted
order by l.pid;

-- name: end_relay
select pg_terminate_backend(pid) from pg_stat_activity where pid = %(pid)s and usename = current_user;

-- name: take_slots
select slot from unnest(%(slots)s::int4[]) as wanted(slot) where pg_try_advisory_lock(%(class)s::int4, slot);

-- name: release_slots
select pg_advisory_unlock(%(class)s::int4, slot) from unnest(%(slots)s::int4[]) as given_up(slot);
