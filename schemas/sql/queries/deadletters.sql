-- name: record_dead_letters
select * from coilflow.record_dead_letters(%(rows)s::jsonb, %(originals)b::bytea[]);

-- name: list_dead_letters
-- Newest first; without their original bytes.
select
    dead_letter_id, fingerprint, plant, coil_id, whole_coil, step, error, remedy, place,
    kafka_topic, kafka_partition, kafka_offset, state, created_at, octet_length(original) as size_bytes,
    handled_by, handled_why, handled_at
from coilflow.dead_letters
where (%(ids)s::bigint[] is null or dead_letter_id = any(%(ids)s))
  and (%(plant)s::text is null or plant = %(plant)s)
  and (%(coil_id)s::text is null or coil_id = %(coil_id)s)
  and (%(step)s::text is null or step = %(step)s)
  and (%(state)s::text is null or state = %(state)s)
  and (%(topic)s::text is null or kafka_topic = %(topic)s)
  and (%(since)s::timestamptz is null or created_at >= %(since)s)
  and (%(before_id)s::bigint is null or dead_letter_id < %(before_id)s)
order by dead_letter_id desc
limit %(most)s;

-- name: dead_letter
select
    dead_letter_id, fingerprint, plant, coil_id, whole_coil, step, error, remedy, place,
    kafka_topic, kafka_partition, kafka_offset, state, created_at, octet_length(original) as size_bytes,
    handled_by, handled_why, handled_at, kafka_key, headers, original
from coilflow.dead_letters
where dead_letter_id = %(dead_letter_id)s;

-- name: mark_replayed
-- One whose coil got its verdict meanwhile stays resolved.
update coilflow.dead_letters set state = 'replayed'
where dead_letter_id = %(dead_letter_id)s and state in ('new', 'discarded');

-- name: note_handled
update coilflow.dead_letters set handled_by = %(who)s, handled_why = %(why)s, handled_at = %(now)s
where dead_letter_id = %(dead_letter_id)s;

-- name: discard_dead_letter
-- One whose coil got its verdict stays resolved.
update coilflow.dead_letters
set state = 'discarded', handled_by = %(who)s, handled_why = %(why)s, handled_at = %(now)s
where dead_letter_id = %(dead_letter_id)s and state in ('new', 'replayed');
