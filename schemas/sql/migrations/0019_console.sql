-- depends: 0018_access
-- What a screen asks all day: the newest coils by any filter, from a million, and what has changed since a moment ago.

-- Lists go from the newest verdict to the oldest; these are read backwards.
create index verdicts_listed on coilflow.verdicts (decided_at, plant, coil_id) where role = 'champion';
create index verdicts_listed_by_plant on coilflow.verdicts (plant, decided_at, coil_id) where role = 'champion';
create index verdicts_listed_not_ok on coilflow.verdicts (label, decided_at, plant, coil_id)
    where role = 'champion' and label <> 'OK';
create index coils_listed_undecided on coilflow.coils (seen_at, plant, coil_id) where state <> 'decided';
-- The last one on this table: of indexes that seem equal, as all do while a table is empty, the planner takes the newest,
-- and a session that began then looks the verdicts of a coil up by it for long. By the others it would read a plant.
create index verdicts_by_name on coilflow.verdicts (coil_id text_pattern_ops, plant)
    include (decided_at, verdict_id, label) where role = 'champion';

create table coilflow.verdict_doubts (
    code       text not null,
    decided_at timestamptz not null,
    plant      text not null,
    coil_id    text not null,
    verdict_id bigint not null references coilflow.verdicts (verdict_id) on delete cascade,
    label      text not null,
    primary key (code, decided_at, plant, coil_id, verdict_id) include (label)
);

comment on table coilflow.verdict_doubts is 'Verdicts of the champion by the codes of their reasons; a trigger keeps it.';
comment on column coilflow.verdict_doubts.code is 'What stands before the colon of a reason.';

create index verdict_doubts_by_verdict on coilflow.verdict_doubts (verdict_id);

create table coilflow.unanswered_reviews (
    plant      text not null,
    coil_id    text not null,
    verdict_id bigint not null references coilflow.verdicts (verdict_id) on delete cascade,
    decided_at timestamptz not null,
    primary key (decided_at, plant, coil_id, verdict_id)
);

comment on table coilflow.unanswered_reviews is
    'Verdicts that ask a person to look, of coils of which nobody has said anything; triggers keep it. One that is '
    'superseded, or of which somebody spoke in the moment in which it was decided, may stay: who reads it asks again.';

create index unanswered_reviews_by_coil on coilflow.unanswered_reviews (plant, coil_id);
create index unanswered_reviews_by_verdict on coilflow.unanswered_reviews (verdict_id);

create table coilflow.early_warnings (
    warning_id bigint generated always as identity primary key,
    plant      text not null,
    coil_id    text not null,
    data       jsonb not null check (jsonb_typeof(data) = 'object'),
    warned_at  timestamptz not null,
    unique (plant, coil_id)
);

comment on table coilflow.early_warnings is 'Open coils that were out of their band over a length; a coil is warned of once.';
comment on column coilflow.early_warnings.data is 'What the event coil.warning says.';

insert into coilflow.early_warnings (plant, coil_id, data, warned_at)
select distinct on (w.plant, w.coil_id) w.plant, w.coil_id, o.payload -> 'data', w.warned_at
from coilflow.outbox as o
cross join lateral jsonb_to_record(o.payload -> 'data') as w(plant text, coil_id text, warned_at timestamptz)
where o.payload ->> 'type' = 'coil.warning'
order by w.plant, w.coil_id, o.outbox_id;

-- Numbers of rows are given before the commit, and transactions commit in any order: who reads `change_no > last` loses
-- what commits late. So each change knows its transaction, and a reader's place is a snapshot: what has changed since is
-- what that snapshot does not see.
create table coilflow.changes (
    txid      xid8 not null default pg_current_xact_id(),
    change_no bigint generated always as identity,
    kind      text not null check (kind in ('verdict', 'model_change', 'swap_answer', 'early_warning')),
    ref       bigint not null,
    noted_at  timestamptz not null default clock_timestamp(),
    primary key (txid, change_no)
);

comment on table coilflow.changes is 'What event streams tell; triggers keep it, housekeeping deletes what is old.';
comment on column coilflow.changes.ref is 'verdict_id, change_id, answer_id or warning_id.';

create table coilflow.changes_forgotten (
    one  boolean primary key default true check (one),
    txid xid8 not null default '0'
);

