-- depends: 0020_idempotency
-- What coils look like, so that similar ones are found: made in the background from the readings, and made anew at will.

create table coilflow.embeddings (
    made_by    text not null check (made_by <> ''),
    verdict_id bigint not null references coilflow.verdicts (verdict_id) on delete cascade,
    plant      text not null,
    scale      text check (scale in ('limits', 'self')),
    embedding  bytea,
    primary key (made_by, verdict_id),
    check (num_nulls(scale, embedding) in (0, 2))
);

comment on table coilflow.embeddings is 'Shape of the coil that a verdict of the champion was given on; of the newest coils.';
comment on column coilflow.embeddings.made_by is 'Version of what made it: embeddings of two versions are not compared.';
comment on column coilflow.embeddings.scale is 'Of the coil''s matrix; null where no matrix can be made of what is stored.';
comment on column coilflow.embeddings.embedding is 'One signed byte a dimension.';

create index embeddings_of_plant on coilflow.embeddings (made_by, plant, scale, verdict_id desc) include (embedding);
