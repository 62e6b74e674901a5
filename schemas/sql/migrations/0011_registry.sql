-- depends: 0010_labels
-- What serves where, every change of it with who and why, and what each worker answered.

create table coilflow.ensembles (
    version         text primary key check (version <> ''),
    name            text not null check (name <> ''),
    plant           text not null default '',
    manifest        jsonb not null check (jsonb_typeof(manifest) = 'object'),
    digest          text not null check (digest ~ '^[0-9a-f]{64}$'),
    limits_version  text not null check (limits_version <> ''),
    location        text not null check (location <> ''),
    state           text not null check (state in ('candidate', 'shadow', 'champion', 'retired', 'rejected')),
    parent          text references coilflow.ensembles (version),
    snapshot_digest text,
    registered_at   timestamptz not null,
    changed_at      timestamptz not null
);

comment on table coilflow.ensembles is 'Every ensemble ever registered; what a version is made of never changes.';
comment on column coilflow.ensembles.plant is 'Plant that it was made for; empty: any.';
comment on column coilflow.ensembles.manifest is 'Its ensemble.json, with the SHA-256 of each member''s manifest.';
comment on column coilflow.ensembles.digest is 'Of the manifest, and so of every file of every member.';
comment on column coilflow.ensembles.limits_version is 'Of the saliency; a successor has those of the ensemble that it succeeds.';
comment on column coilflow.ensembles.location is 'URI of pyarrow.fs, or a path below the data folder of each machine.';
comment on column coilflow.ensembles.state is 'champion or shadow where any plant is served so; rejected also what was rolled back.';
comment on column coilflow.ensembles.parent is 'Version of the ensemble that it succeeds.';
comment on column coilflow.ensembles.snapshot_digest is 'Of the labelled coils that its new member was trained on.';
comment on column coilflow.ensembles.changed_at is 'When the state last changed.';

create table coilflow.ensemble_members (
    ensemble_version text not null references coilflow.ensembles (version),
    model            text not null,
    version          text not null,
    votes            boolean not null,
    primary key (ensemble_version, model, version),
    foreign key (model, version) references coilflow.models (name, version)
);

comment on table coilflow.ensemble_members is 'The model versions that an ensemble is made of.';
comment on column coilflow.ensemble_members.votes is 'False for a guard, which can only ask for a review.';

create index ensembles_by_member on coilflow.ensemble_members (model, version);

create table coilflow.serving (
    plant      text primary key,
    champion   text references coilflow.ensembles (version),
    shadow     text references coilflow.ensembles (version) check (shadow <> champion),
    changed_at timestamptz not null,
    check (champion is not null or (plant <> '' and shadow is not null))
);

comment on table coilflow.serving is 'What serves; the row of the empty plant serves every plant without a row of its own.';
comment on column coilflow.serving.champion is 'Gives the verdicts; null: that of every plant.';
comment on column coilflow.serving.shadow is 'Judged beside it; null: none.';

create table coilflow.model_changes (
    change_id        bigint generated always as identity primary key,
    at               timestamptz not null,
    plant            text not null,
    ensemble_version text references coilflow.ensembles (version),
    change           text not null check (change in (
                         'registered', 'shadowed', 'withdrawn', 'promoted', 'retired', 'rejected', 'rolled_back',
                         'frozen', 'unfrozen'
                     )),
    who              text not null check (who <> ''),
    why              text not null,
    before           jsonb not null default '{}' check (jsonb_typeof(before) = 'object')
);

comment on table coilflow.model_changes is 'Every change of what serves, or may; append-only.';
comment on column coilflow.model_changes.plant is 'Empty: every plant.';
comment on column coilflow.model_changes.ensemble_version is 'Whose state it changed; null where automatic change was frozen or let go on.';
comment on column coilflow.model_changes.who is 'Login name of a person, or the job that decided.';
comment on column coilflow.model_changes.before is 'champion and shadow of the plant''s own row, and the state of the ensemble, before it.';

create index model_changes_by_plant on coilflow.model_changes (plant, change_id);
create index model_changes_by_ensemble on coilflow.model_changes (ensemble_version, change_id);
create trigger model_changes_are_append_only before update or delete on coilflow.model_changes
    for each statement execute function coilflow.refuse_change();

create table coilflow.workers (
    worker  text primary key check (worker <> ''),
    host    text not null,
    kind    text not null,
    seen_at timestamptz not null
);

comment on table coilflow.workers is 'Processes that serve ensembles.';
comment on column coilflow.workers.kind is 'kafka, inbox or mqtt.';
comment on column coilflow.workers.seen_at is 'When it last looked at what serves, by its own clock.';

create table coilflow.swap_answers (
    answer_id        bigint generated always as identity primary key,
    worker           text not null check (worker <> ''),
    plant            text not null,
    ensemble_version text not null references coilflow.ensembles (version),
    role             text not null check (role in ('champion', 'shadow')),
    outcome          text not null check (outcome in ('swapped', 'refused')),
    reason           text not null default '',
    at               timestamptz not null,
    check (outcome = 'swapped' or reason <> '')
);

comment on table coilflow.swap_answers is 'What each worker made of each change of what serves; append-only.';
comment on column coilflow.swap_answers.reason is 'Why it goes on with the one before.';

create index swap_answers_by_ensemble on coilflow.swap_answers (ensemble_version, answer_id);
create trigger swap_answers_are_append_only before update or delete on coilflow.swap_answers
    for each statement execute function coilflow.refuse_change();

create table coilflow.automation (
    one    boolean primary key default true check (one),
    frozen boolean not null default false,
    who    text,
    why    text,
    at     timestamptz
);

comment on table coilflow.automation is 'One row, which every change of what serves locks first: whether coilflow may change it by itself.';
insert into coilflow.automation default values;

create function coilflow.notify_models() returns trigger language plpgsql as $$
begin
    perform pg_notify('coilflow_models', '');
    return null;
end
$$;

create trigger serving_is_told after insert or update or delete on coilflow.serving
    for each statement execute function coilflow.notify_models();
create trigger automation_is_told after update on coilflow.automation
    for each statement execute function coilflow.notify_models();
