-- depends: 0005_positions
-- Streams: the log's position moves with what was made of it, and coils that arrive without Kafka wait in an inbox.
-- One call of `commit_log` is one statement: a frozen owner can never hold a transaction open.

alter table coilflow.coils add column rows_per_face integer check (rows_per_face >= 0);
comment on column coilflow.coils.rows_per_face is
    'Rows a face that coil.ended promised, 0 where it promised none; null where no such event came.';

create table coilflow.parked_coils (
    topic       text not null,
    partition   integer not null,
    plant       text not null check (plant <> ''),
    coil_id     text not null check (coil_id <> ''),
    last_offset bigint not null check (last_offset >= 0),
    events      bytea not null,
    parked_at   timestamptz not null default now(),
    primary key (topic, partition, plant, coil_id)
);

comment on table coilflow.parked_coils is 'Open coils that would hold a position back too far: their events so far.';
comment on column coilflow.parked_coils.last_offset is 'Events of this coil up to here are in `events`; later ones are still in the log.';
comment on column coilflow.parked_coils.events is 'CloudEvents in structured JSON, one a line.';

create table coilflow.inbox (
    inbox_id    bigint generated always as identity primary key,
    plant       text not null check (plant <> ''),
    coil_id     text not null check (coil_id <> ''),
    source      text not null check (source <> ''),
    event_id    text not null check (event_id <> ''),
    event       bytea not null,
    received_at timestamptz not null default now(),
    unique (plant, coil_id, source, event_id)
);

comment on table coilflow.inbox is 'Chunk events of open coils that came without Kafka (HTTP, MQTT, NiFi): the log of these hosts.';
comment on column coilflow.inbox.event is 'CloudEvent in structured JSON, as it came.';
comment on column coilflow.inbox.event_id is 'With `source` the identity of an event among those of its coil: a repeat is stored once.';

create index inbox_by_coil on coilflow.inbox (plant, coil_id, inbox_id);

alter table coilflow.dead_letters drop constraint dead_letters_headers_check;
alter table coilflow.dead_letters alter column headers set default '[]';
update coilflow.dead_letters set headers = '[]';
alter table coilflow.dead_letters add check (jsonb_typeof(headers) = 'array');
alter table coilflow.dead_letters add column kafka_key bytea;
alter table coilflow.dead_letters add column whole_coil boolean not null default true;
comment on column coilflow.dead_letters.whole_coil is 'Whether the coil was refused, or one message that may name a coil.';
comment on column coilflow.dead_letters.headers is 'Headers of the message in their order: pairs of name and base64.';
comment on column coilflow.dead_letters.kafka_key is 'Key of the message.';
comment on column coilflow.dead_letters.kafka_offset is 'Offset of the message; of the last message of the coil where a whole coil was refused.';

-- Offsets begin again where a topic is made anew: a fault is known again by its fingerprint alone.
drop index coilflow.dead_letters_by_offset;
create index dead_coils_by_offset on coilflow.dead_letters (kafka_topic, kafka_partition, kafka_offset)
    where whole_coil and coil_id is not null and kafka_offset is not null;

alter table coilflow.outbox alter column payload drop not null;
alter table coilflow.outbox add column dead_letter_id bigint references coilflow.dead_letters (dead_letter_id);
alter table coilflow.outbox add check (num_nonnulls(payload, dead_letter_id) = 1);
comment on column coilflow.dead_letters.step is 'Step that refused it: consume, decode, assemble, normalize, score, decide or store.';
comment on column coilflow.outbox.payload is 'The CloudEvent, structured mode; null where a dead letter''s own bytes go out.';
comment on column coilflow.outbox.dead_letter_id is 'The dead letter whose original bytes and headers go out.';

