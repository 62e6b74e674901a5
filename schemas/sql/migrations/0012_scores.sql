-- depends: 0010_labels 0011_registry
-- How good each version was on the coils that people judged, and whether coils still look like those it learnt from.

-- Roles of one revision stand beside each other, so what the champion asked for is what was asked for the shadow's too.
create view coilflow.counted_verdicts as
select
    v.verdict_id, v.plant, v.coil_id, v.revision, v.role, v.ensemble_version, v.label as verdict, v.p_nok, v.threshold,
    v.p_nok >= v.threshold as called_nok, v.decided_at,
    l.label, l.label = 'NOK' as is_nok, l.received_at as labelled_at,
    case v.role when 'champion' then v.label else asked.label end as champion_verdict,
    case v.role when 'champion' then v.review else coalesce(asked.review, '{}') end as review,
    case v.role when 'champion' then v.review_probability else asked.review_probability end as review_probability,
    c.zn_min_g_m2, c.zn_max_g_m2, c.material
from coilflow.verdicts as v
join coilflow.coils as c using (plant, coil_id)
left join coilflow.coil_labels as l using (plant, coil_id)
left join coilflow.verdicts as asked
    on v.role <> 'champion' and asked.role = 'champion'
    and asked.plant = v.plant and asked.coil_id = v.coil_id and asked.revision = v.revision
where v.p_nok is not null
  and case
      when l.revision is not null and exists (
          select from coilflow.verdicts as named
          where named.plant = v.plant and named.coil_id = v.coil_id and named.revision = l.revision
      )
      then v.revision = l.revision
      else not exists (
          select from coilflow.verdicts as newer
          where newer.plant = v.plant and newer.coil_id = v.coil_id and newer.role = 'champion'
            and newer.supersedes = v.revision
      )
  end;

comment on view coilflow.counted_verdicts is
    'The verdict by which a coil counts, one a coil and role: on the revision that its label names, else the standing one.';
comment on column coilflow.counted_verdicts.called_nok is 'Whether the ensemble called it NOK; an undecided coil counts by its probability.';
comment on column coilflow.counted_verdicts.label is 'OK or NOK by people; null: nobody said, or disputed.';
comment on column coilflow.counted_verdicts.review is 'Why the champion asked a person to look at it; empty: it did not.';
comment on column coilflow.counted_verdicts.review_probability is 'With which probability such a coil is asked for.';

create view coilflow.evaluated as
select * from coilflow.counted_verdicts where label is not null;

comment on view coilflow.evaluated is 'Verdicts on coils that people labelled and do not dispute, one a coil and role.';

create view coilflow.evaluated_members as
select
    a.model, a.version, e.verdict_id, e.plant, e.coil_id, e.revision, e.role, e.ensemble_version, a.p_nok,
    coalesce((m.manifest ->> 'threshold')::float8, e.threshold) as threshold,
    a.p_nok >= coalesce((m.manifest ->> 'threshold')::float8, e.threshold) as called_nok,
    e.decided_at, e.label, e.is_nok, e.labelled_at, e.champion_verdict, e.review, e.review_probability,
    e.zn_min_g_m2, e.zn_max_g_m2, e.material
from coilflow.evaluated as e
join coilflow.assessments as a using (verdict_id)
left join coilflow.models as m on m.name = a.model and m.version = a.version;

comment on view coilflow.evaluated_members is 'What each member said of coils that people labelled and do not dispute.';
comment on column coilflow.evaluated_members.threshold is 'The member''s own; the verdict''s where the member was never registered.';

create table coilflow.model_scores (
    score_id      bigint generated always as identity primary key,
    kind          text not null check (kind in ('ensemble', 'member')),
    model         text not null check ((model = '') = (kind = 'ensemble')),
    version       text not null check (version <> ''),
    role          text not null check (role in ('champion', 'shadow')),
    slice_kind    text not null check (slice_kind in ('all', 'band', 'material', 'plant')),
    slice         text not null check ((slice = '') = (slice_kind = 'all')),
    newest        boolean not null default true,
    computed_at   timestamptz not null,
    window_from   timestamptz not null check (window_from <= computed_at),
    assessed      integer not null check (assessed >= 0),
    assessed_from timestamptz,
    assessed_to   timestamptz check (assessed_to >= assessed_from),
    tp            integer not null check (tp >= 0),
    fp            integer not null check (fp >= 0),
    fn            integer not null check (fn >= 0),
    tn            integer not null check (tn >= 0),
    evaluated     integer not null generated always as (tp + fp + fn + tn) stored,
    plain         jsonb not null check (jsonb_typeof(plain) = 'object'),
    weighted      jsonb check (jsonb_typeof(weighted) = 'object')
);

