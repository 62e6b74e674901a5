-- name: store_events
select nth from coilflow.store_events(
    %(rows)s::jsonb, %(events)b::bytea[], %(deadline_s)s, %(settle_s)s, %(most_events)s, %(host)s
);

-- name: database_clock
select clock_timestamp() as now;

-- name: take_coils
-- Whoever takes a coil holds it until the end of the transaction; others pass it over.
select plant, coil_id
from coilflow.inbox_coils
where host = %(host)s and look_at <= clock_timestamp()
order by look_at
limit %(most)s
for update skip locked;

-- name: inbox_events
select i.plant, i.coil_id, i.inbox_id, i.event, i.received_at
from unnest(%(plants)s::text[], %(coil_ids)s::text[]) as given(plant, coil_id)
join coilflow.inbox as i using (plant, coil_id)
order by i.inbox_id;

-- name: postpone_coils
update coilflow.inbox_coils as c
set look_at = given.look_at
from unnest(%(plants)s::text[], %(coil_ids)s::text[], %(look_at)s::timestamptz[]) as given(plant, coil_id, look_at)
where c.plant = given.plant and c.coil_id = given.coil_id;

-- name: lease_coils
-- Each take doubles the lease, up to a day: a flow that stands still for hours does not use up the takes.
update coilflow.inbox_coils as c
set takes = c.takes + 1,
    look_at = clock_timestamp() + make_interval(secs => least(%(lease_s)s * 2 ^ least(c.takes, 30), 86400))
from unnest(%(plants)s::text[], %(coil_ids)s::text[]) as given(plant, coil_id)
where c.plant = given.plant and c.coil_id = given.coil_id;

-- name: often_taken_coils
select c.plant, c.coil_id
from coilflow.inbox_coils as c
join unnest(%(plants)s::text[], %(coil_ids)s::text[]) as given(plant, coil_id) using (plant, coil_id)
where c.takes >= %(takes)s;

-- name: lock_coils
-- In the order in which whoever stores events takes them.
select plant, coil_id
from coilflow.inbox_coils
where (plant, coil_id) in (select * from unnest(%(plants)s::text[], %(coil_ids)s::text[]))
order by plant, coil_id
for update;

-- name: lock_decisions
-- As who records a verdict locks them, and in that order.
select plant, coil_id
from coilflow.coils
where (plant, coil_id) in (select * from unnest(%(plants)s::text[], %(coil_ids)s::text[]))
order by plant, coil_id
for no key update;

-- name: waiting_coils
-- Coils whose given event is in the inbox still.
select g.plant, g.coil_id
from unnest(%(plants)s::text[], %(coil_ids)s::text[], %(last_ids)s::bigint[]) as g(plant, coil_id, last_id)
join coilflow.inbox as i on i.inbox_id = g.last_id and i.plant = g.plant and i.coil_id = g.coil_id;

-- name: settle_coils
-- The events of a refused coil may be sent again, whole and better; those of a judged one are known for 30 days.
-- What came after the last event given stays, and is looked at within the settling time.
with given as materialized (
    select * from unnest(%(plants)s::text[], %(coil_ids)s::text[], %(last_ids)s::bigint[]) as g(plant, coil_id, last_id)
),
gone as (
    delete from coilflow.inbox as i using given as g
    where i.plant = g.plant and i.coil_id = g.coil_id and (g.last_id is null or i.inbox_id <= g.last_id)
    returning i.plant, i.coil_id, coilflow.event_identity(i.source, i.event_id) as identity
),
later as materialized (
    select g.plant, g.coil_id, count(i.inbox_id) as events
    from given as g
    left join coilflow.inbox as i on i.plant = g.plant and i.coil_id = g.coil_id and i.inbox_id > g.last_id
    group by g.plant, g.coil_id
),
closed as (
    delete from coilflow.inbox_coils as c using later as n
    where c.plant = n.plant and c.coil_id = n.coil_id and n.events = 0
),
left_open as (
    update coilflow.inbox_coils as c
    set events = n.events, takes = 0, look_at = least(c.look_at, clock_timestamp() + make_interval(secs => %(settle_s)s))
    from later as n
    where c.plant = n.plant and c.coil_id = n.coil_id and n.events > 0
),
noted as (
    insert into coilflow.inbox_settled as s (plant, coil_id, heard)
    select n.plant, n.coil_id, array_agg(n.identity)
    from gone as n
    join coilflow.coils as c on c.plant = n.plant and c.coil_id = n.coil_id and c.state = 'decided'
    group by n.plant, n.coil_id
    on conflict (plant, coil_id) do update set heard = s.heard || excluded.heard, settled_at = excluded.settled_at
),
forgotten as (
    delete from coilflow.inbox_settled as s
    where s.settled_at < now() - interval '30 days'
      and not exists (select from given as g where g.plant = s.plant and g.coil_id = s.coil_id)
)
select count(*) as events from gone;

-- name: has_inbox_coil
select exists(
    select from coilflow.inbox_coils where plant = %(plant)s and coil_id = %(coil_id)s
) as present;

-- name: coil_state
select state, seen_at from coilflow.coils where plant = %(plant)s and coil_id = %(coil_id)s;

-- name: dead_letters_of_coil
select dead_letter_id, step, error, remedy, place, state, created_at
from coilflow.dead_letters
where plant = %(plant)s and coil_id = %(coil_id)s
order by dead_letter_id desc
limit 100;
