-- name: lock_request
-- Held to the end of the transaction: of two that come at once, one is told that the other is under way.
select pg_try_advisory_xact_lock(%(lock)s) as locked;

-- name: claim_request
-- One whose answer is too old to count, or whose process died with the same body in hand, is done again.
insert into coilflow.idempotent_requests as r (
    identity, caller, route, key, body_sha256, asked_at, lease, leased_until
) values (
    %(identity)s, %(caller)s, %(route)s, %(key)s, %(body_sha256)s, clock_timestamp(), %(lease)s,
    clock_timestamp() + make_interval(secs => %(lease_s)s)
)
on conflict (identity) do update
set body_sha256 = excluded.body_sha256, asked_at = excluded.asked_at, lease = excluded.lease,
    leased_until = excluded.leased_until, status = null, location = null, answer = null
where (r.status is not null and r.asked_at <= clock_timestamp() - make_interval(secs => %(kept_s)s))
   or (
       r.status is null and r.leased_until <= clock_timestamp()
       and (
           r.body_sha256 = excluded.body_sha256
           or r.asked_at <= clock_timestamp() - make_interval(secs => %(kept_s)s)
       )
   )
returning r.lease;

-- name: kept_answer
select status, location, answer, body_sha256 = %(body_sha256)s as same_body
from coilflow.idempotent_requests
where identity = %(identity)s;

-- name: renew_lease
update coilflow.idempotent_requests
set leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
where identity = %(identity)s and lease = %(lease)s and status is null;

-- name: keep_answer
update coilflow.idempotent_requests
set status = %(status)s, location = %(location)s, answer = %(answer)s, leased_until = null
where identity = %(identity)s and lease = %(lease)s and status is null;

-- name: release_request
delete from coilflow.idempotent_requests
where identity = %(identity)s and lease = %(lease)s and status is null;

-- name: prune_requests
delete from coilflow.idempotent_requests
where identity in (
    select identity from coilflow.idempotent_requests
    where asked_at < %(before)s and (leased_until is null or leased_until < %(before)s)
    order by asked_at
    limit %(rows)s
);
