-- name: list_coils
-- Decided coils by their standing verdict and the others by when they were seen, newest first. Each half reads an index
-- backwards until its page is full. Parameters that are null fall away when the statement is planned, so it has to be
-- planned for its values each time.
select decided.* from (
    select v.decided_at as at, v.plant, v.coil_id, v.verdict_id
    from coilflow.verdicts as v
    where v.role = 'champion'
      and (%(state)s::text is null or %(state)s = 'decided')
      and (%(plant)s::text is null or v.plant = %(plant)s)
      and (%(label)s::text is null or v.label = %(label)s)
      and (%(since)s::timestamptz is null or v.decided_at >= %(since)s)
      and (%(until)s::timestamptz is null or v.decided_at < %(until)s)
      and (%(asked)s::boolean is null or v.review <> '{}')
      and (%(name_like)s::text is null or v.coil_id like %(name_like)s)
      and (
          %(after_at)s::timestamptz is null
          or (v.decided_at, v.plant, v.coil_id) < (%(after_at)s, %(after_plant)s::text, %(after_coil_id)s::text)
      )
      and not exists (
          select from coilflow.verdicts as newer
          where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
            and newer.supersedes = v.revision
          offset 0 -- coil by coil, by index, until the page is full
      )
    order by v.decided_at desc, v.plant desc, v.coil_id desc
    limit %(most)s
) as decided
union all
select undecided.* from (
    select c.seen_at, c.plant, c.coil_id, null::bigint
    from coilflow.coils as c
    where c.state <> 'decided'
      and %(label)s::text is null and %(asked)s::boolean is null
      and (%(name_like)s::text is null or c.coil_id like %(name_like)s)
      and (%(state)s::text is null or c.state = %(state)s)
      and (%(plant)s::text is null or c.plant = %(plant)s)
      and (%(since)s::timestamptz is null or c.seen_at >= %(since)s)
      and (%(until)s::timestamptz is null or c.seen_at < %(until)s)
      and (
          %(after_at)s::timestamptz is null
          or (c.seen_at, c.plant, c.coil_id) < (%(after_at)s, %(after_plant)s::text, %(after_coil_id)s::text)
      )
    order by c.seen_at desc, c.plant desc, c.coil_id desc
    limit %(most)s
) as undecided
order by at desc, plant desc, coil_id desc
limit %(most)s;

-- name: list_doubted_coils
-- The same of coils whose verdict has a doubt of one code.
select d.decided_at as at, d.plant, d.coil_id, d.verdict_id
from coilflow.verdict_doubts as d
where d.code = %(doubt)s
  and (%(state)s::text is null or %(state)s = 'decided')
  and (%(plant)s::text is null or d.plant = %(plant)s)
  and (%(label)s::text is null or d.label = %(label)s)
  and (%(since)s::timestamptz is null or d.decided_at >= %(since)s)
  and (%(until)s::timestamptz is null or d.decided_at < %(until)s)
  and (%(name_like)s::text is null or d.coil_id like %(name_like)s)
  and (
      %(after_at)s::timestamptz is null
      or (d.decided_at, d.plant, d.coil_id) < (%(after_at)s, %(after_plant)s::text, %(after_coil_id)s::text)
  )
  and exists (
      select from coilflow.verdicts as v
      where v.verdict_id = d.verdict_id and (%(asked)s::boolean is null or v.review <> '{}')
        and not exists (
            select from coilflow.verdicts as newer
            where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
              and newer.supersedes = v.revision
            offset 0
        )
      offset 0
  )
order by d.decided_at desc, d.plant desc, d.coil_id desc
limit %(most)s;

-- name: list_waiting_coils
-- The same of coils whose verdict asks a person to look, and of which nobody has said anything.
select u.decided_at as at, u.plant, u.coil_id, u.verdict_id
from coilflow.unanswered_reviews as u
join coilflow.verdicts as v using (verdict_id)
where (%(state)s::text is null or %(state)s = 'decided')
  and (%(plant)s::text is null or u.plant = %(plant)s)
  and (%(label)s::text is null or v.label = %(label)s)
  and (%(since)s::timestamptz is null or u.decided_at >= %(since)s)
  and (%(until)s::timestamptz is null or u.decided_at < %(until)s)
  and (%(name_like)s::text is null or u.coil_id like %(name_like)s)
  and (
      %(doubt)s::text is null
      or exists (select from coilflow.verdict_doubts as d where d.verdict_id = u.verdict_id and d.code = %(doubt)s)
  )
  and (
      %(after_at)s::timestamptz is null
      or (u.decided_at, u.plant, u.coil_id) < (%(after_at)s, %(after_plant)s::text, %(after_coil_id)s::text)
  )
  and not exists (
      select from coilflow.verdicts as newer
      where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = v.role
        and newer.supersedes = v.revision
      offset 0
  )
  and not exists (select from coilflow.feedback as w where w.plant = u.plant and w.coil_id = u.coil_id)
