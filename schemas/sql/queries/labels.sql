-- name: label_of
select plant, coil_id, label, disputed, voices, settled, defect_kind, revision, first_received_at, received_at
from coilflow.coil_labels
where plant = %(plant)s and coil_id = %(coil_id)s;

-- name: list_labels
-- Newest first.
select plant, coil_id, label, disputed, voices, settled, defect_kind, revision, first_received_at, received_at
from coilflow.coil_labels
where (%(plant)s::text is null or plant = %(plant)s)
  and (%(since)s::timestamptz is null or received_at >= %(since)s)
  and (%(disputed)s::boolean is null or disputed = %(disputed)s)
order by received_at desc, plant, coil_id
limit %(most)s;

-- name: words_of
-- What stands of coils, in the order in which it was said.
select s.plant, s.coil_id, s.voice, s.label, s.defect_kind, s.note, s.settles, s.event_id, s.given_at
from unnest(%(plants)s::text[], %(coil_ids)s::text[]) as k(plant, coil_id)
cross join lateral (
    select * from coilflow.standing_feedback as f where f.plant = k.plant and f.coil_id = k.coil_id
) as s
order by s.plant, s.coil_id, s.given_at, s.feedback_id;

-- name: shared_words
-- The first word of each voice, for a later one may yield to the others; a settling word was said in knowledge of them.
-- Blind is a word before which one other voice spoke at most, and its own voice not after that one: the first look's
-- words and the first one of the second look.
select plant, coil_id, voice, label
from (
    select f.*, count(*) over (partition by plant, coil_id) as voices
    from (
        select distinct on (plant, coil_id, voice) v.*
        from coilflow.valid_feedback as v
        where %(plant)s::text is null or plant = %(plant)s
        order by plant, coil_id, voice, given_at, feedback_id
    ) as f
    where not settles
      and (%(since)s::timestamptz is null or received_at >= %(since)s)
      and (not %(blind)s or (
          exists (
              select from coilflow.second_reviews as d where d.plant = f.plant and d.coil_id = f.coil_id
          )
          and (
              select count(distinct coalesce(nullif(b.operator, ''), b.source))
              from coilflow.feedback as b
              where b.plant = f.plant and b.coil_id = f.coil_id
                and (b.given_at, b.feedback_id) < (f.given_at, f.feedback_id)
          ) <= 1
      ))
) as said
where voices > 1
order by plant, coil_id, voice;

-- name: review_queue
-- Disputes first, for they hold a label back; then the oldest. Who looks a second time is not told what a model made
-- of the coil either: of each reason its code.
select
    why, plant, coil_id, revision,
    case when why = 'second' then array(
        select case when r like 'second:%%' then r else split_part(r, ':', 1) end
        from unnest(reasons) with ordinality as u(r, nth) order by nth
    ) else reasons end as reasons,
    decided_at
from coilflow.review_queue as q
where (%(plant)s::text is null or plant = %(plant)s)
  and (%(since)s::timestamptz is null or decided_at is null or decided_at >= %(since)s)
  and (%(operator)s::text is null or not exists (
      select from coilflow.valid_feedback as f
      where f.plant = q.plant and f.coil_id = q.coil_id and f.voice = %(operator)s
  ))
  and (%(why)s::text is null or why = %(why)s)
  and (%(after_why)s::text is null or
      (why <> 'disputed', coalesce(decided_at, 'infinity'), plant, coil_id, why)
      > (%(after_why)s <> 'disputed', coalesce(%(after_at)s::timestamptz, 'infinity'), %(after_plant)s, %(after_coil)s, %(after_why)s)
  )
order by why <> 'disputed', decided_at nulls last, plant, coil_id, why
limit %(most)s;

-- name: labelled_by_one
-- Coils that one voice labelled and that nobody has drawn yet, with the revision that the label is about.
select l.plant, l.coil_id, v.revision
from coilflow.coil_labels as l
join coilflow.standing_verdicts as v on v.plant = l.plant and v.coil_id = l.coil_id
where l.voices = 1 and l.received_at >= %(since)s and l.received_at <= %(now)s
  and not exists (
      select from coilflow.second_reviews as d where d.plant = l.plant and d.coil_id = l.coil_id
  )
order by l.plant, l.coil_id;

-- name: store_second_reviews
insert into coilflow.second_reviews (plant, coil_id, revision, probability, drawn_at)
select plant, coil_id, revision, %(probability)s, %(drawn_at)s
from unnest(%(plants)s::text[], %(coil_ids)s::text[], %(revisions)s::text[]) as g(plant, coil_id, revision)
order by plant, coil_id, revision
on conflict do nothing;

-- name: orphans
-- Feedback on coils that nobody knows, the oldest first.
select
    f.feedback_id, f.plant, f.coil_id, f.source, f.event_id, f.revision, f.label, f.defect_kind, f.face, f.from_m, f.to_m,
    f.note, f.operator, f.corrects, f.settles, f.given_at, f.received_at
from coilflow.feedback as f
where f.received_at <= %(before)s
  and not exists (select from coilflow.coils as c where c.plant = f.plant and c.coil_id = f.coil_id)
  and not exists (select from coilflow.orphaned_feedback as o where o.feedback_id = f.feedback_id)
order by f.feedback_id
limit %(most)s;

-- name: note_orphans
insert into coilflow.orphaned_feedback (feedback_id, dead_letter_id, orphaned_at)
select g.feedback_id, d.dead_letter_id, %(now)s
from unnest(%(feedback_ids)s::bigint[], %(fingerprints)s::text[]) as g(feedback_id, fingerprint)
join coilflow.dead_letters as d on d.fingerprint = g.fingerprint
order by g.feedback_id
on conflict do nothing;

-- name: resolve_found_orphans
-- A verdict resolves the letters that it finds: this is for those whose verdict was committed while they were written.
update coilflow.dead_letters as d
set state = 'resolved'
where d.step = 'feedback' and d.state = 'new'
  and exists (
      select from coilflow.verdicts as v
      where v.plant = d.plant and v.coil_id = d.coil_id and v.role = 'champion' and v.observed > 0
  );

-- name: is_known_coil
select exists (select from coilflow.coils where plant = %(plant)s and coil_id = %(coil_id)s) as known;

-- name: other_plants_of
-- The next plant by index each time, for coils are many and plants are few.
with recursive plants as (
    (select plant from coilflow.coils order by plant limit 1)
    union all
    select (select c.plant from coilflow.coils as c where c.plant > p.plant order by c.plant limit 1)
    from plants as p
    where p.plant is not null
)
select p.plant
from plants as p
where p.plant <> %(plant)s
  and exists (select from coilflow.coils as c where c.plant = p.plant and c.coil_id = %(coil_id)s)
order by p.plant;

-- name: is_known_word
select exists (
    select from coilflow.feedback where plant = %(plant)s and event_id = %(event_id)s
) as known;
