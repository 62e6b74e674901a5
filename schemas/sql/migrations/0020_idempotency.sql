-- depends: 0017_nifi
-- A write that a client repeats under a key of its own is done once, and answered alike for a day.

create table coilflow.idempotent_requests (
    identity     bytea primary key check (octet_length(identity) = 32),
    caller       text not null,
    route        text not null,
    key          text not null,
    body_sha256  bytea not null check (octet_length(body_sha256) = 32),
    asked_at     timestamptz not null,
    lease        uuid not null,
    leased_until timestamptz,
    status       smallint check (status between 200 and 599),
    location     text,
    answer       bytea,
    check ((status is null) = (answer is null)),
    check (status is not null or leased_until is not null)
);

comment on table coilflow.idempotent_requests is
    'Writes that clients asked for under a key of their own (draft-ietf-httpapi-idempotency-key-header), and what was answered.';
comment on column coilflow.idempotent_requests.identity is 'SHA-256 over caller, route and key, each with its length before it.';
comment on column coilflow.idempotent_requests.route is 'Method and path, as they were sent.';
comment on column coilflow.idempotent_requests.lease is 'Who does it: only the holder of this one may keep an answer.';
comment on column coilflow.idempotent_requests.leased_until is
    'While there is no answer: nobody else does it before then, unless the holder renews it.';
comment on column coilflow.idempotent_requests.answer is 'Body of the answer; null: it is under way, or its process died.';

create index idempotent_requests_asked_at on coilflow.idempotent_requests (asked_at);

-- Who sent a dead letter through again or discarded it, which the console asks for.
alter table coilflow.dead_letters
    add column handled_by text,
    add column handled_why text,
    add column handled_at timestamptz;

comment on column coilflow.dead_letters.handled_by is 'Who replayed or discarded it last; null: nobody, or on the command line.';