order by u.decided_at desc, u.plant desc, u.coil_id desc
limit %(most)s;

-- name: count_by_name
-- Up to `most`.
select count(*) as found
from (
    select from coilflow.verdicts as v where v.role = 'champion' and v.coil_id like %(name_like)s limit %(most)s
) as capped;

-- name: list_coils_by_name
-- The same of coils whose id begins so, where they are few enough to be sorted: the index alone says when each was
-- decided, and only those of the page are looked at.
with named as materialized (
    select v.decided_at as at, v.plant, v.coil_id, v.verdict_id
    from coilflow.verdicts as v
    where v.role = 'champion' and v.coil_id like %(name_like)s
      and (%(state)s::text is null or %(state)s = 'decided')
      and (%(plant)s::text is null or v.plant = %(plant)s)
      and (%(label)s::text is null or v.label = %(label)s)
      and (%(since)s::timestamptz is null or v.decided_at >= %(since)s)
      and (%(until)s::timestamptz is null or v.decided_at < %(until)s)
      and (
          %(after_at)s::timestamptz is null
          or (v.decided_at, v.plant, v.coil_id) < (%(after_at)s, %(after_plant)s::text, %(after_coil_id)s::text)
      )
    order by v.decided_at desc, v.plant desc, v.coil_id desc
)
select decided.* from (
    select n.at, n.plant, n.coil_id, n.verdict_id
    from named as n
    cross join lateral (
        select v.revision, v.review from coilflow.verdicts as v where v.verdict_id = n.verdict_id offset 0
    ) as v
    where (%(asked)s::boolean is null or v.review <> '{}')
      and not exists (
          select from coilflow.verdicts as newer
          where newer.plant = n.plant and newer.coil_id = n.coil_id and newer.role = 'champion'
            and newer.supersedes = v.revision
          offset 0
      )
    limit %(most)s
) as decided
union all
select undecided.* from (
    select c.seen_at, c.plant, c.coil_id, null::bigint
    from coilflow.coils as c
    where c.state <> 'decided' and c.coil_id like %(name_like)s
      and %(label)s::text is null and %(asked)s::boolean is null
      and (%(state)s::text is null or c.state = %(state)s)
      and (%(plant)s::text is null or c.plant = %(plant)s)
      and (%(since)s::timestamptz is null or c.seen_at >= %(since)s)
      and (%(until)s::timestamptz is null or c.seen_at < %(until)s)
      and (
          %(after_at)s::timestamptz is null
          or (c.seen_at, c.plant, c.coil_id) < (%(after_at)s, %(after_plant)s::text, %(after_coil_id)s::text)
      )
    order by c.seen_at desc, c.plant desc, c.coil_id desc
    limit %(most)s
) as undecided
order by at desc, plant desc, coil_id desc
limit %(most)s;

-- name: listed_coils
-- What a list shows of its coils, in the order given.
select
    g.at, g.plant, g.coil_id, c.state, c.seen_at, c.zn_min_g_m2, c.zn_max_g_m2, c.length_m, c.material, c.customer,
    v.revision, v.label, v.p_nok, v.threshold, v.observed, v.reasons, v.review, v.decided_at, v.ensemble_version,
    l.label as said, l.disputed, w.data as early_warning
from unnest(%(ats)s::timestamptz[], %(plants)s::text[], %(coil_ids)s::text[], %(verdict_ids)s::bigint[])
    with ordinality as g(at, plant, coil_id, verdict_id, nth)
join coilflow.coils as c using (plant, coil_id)
left join coilflow.verdicts as v on v.verdict_id = g.verdict_id
left join lateral (
    select k.label, k.disputed
    from coilflow.coil_labels as k
    where k.plant = g.plant and k.coil_id = g.coil_id
    offset 0 -- coil by coil, by index
) as l on exists (select from coilflow.feedback as f where f.plant = g.plant and f.coil_id = g.coil_id)
left join coilflow.early_warnings as w on w.plant = g.plant and w.coil_id = g.coil_id and c.state = 'open'
order by g.nth;

-- name: early_warning_of
select data from coilflow.early_warnings where plant = %(plant)s and coil_id = %(coil_id)s;
