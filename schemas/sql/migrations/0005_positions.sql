-- depends: 0004_feedback
-- How far the log was read, and what of it was refused.

create table coilflow.positions (
    topic         text not null check (topic <> ''),
    partition     integer not null check (partition >= 0),
    next_offset   bigint not null check (next_offset >= 0),
    owner_epoch   bigint not null check (owner_epoch >= 0),
    owner         text not null,
    updated_at    timestamptz not null default now(),
    primary key (topic, partition)
);

comment on table coilflow.positions is 'Where a partition is read on from; moved only by the owner of the current epoch.';
comment on column coilflow.positions.next_offset is 'Offset of the oldest event that an open coil still needs.';
comment on column coilflow.positions.owner_epoch is 'Raised by each assignment; a transaction that names an older one moves nothing.';
comment on column coilflow.positions.owner is 'Worker that claimed the epoch.';

create table coilflow.dead_letters (
    dead_letter_id  bigint generated always as identity primary key,
    fingerprint     text not null unique check (fingerprint ~ '^[0-9a-f]{64}$'),
    plant           text,
    coil_id         text,
    step            text not null check (step <> ''),
    error           text not null,
    remedy          text not null,
    place           text not null,
    kafka_topic     text,
    kafka_partition integer check (kafka_partition >= 0),
    kafka_offset    bigint check (kafka_offset >= 0),
    headers         jsonb not null default '{}' check (jsonb_typeof(headers) = 'object'),
    original        bytea not null,
    state           text not null default 'new' check (state in ('new', 'replayed', 'resolved', 'discarded')),
    created_at      timestamptz not null default now(),
    check (num_nulls(plant, coil_id) in (0, 2)),
    check (num_nulls(kafka_topic, kafka_partition, kafka_offset) in (0, 3))
);

comment on table coilflow.dead_letters is 'Input that got no verdict, with its original bytes, the fault and the remedy.';
comment on column coilflow.dead_letters.fingerprint is 'SHA-256 over step, coil, place, error and original: a second run repeats nothing.';
comment on column coilflow.dead_letters.plant is 'Null where the input belongs to no coil.';
comment on column coilflow.dead_letters.step is 'Step that refused it: decode, assemble, normalize, score or decide.';
comment on column coilflow.dead_letters.place is 'File and line, or topic, partition and offset.';
comment on column coilflow.dead_letters.headers is 'Headers of the message; binary values as base64.';
comment on column coilflow.dead_letters.original is 'The bytes as they came.';
comment on column coilflow.dead_letters.state is 'new, replayed (sent through again), resolved (its coil got a verdict afterwards) or discarded by a person.';

create index dead_letters_by_state on coilflow.dead_letters (state, created_at desc);
create index dead_letters_by_coil on coilflow.dead_letters (plant, coil_id) where coil_id is not null;
create unique index dead_letters_by_offset on coilflow.dead_letters (kafka_topic, kafka_partition, kafka_offset)
    where kafka_offset is not null;
