-- name: score_course
-- Of each part of the time the last score of each version and role over all coils, the first one first; and the one that
-- held when the time began, at that moment. The parts divide the time from the first score on.
with parts as (
    select
        coalesce(min(computed_at), %(after)s) as first_at,
        greatest((%(until)s - coalesce(min(computed_at), %(after)s)) / %(points)s, interval '1 second') as step
    from coilflow.model_scores
    where computed_at > %(after)s and computed_at <= %(until)s and slice_kind = 'all'
      and model || ' ' || version = any(%(subjects)s)
),
within as (
    select distinct on (kind, model, version, role, date_bin(step, computed_at, first_at))
        kind, model, version, role, slice_kind, slice, computed_at, window_from, assessed, assessed_from, assessed_to,
        tp, fp, fn, tn, plain, weighted
    from coilflow.model_scores
    cross join parts
    where computed_at > %(after)s and computed_at <= %(until)s and slice_kind = 'all'
      and model || ' ' || version = any(%(subjects)s)
    order by kind, model, version, role, date_bin(step, computed_at, first_at), computed_at desc, score_id desc
),
before as (
    select distinct on (kind, model, version, role)
        kind, model, version, role, slice_kind, slice, %(after)s::timestamptz as computed_at, window_from, assessed,
        assessed_from, assessed_to, tp, fp, fn, tn, plain, weighted
    from coilflow.model_scores
    where computed_at <= %(after)s and slice_kind = 'all' and model || ' ' || version = any(%(subjects)s)
    order by kind, model, version, role, computed_at desc, score_id desc
)
select
    kind, model, version, role, slice_kind, slice, computed_at, least(window_from, computed_at) as window_from, assessed,
    assessed_from, assessed_to, tp, fp, fn, tn, plain, weighted
from (select * from within union all select * from before) as s
order by kind, model, version, role, computed_at;

-- name: drift_course
-- Of each part of the time the last check of each plant, the first one first. The parts divide the time from the first
-- check on.
with given as materialized (
    select check_id, checked_at, plant, ensemble_version, coils, drifted, sentence, figures
    from coilflow.drift_checks
    where checked_at > %(after)s and checked_at <= %(until)s and (%(plant)s::text is null or plant = %(plant)s)
),
parts as (
    select
        min(checked_at) as first_at,
        greatest((%(until)s - min(checked_at)) / %(points)s, interval '1 second') as step
    from given
)
select checked_at, plant, ensemble_version, coils, drifted, sentence, figures
from (
    select distinct on (plant, date_bin(step, checked_at, first_at)) g.*
    from given as g
    cross join parts
    order by plant, date_bin(step, checked_at, first_at), check_id desc
) as c
order by plant, checked_at;

-- name: feedback_course
-- Words by the time in which they came; `part` counts from one, of the times that begin at the given moments.
select width_bucket(received_at, %(begins)s::timestamptz[]) as part, label, count(*) as words
from coilflow.feedback
where given_at > (%(begins)s::timestamptz[])[1] - interval '90 days' and received_at >= (%(begins)s::timestamptz[])[1]
  and received_at < %(until)s and (%(plant)s::text is null or plant = %(plant)s)
group by 1, 2
order by 1, 2;

-- name: coil_balance
-- Coils by plant and state; a coil is in one of them.
select
    plant, count(*) as seen, count(*) filter (where state = 'decided') as decided,
    count(*) filter (where state = 'open') as open, count(*) filter (where state = 'dead_lettered') as dead_lettered,
    min(seen_at) filter (where state = 'open') as oldest_open_at
from coilflow.coils
group by plant
order by plant;

-- name: dead_letter_steps
select step, state, count(*) as letters, max(created_at) as last_at
from coilflow.dead_letters
group by step, state
order by step, array_position(array['new', 'replayed', 'resolved', 'discarded'], state);

-- name: snapshots
select
    digest, plant, limits_version, coils, nok, holdout_coils, holdout_nok, holdout_share, location, made_at, labels_until
from coilflow.training_snapshots
where digest = any(%(digests)s::text[]);

-- name: known_plants
-- The next plant by index each time, for coils are many and plants are few.
with recursive plants as (
    (select plant from coilflow.coils order by plant limit 1)
    union all
    select (select c.plant from coilflow.coils as c where c.plant > p.plant order by c.plant limit 1)
    from plants as p
    where p.plant is not null
)
select plant from plants where plant is not null order by plant;

-- name: last_word
select max(given_at) as at from coilflow.feedback;
