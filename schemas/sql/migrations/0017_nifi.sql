-- depends: 0016_outcomes
-- A coil without Kafka is judged by the host that it came to: the inbox, or NiFi. Who asks by HTTP, as NiFi's flow
-- `retrain` does, asks for one run.

alter table coilflow.inbox_coils add column host text not null default 'inbox';

comment on column coilflow.inbox_coils.host is 'Who takes it: inbox or nifi, as who stored its first event says.';

alter table coilflow.inbox_coils add column takes integer not null default 0;

comment on column coilflow.inbox_coils.takes is
    'How often it went on its way through NiFi since its last event came, without coming to a verdict.';

-- Of two requests by HTTP that came at once, one was enough.
update coilflow.fires as f set state = 'coalesced', settled_at = clock_timestamp()
where f.state = 'due' and f.requested_by = 'http'
  and exists (
      select from coilflow.fires as e
      where e.job = f.job and e.state = 'due' and e.requested_by = 'http' and e.fire_id < f.fire_id
  );

drop index coilflow.fires_one_waits;
create unique index fires_one_waits on coilflow.fires (job, requested_by)
    where state = 'due' and requested_by in ('feedback', 'drift', 'policy', 'http');

comment on column coilflow.fires.requested_by is
    'Who asked for it out of turn, a person or coilflow itself (feedback, drift, policy, http); null: the crontab did.';

drop index coilflow.inbox_coils_to_look_at;
create index inbox_coils_to_look_at on coilflow.inbox_coils (host, look_at);

drop function coilflow.store_events(jsonb, bytea[], float8, float8, integer);

create function coilflow.store_events(
    given_rows jsonb, given_events bytea[], deadline_s float8, settle_s float8, most_events integer, given_host text
) returns table (nth bigint) language plpgsql as $$
#variable_conflict use_column
begin
    insert into coilflow.inbox_coils as c (plant, coil_id, host)
    select distinct plant, coil_id, given_host from jsonb_to_recordset(given_rows) as g(plant text, coil_id text)
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
        set last_at = clock_timestamp(), events = c.events + n.events, ended = c.ended or n.ended, takes = 0,
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
