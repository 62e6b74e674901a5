-- name: insert_key
insert into coilflow.api_keys (key_id, name, digest, scopes, created_at, expires_at)
values (%(key_id)s, %(name)s, %(digest)s, %(scopes)s, %(now)s, %(expires_at)s)
on conflict (name) where revoked_at is null do nothing
returning key_id;

-- name: use_key
-- The use is noted to the minute, by whoever comes first: the others do not wait for it.
with found as (
    select key_id, name, scopes, digest from coilflow.api_keys
    where key_id = %(key_id)s and revoked_at is null and (expires_at is null or expires_at > %(now)s)
),
noted as (
    update coilflow.api_keys as k set last_used_at = %(now)s
    where k.key_id = (
        select u.key_id from coilflow.api_keys as u
        where u.key_id = (select f.key_id from found as f where f.digest = %(digest)s)
          and (u.last_used_at is null or u.last_used_at < %(now)s - interval '1 minute')
        for update skip locked
    )
)
select key_id, name, scopes, digest from found;

-- name: list_keys
select key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at
from coilflow.api_keys order by created_at, key_id;

-- name: revoke_key
update coilflow.api_keys set revoked_at = %(now)s where (name = %(name)s or key_id = %(name)s) and revoked_at is null
returning key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at;
