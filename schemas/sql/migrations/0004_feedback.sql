-- depends: 0003_models
-- What operators said. A coil need not be known yet: feedback may come early or name no coil of ours.

create table coilflow.feedback (
    feedback_id bigint generated always as identity primary key,
    event_id    text not null check (event_id <> ''),
    plant       text not null check (plant <> ''),
    coil_id     text not null check (coil_id <> ''),
    revision    text,
    label       text not null check (label in ('OK', 'NOK')),
    defect_kind text,
    face        text check (face in ('top', 'bottom')),
    from_m      double precision check (from_m >= 0 and from_m < 'infinity'),
    to_m        double precision check (to_m >= from_m and to_m < 'infinity'),
    note        text,
    operator    text,
    supersedes  bigint references coilflow.feedback (feedback_id) check (supersedes < feedback_id),
    given_at    timestamptz not null,
    received_at timestamptz not null default now(),
    unique (plant, event_id)
);

comment on table coilflow.feedback is 'Operators'' labels as they came; append-only, a correction supersedes.';
comment on column coilflow.feedback.event_id is 'Id of the event that brought it: the same event stored twice is one row.';
comment on column coilflow.feedback.revision is 'Revision the operator looked at, where the event names it.';
comment on column coilflow.feedback.from_m is 'Start of the place named, m from the head of the strip.';
comment on column coilflow.feedback.to_m is 'End of the place named, m.';
comment on column coilflow.feedback.supersedes is 'The earlier feedback that this one corrects.';
comment on column coilflow.feedback.given_at is 'When the operator said it.';

create index feedback_by_coil on coilflow.feedback (plant, coil_id, feedback_id);
create index feedback_by_time on coilflow.feedback (given_at desc);

create function coilflow.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'table coilflow.% is append-only: store a row that supersedes the old one', tg_table_name;
end
$$;

create trigger feedback_is_append_only before update or delete on coilflow.feedback
    for each statement execute function coilflow.refuse_change();