comment on table coilflow.model_scores is
    'Scores of every version, role and slice: a row for each change of the figures; the newest row holds until now.';
comment on column coilflow.model_scores.model is 'Name of the member; empty for an ensemble, which is named by its version.';
comment on column coilflow.model_scores.slice is 'Band as 100–120 (g/m²), material or plant; empty where slice_kind is all.';
comment on column coilflow.model_scores.computed_at is 'The moment that the score is of, as handed in: the end of its window.';
comment on column coilflow.model_scores.window_from is 'Verdicts decided after it were counted.';
comment on column coilflow.model_scores.assessed is 'Coils that it judged in the window, as of the last look; 0 in a slice.';
comment on column coilflow.model_scores.assessed_from is 'First verdict of those, null where there is none.';
comment on column coilflow.model_scores.tp is 'NOK coils that it called NOK.';
comment on column coilflow.model_scores.fp is 'OK coils that it called NOK.';
comment on column coilflow.model_scores.fn is 'NOK coils that it called OK.';
comment on column coilflow.model_scores.tn is 'OK coils that it called OK.';
comment on column coilflow.model_scores.evaluated is 'Coils that people labelled and do not dispute.';
comment on column coilflow.model_scores.plain is
    'agreement, recall, false_alarms, precision, calibration_error, undecided: [value, low, high] with 95% limits, or null.';
comment on column coilflow.model_scores.weighted is
    'The same of all coils of the line, estimated from those that were asked for; with coils, stand_for, represented, strata.';

create unique index model_scores_newest on coilflow.model_scores (kind, model, version, role, slice_kind, slice)
    where newest;
create index model_scores_by_subject on coilflow.model_scores (kind, model, version, role, slice_kind, slice, score_id);
create index model_scores_by_time on coilflow.model_scores (computed_at);

create view coilflow.mperformance as
select distinct on (model)
    model as mname, assessed_from as from_ass, assessed_to as to_ass, evaluated as num_oper,
    100 * (plain -> 'agreement' ->> 0)::float8 as ok_percentage, assessed as numc_assessed, computed_at as ts
from coilflow.model_scores
where newest and kind = 'member' and role = 'champion' and slice_kind = 'all'
order by model, assessed_to desc nulls last, score_id desc;

comment on view coilflow.mperformance is
    'The pilot''s table of model scores, for its dashboards: of each member the version that judged last, over all coils.';
comment on column coilflow.mperformance.num_oper is 'Coils that operators labelled.';
comment on column coilflow.mperformance.ok_percentage is 'On how many of them the member and the operators agree, percent.';
comment on column coilflow.mperformance.numc_assessed is 'Coils that the member judged.';

create table coilflow.drift_checks (
    check_id         bigint generated always as identity primary key,
    checked_at       timestamptz not null,
    plant            text not null check (plant <> ''),
    ensemble_version text not null,
    coils            integer not null check (coils >= 0),
    drifted          boolean not null,
    sentence         text not null check (sentence <> ''),
    figures          jsonb not null check (jsonb_typeof(figures) = 'object')
);

comment on table coilflow.drift_checks is 'Whether the latest coils of a plant looked like those that its ensemble learnt from.';
comment on column coilflow.drift_checks.checked_at is 'As handed in.';
comment on column coilflow.drift_checks.coils is 'Latest decided coils that were looked at.';
comment on column coilflow.drift_checks.drifted is 'A reason to look, and to train; never alone a reason to replace a model.';
comment on column coilflow.drift_checks.sentence is 'What was found, for people.';
comment on column coilflow.drift_checks.figures is 'By quantity: psi, at_least (from which on it has drifted), mean and reference_mean.';

create index drift_checks_by_plant on coilflow.drift_checks (plant, check_id desc);
