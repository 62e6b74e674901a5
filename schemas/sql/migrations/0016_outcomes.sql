-- depends: 0015_audit
-- What the policy asks of a champion every few seconds is read by index, however long it has served.

create index verdicts_in_order on coilflow.verdicts (ensemble_version, decided_at, verdict_id)
    include (plant, coil_id, review_probability) where role = 'champion' and p_nok is not null;
create index verdicts_superseding on coilflow.verdicts (plant, coil_id) where supersedes is not null;
