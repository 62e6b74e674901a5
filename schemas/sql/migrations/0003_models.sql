-- depends: 0002_verdicts
-- The registry of models.

create table coilflow.models (
    name          text not null check (name <> ''),
    version       text not null check (version <> ''),
    kind          text not null,
    scale         text not null check (scale in ('limits', 'self')),
    manifest      jsonb not null check (jsonb_typeof(manifest) = 'object'),
    state         text not null default 'candidate'
                  check (state in ('candidate', 'shadow', 'champion', 'retired', 'rejected')),
    registered_at timestamptz not null,
    changed_at    timestamptz not null,
    primary key (name, version)
);

comment on table coilflow.models is 'Every model version ever registered; a version''s manifest never changes.';
comment on column coilflow.models.kind is 'Network family, e.g. yolov8n-cls.';
comment on column coilflow.models.scale is 'limits: saliency by global limits; self: each coil stretched to its own range.';
comment on column coilflow.models.manifest is 'manifest.json of the bundle, with the SHA-256 of each of its files.';
comment on column coilflow.models.state is 'candidate, shadow, champion, retired or rejected.';
comment on column coilflow.models.changed_at is 'When the state last changed.';

create index models_by_state on coilflow.models (state, name, version);
