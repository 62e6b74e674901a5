-- depends: 0001_coils
-- Verdicts, what each member said, and what is still to be announced.

create table coilflow.verdicts (
    verdict_id       bigint generated always as identity primary key,
    plant            text not null,
    coil_id          text not null,
    revision         text not null,
    role             text not null default 'champion' check (role in ('champion', 'shadow')),
    label            text not null check (label in ('OK', 'NOK', 'UNDECIDED')),
    p_nok            double precision check (p_nok between 0 and 1),
    threshold        double precision not null check (threshold between 0 and 1),
    ensemble_version text not null,
    observed         double precision not null check (observed between 0 and 1),
    reasons          text[] not null default '{}',
    supersedes       text check (supersedes <> revision),
    decided_at       timestamptz not null,
    unique (plant, coil_id, revision, role),
    foreign key (plant, coil_id, revision) references coilflow.readings (plant, coil_id, revision),
    check (p_nok is not null or label = 'UNDECIDED')
);

comment on table coilflow.verdicts is 'One verdict a revision and role; the first one stored stands.';
comment on column coilflow.verdicts.role is 'champion: counts and is announced; shadow: a candidate judged beside it.';
comment on column coilflow.verdicts.p_nok is 'Probability of NOK, 0 to 1; null where nothing could be scored.';
comment on column coilflow.verdicts.threshold is 'NOK at or above it; of the tolerance profile or the ensemble.';
comment on column coilflow.verdicts.observed is 'Share of the expected cells that were measured, 0 to 1.';
comment on column coilflow.verdicts.reasons is 'Doubts as `code: detail`.';
comment on column coilflow.verdicts.supersedes is 'Revision of the same coil that this verdict replaces, the standing one unless named; null for the first.';
comment on column coilflow.verdicts.decided_at is 'Clock of the service that decided.';

create index verdicts_by_time on coilflow.verdicts (decided_at desc);
create index verdicts_not_ok on coilflow.verdicts (label, decided_at desc) where label <> 'OK';
create index verdicts_by_ensemble on coilflow.verdicts (ensemble_version, decided_at);

create view coilflow.standing_verdicts as
select v.verdict_id, v.plant, v.coil_id, v.revision
from coilflow.verdicts as v
where v.role = 'champion'
  and not exists (
      select from coilflow.verdicts as newer
      where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
        and newer.supersedes = v.revision
  );

comment on view coilflow.standing_verdicts is 'What counts: verdicts of the champion that no other supersedes, one a coil.';

-- A trigger sees what others committed while the statement waited for the coil, and the rows before it in the statement.
create function coilflow.supersede_standing() returns trigger language plpgsql as $$
begin
    select s.revision into new.supersedes
    from coilflow.standing_verdicts as s
    where s.plant = new.plant and s.coil_id = new.coil_id and s.revision <> new.revision
    order by s.verdict_id desc
    limit 1;
    return new;
end
$$;

create trigger verdict_supersedes_the_standing_one before insert on coilflow.verdicts
    for each row when (new.role = 'champion' and new.supersedes is null)
    execute function coilflow.supersede_standing();

create table coilflow.assessments (
    verdict_id bigint not null references coilflow.verdicts (verdict_id) on delete cascade,
    model      text not null check (model <> ''),
    version    text not null check (version <> ''),
    p_nok      double precision not null check (p_nok between 0 and 1),
    primary key (verdict_id, model, version)
);

comment on table coilflow.assessments is 'What each member, at its exact version, said for a verdict.';
comment on column coilflow.assessments.p_nok is 'Probability of NOK by this member, 0 to 1.';

create index assessments_by_member on coilflow.assessments (model, version, verdict_id);

create table coilflow.outbox (
    outbox_id    bigint generated always as identity primary key,
    event_id     uuid not null,
    destination  text not null check (destination <> ''),
    key          text not null,
    slot         smallint not null check (slot between 0 and 63),
    payload      jsonb not null,
    headers      jsonb not null default '{}' check (jsonb_typeof(headers) = 'object'),
    created_at   timestamptz not null default now(),
    published_at timestamptz,
    unique (event_id, destination)
);

comment on table coilflow.outbox is 'Events still to be announced, one row a destination; published oldest first within a slot.';
comment on column coilflow.outbox.event_id is 'CloudEvents id; the same for the same fact, so a repeated publication is recognised.';
comment on column coilflow.outbox.destination is 'Where to, e.g. kafka:coil.verdicts.';
comment on column coilflow.outbox.key is 'Plant and coil, percent-encoded and joined by a slash: the unit of order.';
comment on column coilflow.outbox.slot is 'CRC-32 of the key modulo 64; one relay at a time owns a slot by advisory lock.';
comment on column coilflow.outbox.payload is 'The CloudEvent, structured mode.';
comment on column coilflow.outbox.headers is 'Transport headers beside the envelope.';
comment on column coilflow.outbox.published_at is 'Set after the destination acknowledged; null: still to do.';

create index outbox_unpublished on coilflow.outbox (slot, outbox_id) where published_at is null;
create index outbox_published on coilflow.outbox (published_at) where published_at is not null;
