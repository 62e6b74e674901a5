-- name: lock_registry
-- Whoever changes what serves takes this row first and everything else after it, so that two never wait for each other.
select frozen, who, why, at from coilflow.automation for update;

-- name: automation
select frozen, who, why, at from coilflow.automation;

-- name: set_frozen
update coilflow.automation set frozen = %(frozen)s, who = %(who)s, why = %(why)s, at = %(at)s;

-- name: ensembles
select
    e.version, e.name, e.plant, e.manifest, e.digest, e.limits_version, e.location, e.state, e.parent, e.snapshot_digest,
    e.registered_at, e.changed_at,
    (select jsonb_agg(jsonb_build_object('model', m.model, 'version', m.version) order by m.model, m.version)
     from coilflow.ensemble_members as m where m.ensemble_version = e.version and m.votes) as members
from coilflow.ensembles as e
where %(version)s::text is null or e.version = %(version)s
order by e.registered_at, e.version;

-- name: insert_ensemble
insert into coilflow.ensembles (
    version, name, plant, manifest, digest, limits_version, location, state, parent, snapshot_digest, registered_at,
    changed_at
) values (
    %(version)s, %(name)s, %(plant)s, %(manifest)s::jsonb, %(digest)s, %(limits_version)s, %(location)s, 'candidate',
    %(parent)s, %(snapshot_digest)s, %(at)s, %(at)s
);

-- name: insert_ensemble_members
insert into coilflow.ensemble_members (ensemble_version, model, version, votes)
select %(ensemble_version)s, m.model, m.version, m.votes
from jsonb_to_recordset(%(members)s::jsonb) as m(model text, version text, votes boolean);

-- name: serving
select plant, champion, shadow, changed_at from coilflow.serving order by plant;

-- name: set_serving
-- A row that says neither is taken away: the plant is served as every plant is.
with gone as (
    delete from coilflow.serving
    where plant = %(plant)s and %(champion)s::text is null and %(shadow)s::text is null
)
insert into coilflow.serving (plant, champion, shadow, changed_at)
select %(plant)s, %(champion)s, %(shadow)s, %(at)s
where %(champion)s::text is not null or %(shadow)s::text is not null
on conflict (plant) do update
set champion = excluded.champion, shadow = excluded.shadow, changed_at = excluded.changed_at;

-- name: set_ensemble_state
-- What serves any plant is champion or shadow; what serves none is what the caller says.
update coilflow.ensembles as e
set changed_at = case when e.state = s.state then e.changed_at else %(at)s end, state = s.state
from (
    select case
        when exists (select from coilflow.serving where champion = %(version)s) then 'champion'
        when exists (select from coilflow.serving where shadow = %(version)s) then 'shadow'
        else %(otherwise)s
    end as state
) as s
where e.version = %(version)s
returning e.state;

-- name: settle_member_states
-- A model version is what the best of its ensembles is.
update coilflow.models as m
set state = s.state, changed_at = %(at)s
from (
    select distinct on (k.model, k.version) k.model, k.version, e.state
    from coilflow.ensemble_members as k
    join coilflow.ensembles as e on e.version = k.ensemble_version
    order by k.model, k.version,
        array_position(array['champion', 'shadow', 'candidate', 'retired', 'rejected'], e.state)
) as s
where m.name = s.model and m.version = s.version and m.state <> s.state;

-- name: insert_model_change
insert into coilflow.model_changes (at, plant, ensemble_version, change, who, why, before)
values (%(at)s, %(plant)s, %(ensemble_version)s, %(change)s, %(who)s, %(why)s, %(before)s::jsonb)
returning change_id;

-- name: model_changes
select change_id, at, plant, ensemble_version, change, who, why, before
from coilflow.model_changes
where (%(version)s::text is null or ensemble_version = %(version)s) and (%(plant)s::text is null or plant = %(plant)s)
order by change_id;

-- name: announce_event
insert into coilflow.outbox (event_id, destination, key, slot, payload)
select %(event_id)s, d.destination, %(key)s, %(slot)s, %(payload)s::jsonb
from unnest(%(destinations)s::text[]) as d(destination);

-- name: listen_models
listen coilflow_models;

-- name: note_worker
insert into coilflow.workers as w (worker, host, kind, seen_at)
values (%(worker)s, %(host)s, %(kind)s, %(at)s)
on conflict (worker) do update set host = excluded.host, kind = excluded.kind, seen_at = excluded.seen_at;

-- name: workers
select worker, host, kind, seen_at from coilflow.workers where seen_at >= %(since)s order by worker;

-- name: insert_swap_answer
insert into coilflow.swap_answers (worker, plant, ensemble_version, role, outcome, reason, at)
values (%(worker)s, %(plant)s, %(ensemble_version)s, %(role)s, %(outcome)s, %(reason)s, %(at)s)
returning answer_id;

-- name: swap_answers
select a.worker, a.plant, a.ensemble_version, a.role, a.outcome, a.reason, a.at
from coilflow.swap_answers as a
where %(version)s::text is null or a.ensemble_version = %(version)s
order by a.answer_id;
