-- name: create_coil
-- The table of coils of a file source, indexed in a temporary SQLite database while the tiles stream by.
create table coil (
    key blob primary key,
    line integer not null,
    cells blob not null, -- as in the file, joined by the unit separator
    conflicting integer not null default 0,
    seen integer not null default 0
) without rowid;

-- name: add_coil
insert into coil (key, line, cells)
values (?, ?, ?)
on conflict (key) do update set conflicting = conflicting or cells <> excluded.cells;

-- name: take_coil
update coil set seen = 1 where key = ? returning line, cells, conflicting;

-- name: unseen_coils
select key, line, cells, conflicting from coil where not seen order by line;

-- name: create_seen
-- The coils that a source of matrices gave so far.
create table seen (
    key blob primary key,
    revision text not null
) without rowid;

-- name: seen_revision
select revision from seen where key = ?;

-- name: add_seen
insert into seen (key, revision) values (?, ?);
