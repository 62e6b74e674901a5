-- depends: 0009_reviews_and_shadows
-- What all that was said of a coil comes to: its label, or that it is disputed; who is to look at it; what nobody claims.

alter table coilflow.feedback add column settles boolean not null default false;
comment on column coilflow.feedback.settles is 'Whether it ends a dispute: words of other voices before it no longer count against it.';

create index feedback_corrections on coilflow.feedback (plant, corrects) where corrects is not null;

create table coilflow.orphaned_feedback (
    feedback_id    bigint primary key references coilflow.feedback (feedback_id),
    dead_letter_id bigint not null references coilflow.dead_letters (dead_letter_id),
    orphaned_at    timestamptz not null
);

comment on table coilflow.orphaned_feedback is
    'Feedback whose coil never came. It counts again once its dead letter is replayed, or resolved by the coil''s verdict.';

create index orphaned_feedback_by_letter on coilflow.orphaned_feedback (dead_letter_id);
create index dead_letters_of_feedback on coilflow.dead_letters (state) where step = 'feedback';

create function coilflow.takes_back(word bigint, other bigint, of_time timestamptz) returns boolean
language sql stable parallel safe as $$
    with recursive named as (
        select w.feedback_id, w.plant, w.coil_id, w.source, w.corrects
        from coilflow.feedback as w
        where w.feedback_id = word
        union
        select o.feedback_id, o.plant, o.coil_id, o.source, o.corrects
        from named as n
        join coilflow.feedback as o
            on o.plant = n.plant and o.event_id = n.corrects and o.feedback_id <> n.feedback_id
            and o.received_at <= of_time
            and (
                o.source = n.source
                or (
                    o.coil_id = n.coil_id
                    and not exists (
                        select from coilflow.feedback as own
                        where own.plant = n.plant and own.source = n.source and own.event_id = n.corrects
                          and own.received_at <= of_time
                    )
                )
            )
    )
    select exists (select from named where feedback_id = other)
$$;

comment on function coilflow.takes_back is
    'Whether a word corrects another, or one that corrects it, and so on, by what had come by then.';

-- A correction is told by the name that it gives, not by what was here when it came: so both may come in any order. Only
-- among words that name each other in a circle the time counts at which they were given, for else none would stand.
create view coilflow.valid_feedback as
select
    f.feedback_id, f.plant, f.coil_id, f.revision, f.label, f.defect_kind, f.face, f.from_m, f.to_m, f.note, f.operator,
    coalesce(nullif(f.operator, ''), f.source) as voice,
    f.source, f.event_id, f.settles, f.given_at, f.received_at
from coilflow.feedback as f
where not exists (
    select from coilflow.feedback as c
    where c.plant = f.plant and c.corrects = f.event_id and c.feedback_id <> f.feedback_id
      and (
          c.source = f.source
          or (
              c.coil_id = f.coil_id
              and not exists (
                  select from coilflow.feedback as own
                  where own.plant = c.plant and own.source = c.source and own.event_id = c.corrects
              )
          )
      )
      and (
          f.corrects is null
          or (c.given_at, c.feedback_id) > (f.given_at, f.feedback_id)
          or not coilflow.takes_back(f.feedback_id, c.feedback_id, 'infinity')
      )
)
and not exists (
    select from coilflow.orphaned_feedback as o
    join coilflow.dead_letters as d using (dead_letter_id)
    where o.feedback_id = f.feedback_id and d.state in ('new', 'discarded')
);

comment on view coilflow.valid_feedback is
    'Words that count: not corrected, by its own source or (where that has no such id) by any of the coil; not orphaned.';
comment on column coilflow.valid_feedback.voice is 'Who says it: the operator, else the source of the event.';

create view coilflow.standing_feedback as
select distinct on (plant, coil_id, voice) v.*
from coilflow.valid_feedback as v
order by plant, coil_id, voice, given_at desc, feedback_id desc;

comment on view coilflow.standing_feedback is 'The newest word of each voice of a coil, by the time at which it was said.';

