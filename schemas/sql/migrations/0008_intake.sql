-- depends: 0006_streams
-- Coils that arrive without Kafka: when each is to be looked at, and which events of judged ones were heard.

create table coilflow.inbox_coils (
    plant   text not null check (plant <> ''),
    coil_id text not null check (coil_id <> ''),
    last_at timestamptz not null default clock_timestamp(),
    events  integer not null default 0,
    ended   boolean not null default false,
    look_at timestamptz not null default 'infinity',
    primary key (plant, coil_id)
);

comment on table coilflow.inbox_coils is 'One row a coil with events in the inbox; whoever judges or adds to the coil locks it.';
comment on column coilflow.inbox_coils.last_at is 'When its last event was stored.';
comment on column coilflow.inbox_coils.ended is 'Whether coil.ended is among its events.';
comment on column coilflow.inbox_coils.look_at is 'When it may be due: at once where it ended, else after the deadline or the settling time.';

create index inbox_coils_to_look_at on coilflow.inbox_coils (look_at);

create table coilflow.inbox_settled (
    plant      text not null,
    coil_id    text not null,
    settled_at timestamptz not null default clock_timestamp(),
    heard      bigint[] not null,
    primary key (plant, coil_id)
);

comment on table coilflow.inbox_settled is 'Events of judged coils that left the inbox, so that one sent again is known; kept for 30 days.';
comment on column coilflow.inbox_settled.heard is '64-bit hashes of source and event id.';

create index inbox_settled_by_time on coilflow.inbox_settled (settled_at);

create function coilflow.event_identity(source text, event_id text) returns bigint
language sql immutable strict parallel safe as $$ select hashtextextended(source || chr(31) || event_id, 0) $$;

comment on function coilflow.event_identity is 'CloudEvents identity as one number.';

-- The coils' rows come first and in order: they make the senders and the judges of a coil wait for each other. Each
-- statement sees what the judge committed while the one before it waited.
create function coilflow.store_events(
    given_rows jsonb, given_events bytea[], deadline_s float8, settle_s float8, most_events integer
) returns table (nth bigint) language plpgsql as $$
#variable_conflict use_column
begin
    insert into coilflow.inbox_coils as c (plant, coil_id)
    select distinct plant, coil_id from jsonb_to_recordset(given_rows) as g(plant text, coil_id text)
    order by plant, coil_id
    on conflict (plant, coil_id) do update set events = c.events;

    return query
    with given as materialized (
        select * from rows from (
            jsonb_to_recordset(given_rows) as (
                plant text, coil_id text, source text, event_id text, is_start boolean, is_end boolean
            ),
            unnest(given_events)
        ) with ordinality as r(plant, coil_id, source, event_id, is_start, is_end, event, nth)
    ),
    fresh as (
        select distinct on (g.plant, g.coil_id, g.source, g.event_id) g.*
        from given as g
        left join coilflow.inbox_settled as s on s.plant = g.plant and s.coil_id = g.coil_id
        where s.heard is null or coilflow.event_identity(g.source, g.event_id) <> all(s.heard)
        order by g.plant, g.coil_id, g.source, g.event_id, g.nth
    ),
    inserted as (
        insert into coilflow.inbox (plant, coil_id, source, event_id, event, received_at)
        select plant, coil_id, source, event_id, event, clock_timestamp() from fresh order by nth
        on conflict (plant, coil_id, source, event_id) do nothing
        returning plant, coil_id, source, event_id
    ),
    kept as materialized (
        select f.* from fresh as f join inserted as i using (plant, coil_id, source, event_id)
    ),
    opened as ( -- what was refused is open again with its start; without it, what comes is a straggler
        insert into coilflow.coils (plant, coil_id, state)
        select distinct plant, coil_id, 'open' from kept order by plant, coil_id
        on conflict (plant, coil_id) do update set state = 'open'
        where coils.state = 'dead_lettered'
            and exists (select from kept as k where k.is_start and k.plant = coils.plant and k.coil_id = coils.coil_id)
        returning 1
    ),
    noted as (
        update coilflow.inbox_coils as c
        set last_at = clock_timestamp(), events = c.events + n.events, ended = c.ended or n.ended,
            look_at = case
                when d.plant is not null then clock_timestamp() + make_interval(secs => settle_s)
                when c.ended or n.ended or c.events + n.events > most_events then clock_timestamp()
                else clock_timestamp() + make_interval(secs => deadline_s)
            end
        from (
            select plant, coil_id, count(*) as events, bool_or(is_end) as ended from kept group by plant, coil_id
        ) as n
        left join coilflow.coils as d on d.plant = n.plant and d.coil_id = n.coil_id and d.state = 'decided'
        where c.plant = n.plant and c.coil_id = n.coil_id
        returning 1
    )
    select k.nth from kept as k where (select count(*) from opened) + (select count(*) from noted) >= 0;

    delete from coilflow.inbox_coils as c
    using jsonb_to_recordset(given_rows) as g(plant text, coil_id text)
    where c.plant = g.plant and c.coil_id = g.coil_id and c.events = 0;
end
$$;

comment on function coilflow.store_events is 'Stores chunk events of any coils; returns which of them (from 1) were not known.';

-- Feedback is identified as its event is: by source and id.
alter table coilflow.feedback add column source text not null default '';
alter table coilflow.feedback add column corrects text;
alter table coilflow.feedback drop constraint feedback_plant_event_id_key;
alter table coilflow.feedback add unique (plant, source, event_id);

comment on column coilflow.feedback.source is 'CloudEvents source of the event; with its id its identity.';
comment on column coilflow.feedback.corrects is 'Id of the earlier event that this one corrects, also where that one is not here.';
