-- name: marked_kinds
-- What people marked on coils that they call NOK and that nobody disputes: the newest word of each voice.
select s.plant, s.coil_id, s.voice, s.revision, s.defect_kind, s.face, s.from_m, s.to_m, c.length_m, s.feedback_id
from coilflow.standing_feedback as s
join coilflow.coil_labels as l on l.plant = s.plant and l.coil_id = s.coil_id
join coilflow.coils as c on c.plant = s.plant and c.coil_id = s.coil_id
where s.label = 'NOK' and l.label = 'NOK'
  and s.defect_kind is not null and (s.from_m is not null or s.to_m is not null)
  and c.length_m > 0
order by s.given_at desc, s.feedback_id desc
limit %(most)s;

-- name: last_kind_model
-- The newest of a base, taken or not; or the newest that was taken.
select kind_model_id, manifest, model, taken, why, made_at
from coilflow.kind_models
where base = %(base)s and (taken or not %(taken)s)
order by kind_model_id desc
limit 1;

-- name: last_kind_model_id
select max(kind_model_id) as kind_model_id from coilflow.kind_models where base = %(base)s and taken;

-- name: store_kind_model
insert into coilflow.kind_models (base, version, manifest, model, taken, why, made_at)
values (%(base)s, %(version)s, %(manifest)s::jsonb, %(model)s, %(taken)s, %(why)s, %(made_at)s);
