-- depends: 0006_streams
-- Relays of the outbox: each reads the head of its slots by destination, and sets aside what a destination refuses.

alter table coilflow.outbox add column attempts integer not null default 0 check (attempts >= 0);
alter table coilflow.outbox add column refusal text;
alter table coilflow.outbox add column refused_at timestamptz;
alter table coilflow.outbox add check (refused_at is null or (published_at is null and refusal is not null));
comment on column coilflow.outbox.attempts is 'How often the destination refused it; a destination that is down refuses nothing.';
comment on column coilflow.outbox.refusal is 'What the destination said when it last refused it.';
comment on column coilflow.outbox.refused_at is 'Set aside after the last attempt, so that it holds back no other; null: not refused for good.';

drop index coilflow.outbox_unpublished;
create index outbox_waiting on coilflow.outbox (destination, slot, outbox_id)
    where published_at is null and refused_at is null;
create index outbox_refused on coilflow.outbox (destination, outbox_id) where refused_at is not null;

-- Every row is updated once and soon deleted: do not wait until a fifth of the table is dead.
alter table coilflow.outbox set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
