-- name: raise_alarm
insert into coilflow.alarms as a (kind, subject, text, raised_at, last_at)
values (%(kind)s, %(subject)s, %(text)s, %(now)s, %(now)s)
on conflict (kind, subject) where cleared_at is null do update
set text = excluded.text, last_at = excluded.last_at, times = a.times + 1
returning times = 1 as is_new;

-- name: clear_alarm
update coilflow.alarms set cleared_at = %(now)s
where kind = %(kind)s and subject = %(subject)s and cleared_at is null;

-- name: open_alarms
select alarm_id, kind, subject, text, raised_at, last_at, times, told_at, cleared_at
from coilflow.alarms
where cleared_at is null
order by raised_at, alarm_id;

-- name: alarms_to_tell
-- New ones, those found again after a while, and those that are over; not what was told of the same lately. One that
-- is over before anybody was told is still told, for an hour.
select
    a.alarm_id, a.kind, a.subject, a.text, a.raised_at, a.last_at, a.times, a.told_at, a.cleared_at,
    case
        when a.told_at is null then 'raised'
        when a.cleared_at is null then 'again'
        else 'over'
    end as form
from coilflow.alarms as a
where (
        a.cleared_at is not null and a.told_at is not null and not a.over_told
    )
    or (
        (a.told_at is null or (a.cleared_at is null and a.last_at > a.told_at))
        and (a.cleared_at is null or a.cleared_at > %(now)s::timestamptz - interval '1 hour')
        and not exists (
            select from coilflow.alarms as t
            where t.kind = a.kind and t.subject = a.subject and t.told_at > %(not_since)s
        )
    )
order by a.raised_at, a.alarm_id
for update of a skip locked;

-- name: told_lately
select
    count(*) filter (where form <> 'summary') as messages,
    count(*) filter (where form = 'summary') as summaries
from coilflow.alarm_messages
where at > %(since)s;

-- name: store_alarm_message
with message as (
    insert into coilflow.alarm_messages (message_id, form, at, title, text, alarm_ids)
    values (%(message_id)s, %(form)s, %(now)s, %(title)s, %(text)s, %(alarm_ids)s::int8[])
    returning message_id
),
told as (
    update coilflow.alarms
    set told_at = case when cleared_at is null then %(now)s else coalesce(told_at, %(now)s) end,
        over_told = cleared_at is not null
    where alarm_id = any(%(alarm_ids)s::int8[])
)
insert into coilflow.alarm_deliveries (message_id, channel, next_attempt_at)
select m.message_id, c.channel, %(now)s from message as m, unnest(%(channels)s::text[]) as c(channel);

-- name: claim_deliveries
-- Whoever claims them has that long to send them; a kill between sending and marking sends one again, with its id.
with waiting as (
    select message_id, channel
    from coilflow.alarm_deliveries
    where sent_at is null and given_up_at is null and next_attempt_at <= %(now)s
    order by next_attempt_at
    limit %(most)s
    for update skip locked
),
claimed as (
    update coilflow.alarm_deliveries as d
    set attempts = d.attempts + 1, next_attempt_at = %(claimed_until)s
    from waiting as w
    where d.message_id = w.message_id and d.channel = w.channel
    returning d.message_id, d.channel, d.attempts
)
select c.message_id, c.channel, c.attempts, m.form, m.at, m.title, m.text
from claimed as c
join coilflow.alarm_messages as m using (message_id)
order by m.at;

-- name: mark_delivered
update coilflow.alarm_deliveries set sent_at = %(now)s, error = null
where message_id = %(message_id)s and channel = %(channel)s and sent_at is null;

-- name: mark_undelivered
-- `next_attempt_at` null: given up.
update coilflow.alarm_deliveries
set error = %(error)s,
    next_attempt_at = coalesce(%(next_attempt_at)s, next_attempt_at),
    given_up_at = case when %(next_attempt_at)s::timestamptz is null then %(now)s::timestamptz end
where message_id = %(message_id)s and channel = %(channel)s and sent_at is null;

-- name: unheard_plants
-- Coils were judged before and since, and nobody said anything of any since.
select g.plant
from (select distinct plant from coilflow.verdicts where role = 'champion' and decided_at > %(since)s and decided_at <= %(now)s) as g
where exists (
        select from coilflow.verdicts as v
        where v.plant = g.plant and v.role = 'champion' and v.decided_at <= %(since)s
    )
  and not exists (
      select from coilflow.feedback as f where f.plant = g.plant and f.received_at > %(since)s
  )
order by g.plant;

-- name: labels_by_plant
-- Coils judged and coils somebody spoke of, in a window.
select
    v.plant, count(distinct v.coil_id) as judged,
    (
        select count(distinct f.coil_id) from coilflow.feedback as f
        where f.plant = v.plant and f.received_at > %(since)s and f.received_at <= %(now)s
    ) as labelled
from coilflow.verdicts as v
where v.role = 'champion' and v.decided_at > %(since)s and v.decided_at <= %(now)s
group by v.plant
order by v.plant;
