-- name: claim_positions
-- Each assignment raises the epoch, so that whoever held the partition before can move nothing any more.
insert into coilflow.positions as p (topic, partition, next_offset, owner_epoch, owner)
select %(topic)s, g.partition, g.first_offset, 1, %(owner)s
from unnest(%(partitions)s::int4[], %(first_offsets)s::int8[]) as g(partition, first_offset)
order by g.partition
on conflict (topic, partition) do update
set owner_epoch = p.owner_epoch + 1, owner = excluded.owner, updated_at = now()
returning partition, next_offset, owner_epoch;

-- name: settled_coils
-- Coils whose last event lies at or past the stored position: a re-read has to skip their events.
select r.kafka_partition as partition, r.plant, r.coil_id, r.last_offset
from coilflow.readings as r
join coilflow.positions as p on p.topic = r.kafka_topic and p.partition = r.kafka_partition
where r.kafka_topic = %(topic)s and r.kafka_partition = any(%(partitions)s::int4[]) and r.last_offset >= p.next_offset
union all
select d.kafka_partition, d.plant, d.coil_id, d.kafka_offset
from coilflow.dead_letters as d
join coilflow.positions as p on p.topic = d.kafka_topic and p.partition = d.kafka_partition
where d.kafka_topic = %(topic)s and d.kafka_partition = any(%(partitions)s::int4[]) and d.kafka_offset >= p.next_offset
  and d.coil_id is not null and d.whole_coil;

-- name: parked_coils
select partition, plant, coil_id, last_offset, events
from coilflow.parked_coils
where topic = %(topic)s and partition = any(%(partitions)s::int4[])
order by partition, plant, coil_id;

-- name: decided_coils
-- What the standing verdicts of these coils were given on.
select
    c.plant, c.coil_id, c.zn_min_g_m2, c.zn_max_g_m2, c.length_m, c.width_mm, c.thickness_mm, c.weight_t,
    c.material, c.customer, c.tolerance_profile, c.started_at, c.rows_per_face, s.revision, r.readings
from unnest(%(plants)s::text[], %(coil_ids)s::text[]) as given(plant, coil_id)
join coilflow.coils as c using (plant, coil_id)
join coilflow.standing_verdicts as s using (plant, coil_id)
join coilflow.readings as r using (plant, coil_id, revision);

-- name: refused_coils
select plant, coil_id
from unnest(%(plants)s::text[], %(coil_ids)s::text[]) as given(plant, coil_id)
join coilflow.coils as c using (plant, coil_id)
where c.state = 'dead_lettered';

-- name: commit_log
select * from coilflow.commit_log(
    %(positions)s::jsonb, %(opened)s::jsonb,
    %(rows)s::jsonb, %(readings)b::bytea[], %(decided_at)s, %(destinations)s::text[],
    %(dead)s::jsonb, %(originals)b::bytea[],
    %(parked)s::jsonb, %(events)b::bytea[],
    %(announcements)s::jsonb
);