-- One statement, so a batch is stored and announced as a whole or not at all. Rows are taken in the order of their
-- key, so that two recorders of the same coils wait for each other instead of deadlocking. The count over `coil` makes
-- the coils come first. A new verdict supersedes the standing one by a trigger, so its event says so only here.
create function coilflow.record_verdicts(
    given_rows jsonb, given_readings bytea[], decided_at timestamptz, destinations text[]
) returns table (new bigint, repeated bigint, announced bigint) language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with given as materialized (
        select * from rows from (
            jsonb_to_recordset(given_rows) as (
                plant text, coil_id text, revision text,
                zn_min_g_m2 float8, zn_max_g_m2 float8, length_m float8, width_mm float8, thickness_mm float8,
                weight_t float8, material text, customer text, tolerance_profile text,
                started_at timestamptz, truth text, rows_per_face int4,
                kafka_topic text, kafka_partition int4, last_offset int8,
                label text, p_nok float8, threshold float8, ensemble_version text, observed float8,
                reasons text[], supersedes text,
                members jsonb, event_id uuid, key text, slot int2, payload jsonb
            ),
            unnest(given_readings)
        ) with ordinality as r(
            plant, coil_id, revision,
            zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm,
            weight_t, material, customer, tolerance_profile,
            started_at, truth, rows_per_face,
            kafka_topic, kafka_partition, last_offset,
            label, p_nok, threshold, ensemble_version, observed,
            reasons, supersedes,
            members, event_id, key, slot, payload, readings, nth
        )
    ),
    coil as (
        insert into coilflow.coils as known (
            plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm, weight_t,
            material, customer, tolerance_profile, started_at, truth, rows_per_face, state
        )
        select distinct on (plant, coil_id)
            plant, coil_id, zn_min_g_m2, zn_max_g_m2, length_m, width_mm, thickness_mm, weight_t,
            material, customer, tolerance_profile, started_at, truth, rows_per_face, 'decided'
        from given
        order by plant, coil_id, nth desc
        on conflict (plant, coil_id) do update set
            zn_min_g_m2 = coalesce(excluded.zn_min_g_m2, known.zn_min_g_m2),
            zn_max_g_m2 = coalesce(excluded.zn_max_g_m2, known.zn_max_g_m2),
            length_m = coalesce(known.length_m, excluded.length_m),
            width_mm = coalesce(known.width_mm, excluded.width_mm),
            thickness_mm = coalesce(known.thickness_mm, excluded.thickness_mm),
            weight_t = coalesce(known.weight_t, excluded.weight_t),
            material = coalesce(known.material, excluded.material),
            customer = coalesce(known.customer, excluded.customer),
            tolerance_profile = coalesce(known.tolerance_profile, excluded.tolerance_profile),
            started_at = coalesce(known.started_at, excluded.started_at),
            truth = coalesce(known.truth, excluded.truth),
            rows_per_face = greatest(known.rows_per_face, excluded.rows_per_face),
            state = 'decided'
        where known.state <> 'decided'
            or (known.truth is null and excluded.truth is not null)
            or excluded.rows_per_face > coalesce(known.rows_per_face, -1)
        returning 1
    ),
    reading as (
        insert into coilflow.readings (plant, coil_id, revision, readings, kafka_topic, kafka_partition, last_offset)
        select plant, coil_id, revision, readings, kafka_topic, kafka_partition, last_offset
        from given
        where (select count(*) from coil) >= 0
        order by plant, coil_id, revision
        on conflict (plant, coil_id, revision) do nothing
        returning 1
    ),
    inserted as (
        insert into coilflow.verdicts (
            plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, reasons, supersedes, decided_at
        )
        select
            plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, reasons, supersedes,
            decided_at
        from given
        where (select count(*) from reading) >= 0
        order by plant, coil_id, nth
        on conflict (plant, coil_id, revision, role) do nothing
        returning verdict_id, plant, coil_id, revision, supersedes, observed
    ),
    first_given as (
        select distinct on (plant, coil_id, revision) plant, coil_id, revision, members, event_id, key, slot, payload
        from given
        order by plant, coil_id, revision, nth
    ),
    assessment as (
        insert into coilflow.assessments (verdict_id, model, version, p_nok)
        select i.verdict_id, m.model, m.version, m.p_nok
        from inserted as i
        join first_given as g using (plant, coil_id, revision)
        cross join lateral jsonb_to_recordset(g.members) as m(model text, version text, p_nok float8)
        returning 1
    ),
    announced as (
        insert into coilflow.outbox (event_id, destination, key, slot, payload)
        select
            g.event_id, d.destination, g.key, g.slot,
            coalesce(jsonb_set(g.payload, '{data,supersedes}', to_jsonb(i.supersedes)), g.payload)
        from inserted as i
        join first_given as g using (plant, coil_id, revision)
        cross join unnest(destinations) as d(destination)
        order by i.verdict_id, d.destination
        returning 1
    ),
    resolved as (
        update coilflow.dead_letters as d
        set state = 'resolved'
        from inserted as i
        where d.plant = i.plant and d.coil_id = i.coil_id and d.state in ('new', 'replayed')
          and i.observed > 0 -- a fragment, of which nothing was assessed, is no answer to what was refused
        returning 1
    )
    select
        (select count(*) from inserted) as new,
        (select count(*) from given) - (select count(*) from inserted) as repeated,
        (select count(*) from announced) as announced;
end
$$;

