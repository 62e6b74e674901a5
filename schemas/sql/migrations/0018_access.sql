-- depends: 0017_nifi
-- Who may do what: keys of machines, people, and the sessions of people.

create table coilflow.api_keys (
    key_id text primary key,
    name text not null,
    digest bytea not null check (length(digest) = 32),
    scopes text[] not null check (
        cardinality(scopes) > 0 and scopes <@ array['read', 'feedback', 'operate', 'models', 'events']
    ),
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
create unique index api_keys_names on coilflow.api_keys (name) where revoked_at is null;

comment on table coilflow.api_keys is 'Keys by which machines speak to the console; a key itself is shown once and kept nowhere.';
comment on column coilflow.api_keys.key_id is 'The part of the key that is no secret.';
comment on column coilflow.api_keys.digest is
    'SHA-256 of the secret part: 256 random bits cannot be guessed, so a slow hash would only slow each request down.';
comment on column coilflow.api_keys.last_used_at is 'To the minute: written at most once a minute.';

create table coilflow.users (
    user_id bigint generated always as identity primary key,
    name text not null,
    role text not null check (role in ('viewer', 'operator', 'engineer')),
    password_hash text,
    created_at timestamptz not null,
    disabled_at timestamptz
);
create unique index users_names on coilflow.users (lower(name));

comment on table coilflow.users is 'People who sign in to the console.';
comment on column coilflow.users.password_hash is 'argon2id, with its parameters; null: signs in by one-time links only.';

create table coilflow.sessions (
    digest bytea primary key check (length(digest) = 32),
    user_id bigint not null references coilflow.users on delete cascade,
    started_at timestamptz not null,
    seen_at timestamptz not null
);
create index sessions_of_users on coilflow.sessions (user_id);

comment on table coilflow.sessions is 'Who is signed in; a session that ends is deleted.';
comment on column coilflow.sessions.digest is 'SHA-256 of the token in the cookie.';
comment on column coilflow.sessions.seen_at is 'Last request, to the minute: written at most once a minute.';

create table coilflow.sign_in_links (
    digest bytea primary key check (length(digest) = 32),
    user_id bigint not null references coilflow.users on delete cascade,
    expires_at timestamptz not null
);

comment on table coilflow.sign_in_links is 'One-time links; one that was followed is deleted.';
comment on column coilflow.sign_in_links.digest is 'SHA-256 of the token in the link.';
