-- name: record_dead_letters
-- A coil that already has a verdict keeps it: its dead letter is a late or damaged extra.
with given as materialized (
    select * from rows from (
        jsonb_to_recordset(%(rows)s::jsonb) as (
            fingerprint text, plant text, coil_id text, step text, error text, remedy text, place text
        ),
        unnest(%(originals)b::bytea[])
    ) with ordinality as r(fingerprint, plant, coil_id, step, error, remedy, place, original, nth)
),
coil as (
    insert into coilflow.coils (plant, coil_id, state)
    select distinct on (plant, coil_id) plant, coil_id, 'dead_lettered'
    from given
    where coil_id is not null
    order by plant, coil_id
    on conflict (plant, coil_id) do update set state = 'dead_lettered' where coils.state = 'open'
    returning 1
),
inserted as (
    insert into coilflow.dead_letters (fingerprint, plant, coil_id, step, error, remedy, place, original)
    select fingerprint, plant, coil_id, step, error, remedy, place, original
    from given
    where (select count(*) from coil) >= 0
    order by fingerprint, nth
    on conflict (fingerprint) do nothing
    returning 1
)
select
    (select count(*) from inserted) as new,
    (select count(*) from given) - (select count(*) from inserted) as repeated;
