-- depends: 0013_schedule
-- What successors were trained on, and what became of every attempt to train one.

create table coilflow.training_snapshots (
    digest         text primary key check (digest ~ '^[0-9a-f]{64}$'),
    plant          text not null,
    limits_version text not null,
    coils          integer not null check (coils >= 0),
    nok            integer not null check (nok between 0 and coils),
    holdout_coils  integer not null check (holdout_coils between 0 and coils),
    holdout_nok    integer not null check (holdout_nok between 0 and holdout_coils),
    holdout_share  double precision not null check (holdout_share > 0 and holdout_share < 1),
    location       text not null,
    made_at        timestamptz not null,
    labels_until   timestamptz not null
);

comment on table coilflow.training_snapshots is 'Labelled coils as they were when a successor was trained; a digest never changes.';
comment on column coilflow.training_snapshots.digest is 'SHA-256 over revisions and labels, sorted, as the manifests of models say it.';
comment on column coilflow.training_snapshots.plant is 'Whose coils; empty: of every plant without a champion of its own.';
comment on column coilflow.training_snapshots.holdout_coils is 'That judge and are never learnt from, by a draw on the coil''s id.';
comment on column coilflow.training_snapshots.location is 'Arrow file, below the data folder of the machine that trained; made again from the database where it is gone.';
comment on column coilflow.training_snapshots.labels_until is 'Words that came until then count.';

create table coilflow.retrainings (
    retraining_id bigint generated always as identity primary key,
    plant         text not null,
    members       text[] not null check (members <> '{}'),
    how           text not null check (how in ('head', 'full')),
    parent        text not null references coilflow.ensembles (version),
    snapshot      text references coilflow.training_snapshots (digest),
    candidate     text references coilflow.ensembles (version),
    state         text not null check (state in (
                      'running', 'failed', 'killed', 'lost',
                      'waiting', 'accepted', 'rejected', 'shadow', 'promoted', 'kept', 'rolled_back'
                  )),
    why           text not null,
    judged        jsonb not null default '{}' check (jsonb_typeof(judged) = 'object'),
    attempt_id    bigint not null,
    epoch         bigint not null,
    started_at    timestamptz not null,
    ended_at      timestamptz check (ended_at >= started_at),
    changed_at    timestamptz not null,
    check ((state = 'running') = (ended_at is null)),
    check (candidate is not null or state in ('running', 'failed', 'killed', 'lost', 'rejected'))
);

comment on table coilflow.retrainings is 'Every attempt at a successor and what became of it.';
comment on column coilflow.retrainings.plant is 'Whose champion is to be succeeded; empty: that of every plant.';
comment on column coilflow.retrainings.members is 'Names of the members that were trained anew.';
comment on column coilflow.retrainings.parent is 'Version of the champion that it is to succeed.';
comment on column coilflow.retrainings.candidate is 'Version of the successor; null: none came of it.';
comment on column coilflow.retrainings.state is
    'running; failed (said why), killed (over its bounds), lost (with its scheduler); waiting (for a person), accepted (for a '
    'place in shadow), rejected; shadow; promoted (watched), kept (past its watch), rolled_back.';
comment on column coilflow.retrainings.judged is 'Champion and successor on the holdout, and their milliseconds a coil.';
comment on column coilflow.retrainings.attempt_id is 'Run of the scheduler that trained; runs are deleted after a time, so it is no reference.';
comment on column coilflow.retrainings.ended_at is 'When training and judging ended.';
comment on column coilflow.retrainings.changed_at is 'When the state last changed.';

create unique index retrainings_one_at_a_time on coilflow.retrainings (plant) where state = 'running';
create index retrainings_by_plant on coilflow.retrainings (plant, retraining_id desc);
create index retrainings_by_candidate on coilflow.retrainings (candidate) where candidate is not null;
