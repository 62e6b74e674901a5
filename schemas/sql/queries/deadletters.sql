-- name: record_dead_letters
select * from coilflow.record_dead_letters(%(rows)s::jsonb, %(originals)b::bytea[]);
