-- depends: 0014_training
-- What an audit asks long afterwards: which coils a snapshot held, and what people said of a coil at some moment.

create table coilflow.snapshot_coils (
    digest   text not null references coilflow.training_snapshots (digest),
    plant    text not null,
    coil_id  text not null,
    revision text not null,
    label    text not null check (label in ('OK', 'NOK')),
    holdout  boolean not null,
    primary key (digest, plant, coil_id)
);

comment on table coilflow.snapshot_coils is 'The coils of each training snapshot, with the label that they had in it.';
comment on column coilflow.snapshot_coils.holdout is 'Whether it judged the successor, which then did not learn from it.';

create index snapshot_coils_by_coil on coilflow.snapshot_coils (plant, coil_id);

-- As the view coil_labels, with what had come by then.
create function coilflow.label_as_of(of_plant text, of_coil_id text, of_time timestamptz) returns text
language sql stable parallel safe as $$
    with valid as (
        select f.feedback_id, f.label, f.settles, f.given_at, coalesce(nullif(f.operator, ''), f.source) as voice
        from coilflow.feedback as f
        where f.plant = of_plant and f.coil_id = of_coil_id and f.received_at <= of_time
          and not exists (
              select from coilflow.feedback as c
              where c.plant = f.plant and c.corrects = f.event_id and c.feedback_id <> f.feedback_id
                and c.received_at <= of_time
                and (
                    c.source = f.source
                    or (
                        c.coil_id = f.coil_id
                        and not exists (
                            select from coilflow.feedback as own
                            where own.plant = c.plant and own.source = c.source and own.event_id = c.corrects
                              and own.received_at <= of_time
                        )
                    )
                )
                and (
                    f.corrects is null
                    or (c.given_at, c.feedback_id) > (f.given_at, f.feedback_id)
                    or not coilflow.takes_back(f.feedback_id, c.feedback_id, of_time)
                )
          )
          and not exists (
              select from coilflow.orphaned_feedback as o
              join coilflow.dead_letters as d using (dead_letter_id)
              where o.feedback_id = f.feedback_id and o.orphaned_at <= of_time and d.state in ('new', 'discarded')
          )
    ),
    ranked as (
        select
            v.*,
            row_number() over (order by given_at, feedback_id) as nth,
            row_number() over (partition by voice order by given_at desc, feedback_id desc) as nth_last_of_voice,
            first_value(label) over (partition by voice order by given_at desc, feedback_id desc) as voice_says
        from valid as v
    ),
    settled as (
        select r.*, coalesce(max(nth) filter (where settles and label = voice_says) over (), 0) as settled_nth
        from ranked as r
    )
    select case when min(label) = max(label) then min(label) when count(*) > 0 then 'disputed' end
    from settled
    where nth_last_of_voice = 1 and nth >= settled_nth
$$;

comment on function coilflow.label_as_of is
    'OK, NOK or disputed by the words that had come by then; null where nothing valid had. A dead letter of an orphan counts as it is now.';
