-- Coils and their readings. Everything of ours lives in the schema `coilflow`, beside the plant's own tables.

create table coilflow.coils (
    plant             text not null check (plant <> ''),
    coil_id           text not null check (coil_id <> ''),
    zn_min_g_m2       double precision check (zn_min_g_m2 >= 0 and zn_min_g_m2 < 'infinity'),
    zn_max_g_m2       double precision check (zn_max_g_m2 > 0 and zn_max_g_m2 < 'infinity'),
    length_m          double precision check (length_m > 0 and length_m < 'infinity'),
    width_mm          double precision check (width_mm > 0 and width_mm < 'infinity'),
    thickness_mm      double precision check (thickness_mm > 0 and thickness_mm < 'infinity'),
    weight_t          double precision check (weight_t > 0 and weight_t < 'infinity'),
    material          text,
    customer          text,
    tolerance_profile text,
    started_at        timestamptz,
    truth             text check (truth in ('OK', 'NOK')),
    state             text not null check (state in ('open', 'decided', 'dead_lettered')),
    seen_at           timestamptz not null default now(),
    primary key (plant, coil_id),
    check (zn_min_g_m2 < zn_max_g_m2)
);

comment on table coilflow.coils is 'One row a coil, whatever became of it; each coil is in exactly one state.';
comment on column coilflow.coils.plant is 'Plant or line; a coil id is unique within it.';
comment on column coilflow.coils.coil_id is 'The plant''s SID as text.';
comment on column coilflow.coils.zn_min_g_m2 is 'Lower bound of the ordered coating a face, g/m²; null where the source names none.';
comment on column coilflow.coils.zn_max_g_m2 is 'Upper bound of the ordered coating a face, g/m².';
comment on column coilflow.coils.length_m is 'Strip length, m.';
comment on column coilflow.coils.width_mm is 'Strip width, mm.';
comment on column coilflow.coils.thickness_mm is 'Strip thickness, mm.';
comment on column coilflow.coils.weight_t is 'Coil weight, t.';
comment on column coilflow.coils.tolerance_profile is 'Name of the tolerance profile in the settings; null: by customer, then default.';
comment on column coilflow.coils.started_at is 'When the coil started on the line; null where the source does not say.';
comment on column coilflow.coils.truth is 'What an expert said, where the source carries it; null: unknown.';
comment on column coilflow.coils.state is 'open: readings expected; decided: has a verdict; dead_lettered: refused and without a verdict.';
comment on column coilflow.coils.seen_at is 'When coilflow first stored the coil.';

create index coils_by_start on coilflow.coils (started_at desc nulls last, plant, coil_id);
create index coils_by_plant_and_start on coilflow.coils (plant, started_at desc nulls last, coil_id);
create index coils_not_decided on coilflow.coils (state, seen_at) where state <> 'decided';

create table coilflow.readings (
    plant           text not null,
    coil_id         text not null,
    revision        text not null check (revision <> ''),
    readings        bytea not null,
    kafka_topic     text,
    kafka_partition integer check (kafka_partition >= 0),
    last_offset     bigint check (last_offset >= 0),
    stored_at       timestamptz not null default now(),
    primary key (plant, coil_id, revision),
    foreign key (plant, coil_id) references coilflow.coils (plant, coil_id),
    check (num_nulls(kafka_topic, kafka_partition, last_offset) in (0, 3))
);
-- Arrow buffers hardly shrink under pglz, which would cost more time than the write it saves.
alter table coilflow.readings alter column readings set storage external;

comment on table coilflow.readings is 'What a verdict was given on: the readings of one revision of one coil; never changed.';
comment on column coilflow.readings.revision is 'SHA-256 of the readings, hex.';
comment on column coilflow.readings.readings is 'Arrow IPC stream of the coil.';
comment on column coilflow.readings.kafka_topic is 'Topic the readings came from; null where they came from a file or table.';
comment on column coilflow.readings.last_offset is 'Largest offset of the partition that holds a chunk of this coil.';

create index readings_by_offset on coilflow.readings (kafka_topic, kafka_partition, last_offset)
    where last_offset is not null;