comment on table coilflow.changes_forgotten is
    'One row: up to which transaction changes may have been deleted. Who was told less has to look at everything anew.';
insert into coilflow.changes_forgotten default values;

create function coilflow.note_verdicts() returns trigger language plpgsql as $$
begin
    insert into coilflow.changes (kind, ref)
    select 'verdict', verdict_id from fresh where role = 'champion' order by verdict_id;

    insert into coilflow.verdict_doubts (code, decided_at, plant, coil_id, verdict_id, label)
    select distinct split_part(r.reason, ':', 1), f.decided_at, f.plant, f.coil_id, f.verdict_id, f.label
    from fresh as f
    cross join unnest(f.reasons) as r(reason)
    where f.role = 'champion';

    insert into coilflow.unanswered_reviews (plant, coil_id, verdict_id, decided_at)
    select f.plant, f.coil_id, f.verdict_id, f.decided_at
    from fresh as f
    where f.role = 'champion' and f.review <> '{}'
      and not exists (select from coilflow.feedback as w where w.plant = f.plant and w.coil_id = f.coil_id);
    return null;
end
$$;

create trigger verdicts_are_noted after insert on coilflow.verdicts
    referencing new table as fresh for each statement execute function coilflow.note_verdicts();

create function coilflow.note_feedback() returns trigger language plpgsql as $$
begin
    delete from coilflow.unanswered_reviews as u using fresh as f where u.plant = f.plant and u.coil_id = f.coil_id;
    return null;
end
$$;

create trigger feedback_answers_reviews after insert on coilflow.feedback
    referencing new table as fresh for each statement execute function coilflow.note_feedback();

create function coilflow.note_model_change() returns trigger language plpgsql as $$
begin
    insert into coilflow.changes (kind, ref) values ('model_change', new.change_id);
    return null;
end
$$;

create trigger model_changes_are_noted after insert on coilflow.model_changes
    for each row execute function coilflow.note_model_change();

create function coilflow.note_swap_answer() returns trigger language plpgsql as $$
begin
    insert into coilflow.changes (kind, ref) values ('swap_answer', new.answer_id);
    return null;
end
$$;

create trigger swap_answers_are_noted after insert on coilflow.swap_answers
    for each row execute function coilflow.note_swap_answer();

create function coilflow.note_early_warning() returns trigger language plpgsql as $$
begin
    insert into coilflow.changes (kind, ref) values ('early_warning', new.warning_id);
    return null;
end
$$;

create trigger early_warnings_are_noted after insert on coilflow.early_warnings
    for each row execute function coilflow.note_early_warning();

insert into coilflow.verdict_doubts (code, decided_at, plant, coil_id, verdict_id, label)
select distinct split_part(r.reason, ':', 1), v.decided_at, v.plant, v.coil_id, v.verdict_id, v.label
from coilflow.verdicts as v
cross join unnest(v.reasons) as r(reason)
where v.role = 'champion';

insert into coilflow.unanswered_reviews (plant, coil_id, verdict_id, decided_at)
select v.plant, v.coil_id, v.verdict_id, v.decided_at
from coilflow.verdicts as v
where v.role = 'champion' and v.review <> '{}'
  and not exists (select from coilflow.feedback as w where w.plant = v.plant and w.coil_id = v.coil_id);

-- As before, and keeps the warnings; one without a destination is kept, and not announced.
create or replace function coilflow.commit_log(
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

    insert into coilflow.early_warnings (plant, coil_id, data, warned_at)
    select distinct on (w.plant, w.coil_id) w.plant, w.coil_id, g.payload -> 'data', w.warned_at
    from jsonb_to_recordset(given_announcements) as g(payload jsonb)
    cross join lateral jsonb_to_record(g.payload -> 'data') as w(plant text, coil_id text, warned_at timestamptz)
    order by w.plant, w.coil_id
    on conflict (plant, coil_id) do nothing;

    insert into coilflow.outbox (event_id, destination, key, slot, payload)
    select g.event_id, g.destination, g.key, g.slot, g.payload
    from jsonb_to_recordset(given_announcements)
        as g(event_id uuid, destination text, key text, slot int2, payload jsonb)
    where g.destination is not null
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
