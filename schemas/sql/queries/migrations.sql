-- name: lock_migrations
-- Held by the session until it ends, however it ends: a killed migrator leaves no lock behind.
select pg_advisory_lock(hashtextextended('coilflow migrations', 0));

-- name: create_schema
create schema if not exists coilflow;

-- name: has_migrations
select to_regclass('coilflow._yoyo_migration') is not null as present;

-- name: applied_migrations
select migration_id from coilflow._yoyo_migration order by migration_id;
