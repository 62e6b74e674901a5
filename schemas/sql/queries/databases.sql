-- name: create_database
create database {name};

-- name: drop_database
-- Ends the connections that others left open.
drop database if exists {name} with (force);

-- name: refresh_statistics
analyze;
