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

-- name: insert_user
insert into coilflow.users (name, role, password_hash, created_at)
values (%(name)s, %(role)s, %(password_hash)s, %(now)s)
on conflict (lower(name)) do nothing
returning user_id;

-- name: list_users
select u.user_id, u.name, u.role, u.created_at, u.disabled_at,
    (select max(s.seen_at) from coilflow.sessions as s where s.user_id = u.user_id) as seen_at
from coilflow.users as u order by lower(u.name);

-- name: user_to_sign_in
select user_id, name, password_hash from coilflow.users
where lower(name) = lower(%(name)s) and disabled_at is null and password_hash is not null;

-- name: set_role
update coilflow.users set role = %(role)s where lower(name) = lower(%(name)s) returning user_id;

-- name: set_password
update coilflow.users set password_hash = %(password_hash)s where lower(name) = lower(%(name)s) returning user_id;

-- name: set_disabled
update coilflow.users set disabled_at = case when %(disabled)s then coalesce(disabled_at, %(now)s) end
where lower(name) = lower(%(name)s)
returning user_id;

-- name: end_sessions_of_user
with links as (
    delete from coilflow.sign_in_links where user_id = %(user_id)s
)
delete from coilflow.sessions where user_id = %(user_id)s;

-- name: drop_stale_sessions
delete from coilflow.sessions where seen_at < %(idle_since)s or started_at < %(started_since)s;

-- name: insert_session
-- Not for a password that was changed while it was being looked at.
insert into coilflow.sessions (digest, user_id, started_at, seen_at)
select %(digest)s, u.user_id, %(now)s, %(now)s from coilflow.users as u
where u.user_id = %(user_id)s and u.disabled_at is null
  and u.password_hash is not distinct from coalesce(%(password_hash)s, u.password_hash)
for share
returning user_id;

-- name: use_session
-- Seen is noted to the minute, by whoever comes first: the others do not wait for it.
with found as (
    select s.digest, u.name, u.role from coilflow.sessions as s
    join coilflow.users as u using (user_id)
    where s.digest = %(digest)s and u.disabled_at is null
      and s.seen_at >= %(idle_since)s and s.started_at >= %(started_since)s
),
noted as (
    update coilflow.sessions as s set seen_at = %(now)s
    where s.digest = (
        select n.digest from coilflow.sessions as n
        where n.digest = (select f.digest from found as f) and n.seen_at < %(now)s - interval '1 minute'
        for update skip locked
    )
)
select name, role from found;

-- name: end_session
delete from coilflow.sessions where digest = %(digest)s;

-- name: insert_link
with stale as (
    delete from coilflow.sign_in_links where expires_at < %(now)s
)
insert into coilflow.sign_in_links (digest, user_id, expires_at)
values (%(digest)s, %(user_id)s, %(expires_at)s);

-- name: follow_link
delete from coilflow.sign_in_links as l using coilflow.users as u
where l.digest = %(digest)s and l.expires_at >= %(now)s and u.user_id = l.user_id and u.disabled_at is null
returning u.user_id, u.name;

-- name: local_engineer
-- Who follows the one-time link of this machine: made on first use, and engineer again whatever became of the role.
insert into coilflow.users (name, role, created_at) values (%(name)s, 'engineer', %(now)s)
on conflict (lower(name)) do update set role = 'engineer'
where users.disabled_at is null and users.password_hash is null
returning user_id;
