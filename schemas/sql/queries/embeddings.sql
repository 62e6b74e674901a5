-- name: coils_to_embed
-- Verdicts of the champion without an embedding, oldest first, with what they were given on: of the newest, and of what
-- was embedded last so many more, since numbers given out side by side are not committed in their order.
select
    v.verdict_id, v.plant, v.coil_id, v.revision, r.readings, c.zn_min_g_m2, c.zn_max_g_m2, c.length_m, c.started_at,
    c.rows_per_face, e.manifest -> 'limits' as limits
from coilflow.verdicts as v
join coilflow.readings as r using (plant, coil_id, revision)
join coilflow.coils as c using (plant, coil_id)
left join coilflow.ensembles as e on e.version = v.ensemble_version
where v.role = 'champion'
  and v.verdict_id > greatest(
      (select max(newest.verdict_id) from coilflow.verdicts as newest) - %(newest)s,
      (select max(done.verdict_id) from coilflow.embeddings as done where done.made_by = %(made_by)s) - %(slack)s
  )
  and not exists (
      select from coilflow.embeddings as known
      where known.made_by = %(made_by)s and known.verdict_id = v.verdict_id
  )
order by v.verdict_id
limit %(coils)s;

-- name: store_embeddings
insert into coilflow.embeddings (made_by, verdict_id, plant, scale, embedding)
select %(made_by)s, given.*
from unnest(
    %(verdict_ids)s::bigint[], %(plants)s::text[], %(scales)s::text[], %(embeddings)s::bytea[]
) as given(verdict_id, plant, scale, embedding)
on conflict do nothing;

-- name: latest_embeddings
-- One row, since a hundred thousand take a driver far longer than their bytes; both in one order, whichever that is.
select string_agg(int8send(verdict_id), ''::bytea) as verdict_ids, string_agg(embedding, ''::bytea) as embeddings
from (
    select verdict_id, embedding
    from coilflow.embeddings
    where made_by = %(made_by)s and plant = %(plant)s and scale = %(scale)s
    order by verdict_id desc
    limit %(coils)s
) as latest;

-- name: coils_of_verdicts
-- Those of the verdicts that stand, with what people say.
select
    v.verdict_id, v.plant, v.coil_id, v.decided_at, v.label as verdict, v.p_nok,
    (select l.label from coilflow.coil_labels as l where l.plant = v.plant and l.coil_id = v.coil_id) as label
from coilflow.verdicts as v
where v.verdict_id = any(%(verdict_ids)s::bigint[])
  and not exists (
      select from coilflow.verdicts as newer
      where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role and newer.supersedes = v.revision
  );

-- name: prune_embeddings
-- A piece of those made otherwise, and of all but the newest.
delete from coilflow.embeddings
where (made_by, verdict_id) in (
    select old.made_by, old.verdict_id
    from coilflow.embeddings as old
    where old.made_by <> %(made_by)s
       or old.verdict_id <= (
           select kept.verdict_id
           from coilflow.embeddings as kept
           where kept.made_by = %(made_by)s
           order by kept.verdict_id desc
           offset %(kept)s
           limit 1
       )
    limit %(rows)s
);
