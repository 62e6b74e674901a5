-- name: register_models
-- Returns what is stored afterwards, old or new, so that the caller can tell a repeat from a conflict.
with given as materialized (
    select * from jsonb_to_recordset(%(rows)s::jsonb)
        as r(name text, version text, kind text, scale text, manifest jsonb)
),
inserted as (
    insert into coilflow.models (name, version, kind, scale, manifest, state, registered_at, changed_at)
    select name, version, kind, scale, manifest, %(state)s, %(registered_at)s, %(registered_at)s
    from given
    order by name, version
    on conflict (name, version) do nothing
    returning name, version
)
select
    given.name, given.version,
    inserted.name is not null as is_new,
    coalesce(stored.manifest, given.manifest) <> given.manifest as differs
from given
left join inserted using (name, version)
left join coilflow.models as stored using (name, version);