-- All windows are of one coil, so that a question for one coil reads its words alone, by index.
create view coilflow.coil_labels as
with ranked as (
    select
        v.*,
        row_number() over (partition by plant, coil_id order by given_at, feedback_id) as nth,
        row_number() over (
            partition by plant, coil_id, voice order by given_at desc, feedback_id desc
        ) as nth_last_of_voice,
        first_value(label) over (
            partition by plant, coil_id, voice order by given_at desc, feedback_id desc
        ) as voice_says,
        min(received_at) over (partition by plant, coil_id) as first_received_at
    from coilflow.valid_feedback as v
),
settled as ( -- a settling word holds as long as its voice says no other
    select
        r.*,
        coalesce(max(nth) filter (where settles and label = voice_says) over (partition by plant, coil_id), 0) as settled_nth
    from ranked as r
),
summed as (
    select
        plant, coil_id,
        min(label) filter (where nth >= settled_nth) as least_label,
        max(label) filter (where nth >= settled_nth) as most_label,
        count(*) as voices,
        max(settled_nth) > 0 as settled,
        (array_agg(defect_kind order by nth desc) filter (where nth >= settled_nth and defect_kind is not null))[1]
            as defect_kind,
        (array_agg(revision order by nth desc) filter (where nth >= settled_nth and revision is not null))[1] as revision,
        min(first_received_at) as first_received_at,
        max(received_at) as received_at,
        (array_agg(feedback_id order by nth desc))[1] as feedback_id
    from settled
    where nth_last_of_voice = 1
    group by plant, coil_id
)
select
    plant, coil_id,
    case when least_label = most_label then least_label end as label,
    least_label <> most_label as disputed,
    voices::integer as voices,
    settled,
    case when least_label = 'NOK' and most_label = 'NOK' then defect_kind end as defect_kind,
    revision, first_received_at, received_at, feedback_id
from summed;

comment on view coilflow.coil_labels is 'What all that was said of a coil comes to; one row a coil of which anything valid was said.';
comment on column coilflow.coil_labels.label is 'OK or NOK, on which all voices agree or which was settled; null while disputed.';
comment on column coilflow.coil_labels.disputed is 'Two voices differ, and no settling word came after both.';
comment on column coilflow.coil_labels.settled is 'Whether a settling word holds; with `disputed`, another voice has differed since.';
comment on column coilflow.coil_labels.revision is 'Revision that the newest of the words named; null: none did, the standing verdict is meant.';
comment on column coilflow.coil_labels.first_received_at is 'When the first word came that still counts.';
comment on column coilflow.coil_labels.received_at is 'When the last of the standing words came.';
comment on column coilflow.coil_labels.feedback_id is 'The newest word.';

create table coilflow.second_reviews (
    plant       text not null,
    coil_id     text not null,
    revision    text not null,
    probability double precision not null check (probability > 0 and probability <= 1),
    drawn_at    timestamptz not null,
    primary key (plant, coil_id, revision)
);

comment on table coilflow.second_reviews is 'Labelled coils that were drawn for a second person, who is not to know what the first one said.';
comment on column coilflow.second_reviews.probability is 'With which probability a coil with feedback was drawn.';

create view coilflow.review_queue as
select 'review' as why, v.plant, v.coil_id, v.revision, v.review as reasons, v.decided_at
from coilflow.verdicts as v
where v.role = 'champion' and v.review <> '{}'
  and not exists (
      select from coilflow.verdicts as newer
      where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
        and newer.supersedes = v.revision
  )
  and not exists (
      select from coilflow.valid_feedback as f where f.plant = v.plant and f.coil_id = v.coil_id
  )
union all
select
    'disputed', l.plant, l.coil_id, v.revision,
    array['disputed: ' || l.voices || ' voices'] || coalesce(v.review, '{}'), v.decided_at
from coilflow.coil_labels as l
left join (coilflow.standing_verdicts as s join coilflow.verdicts as v using (verdict_id))
    on s.plant = l.plant and s.coil_id = l.coil_id
where l.disputed
union all
select
    'second', d.plant, d.coil_id, d.revision,
    array['second: drawn at random for a second look'] || coalesce(v.review, '{}'), v.decided_at
from coilflow.second_reviews as d
left join coilflow.verdicts as v
    on v.plant = d.plant and v.coil_id = d.coil_id and v.revision = d.revision and v.role = 'champion'
where (
    select count(distinct f.voice) from coilflow.valid_feedback as f where f.plant = d.plant and f.coil_id = d.coil_id
) = 1;

comment on view coilflow.review_queue is
    'Coils that a person is asked to look at, and why; for none does it show what anybody has said of it.';
comment on column coilflow.review_queue.why is 'review: its verdict asks; disputed: voices differ; second: drawn for a second look.';
