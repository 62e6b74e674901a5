-- name: limit_waits
-- For the whole session: in milliseconds.
select
    set_config('lock_timeout', %(lock_timeout_ms)s::text, false),
    set_config('idle_in_transaction_session_timeout', %(idle_in_transaction_ms)s::text, false);