-- A coil that already has a verdict keeps it: its dead letter is a late or damaged extra.
create function coilflow.record_dead_letters(given_rows jsonb, given_originals bytea[])
returns table (new bigint, repeated bigint) language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with given as materialized (
        select
            r.fingerprint, r.plant, r.coil_id, r.whole_coil, r.step, r.error, r.remedy, r.place,
            r.kafka_topic, r.kafka_partition, r.kafka_offset, decode(r.kafka_key, 'base64') as kafka_key, r.headers,
            r.destination, r.event_id, r.key, r.slot, r.original, r.nth
        from rows from (
            jsonb_to_recordset(given_rows) as (
                fingerprint text, plant text, coil_id text, whole_coil boolean, step text, error text, remedy text,
                place text, kafka_topic text, kafka_partition int4, kafka_offset int8, kafka_key text, headers jsonb,
                destination text, event_id uuid, key text, slot int2
            ),
            unnest(given_originals)
        ) with ordinality as r(
            fingerprint, plant, coil_id, whole_coil, step, error, remedy,
            place, kafka_topic, kafka_partition, kafka_offset, kafka_key, headers,
            destination, event_id, key, slot, original, nth
        )
    ),
    coil as (
        insert into coilflow.coils (plant, coil_id, state)
        select distinct on (plant, coil_id) plant, coil_id, 'dead_lettered'
        from given
        where coil_id is not null and whole_coil
        order by plant, coil_id
        on conflict (plant, coil_id) do update set state = 'dead_lettered' where coils.state = 'open'
        returning 1
    ),
    inserted as (
        insert into coilflow.dead_letters (
            fingerprint, plant, coil_id, whole_coil, step, error, remedy, place,
            kafka_topic, kafka_partition, kafka_offset, kafka_key, headers, original
        )
        select
            fingerprint, plant, coil_id, whole_coil, step, error, remedy, place,
            kafka_topic, kafka_partition, kafka_offset, kafka_key, coalesce(headers, '[]'), original
        from given
        where (select count(*) from coil) >= 0
        order by fingerprint, nth
        on conflict do nothing
        returning dead_letter_id, fingerprint
    ),
    announced as (
        insert into coilflow.outbox (event_id, destination, key, slot, dead_letter_id)
        select distinct on (i.dead_letter_id) g.event_id, g.destination, g.key, g.slot, i.dead_letter_id
        from inserted as i
        join given as g using (fingerprint)
        where g.destination is not null
        order by i.dead_letter_id, g.nth
        on conflict (event_id, destination) do nothing
        returning 1
    )
    select
        (select count(*) from inserted),
        (select count(*) from given) - (select count(*) from inserted);
end
$$;

-- What became of a stretch of the log, and how far it was read: all of it, or nothing where another owns a partition.
create function coilflow.commit_log(
    given_positions jsonb,
    given_open jsonb,
    given_rows jsonb, given_readings bytea[], decided_at timestamptz, destinations text[],
    given_dead jsonb, given_originals bytea[],
    given_parked jsonb, given_events bytea[],
    given_announcements jsonb
) returns table (new bigint, repeated bigint, announced bigint, dead bigint, dead_repeated bigint) language plpgsql as $$
#variable_conflict use_column
declare
    moved integer;
begin
    update coilflow.positions as p
    set next_offset = g.next_offset, updated_at = now()
    from jsonb_to_recordset(given_positions) as g(topic text, partition int4, next_offset int8, owner_epoch int8)
    where p.topic = g.topic and p.partition = g.partition and p.owner_epoch = g.owner_epoch;
    get diagnostics moved = row_count;
    if moved <> jsonb_array_length(given_positions) then
        raise exception 'another worker owns a partition of this batch' using errcode = 'CF001';
    end if;

    insert into coilflow.coils (plant, coil_id, state)
    select distinct g.plant, g.coil_id, 'open'
    from jsonb_to_recordset(given_open) as g(plant text, coil_id text)
    order by g.plant, g.coil_id
    on conflict (plant, coil_id) do update set state = 'open' where coils.state = 'dead_lettered';

    insert into coilflow.parked_coils as p (topic, partition, plant, coil_id, last_offset, events)
    select topic, partition, plant, coil_id, last_offset, events
    from rows from (
        jsonb_to_recordset(given_parked) as (topic text, partition int4, plant text, coil_id text, last_offset int8),
        unnest(given_events)
    ) as r(topic, partition, plant, coil_id, last_offset, events)
    on conflict (topic, partition, plant, coil_id) do update
    set last_offset = excluded.last_offset, events = excluded.events, parked_at = now();

    insert into coilflow.outbox (event_id, destination, key, slot, payload)
    select g.event_id, g.destination, g.key, g.slot, g.payload
    from jsonb_to_recordset(given_announcements)
        as g(event_id uuid, destination text, key text, slot int2, payload jsonb)
    on conflict (event_id, destination) do nothing;

    return query
    select v.new, v.repeated, v.announced, d.new, d.repeated
    from coilflow.record_verdicts(given_rows, given_readings, decided_at, destinations) as v,
         coilflow.record_dead_letters(given_dead, given_originals) as d;

    delete from coilflow.parked_coils as p
    using (
        select * from jsonb_to_recordset(given_rows)
            as r(kafka_topic text, kafka_partition int4, plant text, coil_id text, last_offset int8)
        union all
        select kafka_topic, kafka_partition, plant, coil_id, kafka_offset
        from jsonb_to_recordset(given_dead) as r(
            kafka_topic text, kafka_partition int4, plant text, coil_id text, kafka_offset int8, whole_coil boolean
        )
        where whole_coil -- a message alone that names a coil leaves the coil as it is
    ) as gone(topic, partition, plant, coil_id, last_offset)
    where p.topic = gone.topic and p.partition = gone.partition and p.plant = gone.plant
      and p.coil_id = gone.coil_id and p.last_offset <= gone.last_offset;
end
$$;

comment on function coilflow.commit_log is
    'One stretch of the log: positions under the owner''s epoch (else CF001), open coils, verdicts, dead letters, parked coils.';
