-- name: record_feedback
-- A correction names the event that it corrects: of its own source if that has one of this id, else of any. Most words
-- correct nothing, and are spared the look.
with given as materialized (
    select r.*
    from rows from (
        jsonb_to_recordset(%(rows)s::jsonb) as (
            source text, event_id text, plant text, coil_id text, revision text, label text, defect_kind text,
            face text, from_m float8, to_m float8, note text, operator text, corrects text, settles boolean,
            given_at timestamptz
        )
    ) with ordinality as r(
        source, event_id, plant, coil_id, revision, label, defect_kind, face, from_m, to_m, note, operator, corrects,
        settles, given_at, nth
    )
),
inserted as (
    insert into coilflow.feedback (
        source, event_id, plant, coil_id, revision, label, defect_kind, face, from_m, to_m, note, operator, corrects,
        settles, supersedes, given_at, received_at
    )
    select
        g.source, g.event_id, g.plant, g.coil_id, g.revision, g.label, g.defect_kind, g.face, g.from_m, g.to_m, g.note,
        g.operator, g.corrects, g.settles,
        case when g.corrects is not null then (
            select f.feedback_id from coilflow.feedback as f
            where f.plant = g.plant and f.coil_id = g.coil_id and f.event_id = g.corrects
            order by f.source <> g.source, f.feedback_id desc
            limit 1
        ) end,
        g.given_at, coalesce(%(received_at)s::timestamptz, clock_timestamp())
    from given as g
    order by g.nth
    on conflict (plant, source, event_id) do nothing
    returning plant, source, event_id
)
select min(g.nth) as nth
from given as g join inserted using (plant, source, event_id)
group by plant, source, event_id;

-- name: latest_feedback
select feedback_id, label, note
from coilflow.feedback
where plant = %(plant)s and coil_id = %(coil_id)s
  and (%(source)s::text is null or source = %(source)s)
order by feedback_id desc
limit %(most)s;
