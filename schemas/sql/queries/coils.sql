-- name: counts
-- `duplicated` counts standing verdicts beyond the first of a coil: a coil judged twice, neither superseding the other.
select
    (select count(*) from coilflow.coils) as coils,
    (select count(*) from coilflow.coils where state = 'open') as open,
    (select count(*) from coilflow.coils where state = 'decided') as decided,
    (select count(*) from coilflow.coils where state = 'dead_lettered') as dead_lettered,
    (select count(*) from coilflow.verdicts where role = 'champion') as verdicts,
    (select count(*) from coilflow.verdicts where role = 'champion' and label = 'OK') as ok,
    (select count(*) from coilflow.verdicts where role = 'champion' and label = 'NOK') as nok,
    (select count(*) from coilflow.verdicts where role = 'champion' and label = 'UNDECIDED') as undecided,
    (select count(*) from coilflow.verdicts where supersedes is not null and role = 'champion') as superseding,
    (select count(*) - count(distinct (plant, coil_id)) from coilflow.standing_verdicts) as duplicated,
    (select count(*) from coilflow.dead_letters) as dead_letters,
    (select count(*) from coilflow.feedback) as feedback,
    (select count(*) from coilflow.outbox) as outbox,
    (select count(*) from coilflow.outbox where published_at is null) as unpublished;

-- name: missing_coils
-- How many of the given coils the database has neither decided nor refused.
select count(*) as missing
from unnest(%(plants)s::text[], %(coil_ids)s::text[]) as given (plant, coil_id)
where not exists (
    select from coilflow.coils as known
    where known.plant = given.plant and known.coil_id = given.coil_id and known.state <> 'open'
);
