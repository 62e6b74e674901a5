-- depends: 0012_scores
-- When jobs run: who leads, what was due, what became of it, what was decided, and whom to tell. What a leader stores
-- commits only under its epoch: it locks the epoch's row `for key share`, which a heartbeat does not disturb and a
-- take-over (`for update`) waits for.

create table coilflow.leaders (
    epoch        bigint primary key check (epoch > 0),
    holder       text not null check (holder <> ''),
    began_at     timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    ended_at     timestamptz
);

comment on table coilflow.leaders is 'Every scheduler that ever led; at most one leads.';
comment on column coilflow.leaders.epoch is 'Raised by each take-over: what an earlier epoch stores is refused.';
comment on column coilflow.leaders.holder is 'Host and process.';
comment on column coilflow.leaders.heartbeat_at is 'When it was last heard of, by the clock of the server.';

create unique index leaders_one_at_a_time on coilflow.leaders ((true)) where ended_at is null;

create table coilflow.schedules (
    job        text primary key check (job <> ''),
    cron       text not null,
    own_cron   boolean not null default false,
    since      timestamptz not null,
    paused_at  timestamptz,
    paused_by  text,
    paused_why text,
    changed_by text,
    changed_at timestamptz not null,
    check (num_nulls(paused_at, paused_by) in (0, 2))
);

comment on table coilflow.schedules is 'When each job is due, as the settings or a person said.';
comment on column coilflow.schedules.own_cron is 'Whether a person set it by a command; else it is that of the settings.';
comment on column coilflow.schedules.since is 'Fires up to then are nobody''s business: the job was new, paused or had another crontab.';

create table coilflow.fires (
    fire_id         bigint generated always as identity primary key,
    job             text not null,
    fire_at         timestamptz not null,
    state           text not null check (state in ('due', 'begun', 'committed', 'failed', 'missed', 'coalesced')),
    requested_by    text,
    why             text,
    attempts        integer not null default 0,
    failures        integer not null default 0,
    next_attempt_at timestamptz,
    recorded_at     timestamptz not null,
    settled_at      timestamptz,
    unique (job, fire_at)
);

comment on table coilflow.fires is 'One row a job and moment at which it was to run.';
comment on column coilflow.fires.state is
    'due, begun, or how it ended: committed, failed (too often), missed (too late to make up), coalesced (into a later one).';
comment on column coilflow.fires.requested_by is 'Who asked for it out of turn, a person or coilflow itself (feedback, drift, policy); null: the crontab did.';
comment on column coilflow.fires.failures is 'Attempts that the job itself made fail; a lost leader or database does not count.';
comment on column coilflow.fires.next_attempt_at is 'Not before; null: at once.';

create index fires_to_run on coilflow.fires (job, fire_at) where state in ('due', 'begun');
create unique index fires_one_waits on coilflow.fires (job, requested_by)
    where state = 'due' and requested_by in ('feedback', 'drift', 'policy');
create index fires_by_time on coilflow.fires (settled_at);

create table coilflow.attempts (
    attempt_id bigint generated always as identity primary key,
    fire_id    bigint not null references coilflow.fires (fire_id) on delete cascade,
    attempt    integer not null check (attempt > 0),
    epoch      bigint not null references coilflow.leaders (epoch),
    holder     text not null,
    started_at timestamptz not null,
    ended_at   timestamptz,
    outcome    text check (outcome in ('committed', 'failed', 'interrupted', 'timed_out', 'stopped', 'lost')),
    said       text,
    error      text,
    unique (fire_id, attempt),
    check (num_nulls(ended_at, outcome) in (0, 2))
);

comment on table coilflow.attempts is 'Every run of a fire; at most one of them is committed.';
comment on column coilflow.attempts.outcome is
    'committed, failed (the job raised), interrupted (the database broke off), timed_out, stopped (with its scheduler) or lost (its leader was).';
comment on column coilflow.attempts.said is 'What the job says it did.';

create unique index attempts_one_committed on coilflow.attempts (fire_id) where outcome = 'committed';
create index attempts_by_epoch on coilflow.attempts (epoch);

create table coilflow.decisions (
    decision_id bigint generated always as identity primary key,
    at          timestamptz not null,
    job         text not null check (job <> ''),
    subject     text not null,
    act         boolean not null,
    why         text[] not null check (why <> '{}'),
    evidence    jsonb not null default '{}' check (jsonb_typeof(evidence) = 'object')
);

comment on table coilflow.decisions is 'What jobs decided, to act or not, and why; append-only.';
comment on column coilflow.decisions.subject is 'What it was about, e.g. a plant or an ensemble; empty: all.';

create index decisions_by_job on coilflow.decisions (job, decision_id desc);

create trigger decisions_are_append_only before update or delete on coilflow.decisions
    for each statement execute function coilflow.refuse_change();

create table coilflow.alarms (
    alarm_id   bigint generated always as identity primary key,
    kind       text not null check (kind <> ''),
    subject    text not null,
    text       text not null,
    raised_at  timestamptz not null,
    last_at    timestamptz not null,
    times      integer not null default 1,
    told_at    timestamptz,
    cleared_at timestamptz,
    over_told  boolean not null default false
);

comment on table coilflow.alarms is 'What a person should know: a row lasts from when it began until it is over.';
comment on column coilflow.alarms.subject is 'Which job, plant or ensemble.';
comment on column coilflow.alarms.times is 'How often it was found so.';
comment on column coilflow.alarms.over_told is 'Whether it was told that it is over.';

create unique index alarms_open on coilflow.alarms (kind, subject) where cleared_at is null;
create index alarms_told on coilflow.alarms (kind, subject, told_at desc);

create table coilflow.alarm_messages (
    message_id uuid primary key,
    form       text not null check (form in ('raised', 'again', 'over', 'summary')),
    at         timestamptz not null,
    title      text not null,
    text       text not null,
    alarm_ids  bigint[] not null
);

comment on table coilflow.alarm_messages is 'What was told, and of which alarms.';

create index alarm_messages_by_time on coilflow.alarm_messages (at);

create table coilflow.alarm_deliveries (
    message_id      uuid not null references coilflow.alarm_messages (message_id) on delete cascade,
    channel         text not null check (channel <> ''),
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null,
    sent_at         timestamptz,
    given_up_at     timestamptz,
    error           text,
    primary key (message_id, channel)
);

comment on table coilflow.alarm_deliveries is 'One row a message and channel (mail, webhook:NAME).';

create index alarm_deliveries_waiting on coilflow.alarm_deliveries (next_attempt_at)
    where sent_at is null and given_up_at is null;
