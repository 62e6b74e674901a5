-- name: export_snapshot
select pg_export_snapshot() as snapshot;

-- name: import_snapshot
-- The first statement of its transaction; the one that exported it is still open.
set transaction snapshot {snapshot};

-- name: plant_table
-- Whether the plant's table can be seen by its bare name.
select 1 from pg_catalog.pg_class where oid = to_regclass(quote_ident(%(table)s));

-- name: plant_column
select 1 from pg_catalog.pg_attribute
where attrelid = to_regclass(quote_ident(%(table)s)) and attname = %(column)s and not attisdropped;

-- name: plant_coils
copy (select * from {coils} order by {SID}) to stdout with (format csv, header);

-- name: plant_tiles
copy (select * from {tiles} order by {COILID}, {MID}, {TILEID}) to stdout with (format csv, header);

-- name: plant_tiles_by_plant
copy (select * from {tiles} order by {PLANT}, {COILID}, {MID}, {TILEID}) to stdout with (format csv, header);

-- name: plant_coil
-- COPY takes no bound parameters: the driver quotes the id, and the server reads it as the column's type.
copy (select * from {coils} where {SID} = {coil_id}) to stdout with (format csv, header);

-- name: plant_coil_tiles
copy (select * from {tiles} where {COILID} = {coil_id} order by {MID}, {TILEID}) to stdout with (format csv, header);

-- name: plant_coil_tiles_by_plant
copy (
    select * from {tiles} where {COILID} = {coil_id} order by {PLANT}, {MID}, {TILEID}
) to stdout with (format csv, header);

-- name: plant_feedback
-- What operators wrote of a coil, oldest first.
select "Label"::text as label, "Descrip"::text as note, ts from feedback where "COILID" = {coil_id} order by ts;
