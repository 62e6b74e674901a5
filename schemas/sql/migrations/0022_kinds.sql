-- depends: 0021_embeddings
-- Models of the kinds of defects, fitted again as people mark kinds of their own; the newest that was taken is asked.

create table coilflow.kind_models (
    kind_model_id bigint generated always as identity primary key,
    base          text not null check (base <> ''),
    version       text not null check (version <> ''),
    manifest      jsonb not null,
    model         bytea not null,
    taken         boolean not null,
    why           text not null check (why <> ''),
    made_at       timestamptz not null
);

comment on table coilflow.kind_models is 'What says the kind of defect that a place looks like, with the words of people in it; never of a verdict.';
comment on column coilflow.kind_models.base is 'Version of the model that coilflow came with, whose simulated places were learnt from too.';
comment on column coilflow.kind_models.manifest is 'schemas.kinds.KindManifest.';
comment on column coilflow.kind_models.model is 'ONNX.';
comment on column coilflow.kind_models.taken is 'Whether it was good enough to be asked from then on; what was not is kept for who wants to know why.';

create index kind_models_newest on coilflow.kind_models (base, kind_model_id desc);
