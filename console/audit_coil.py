"""The audit report of a coil in Markdown."""

from collections.abc import Iterator
from urllib.parse import quote

from console.markdown import facts, heading, plain, said, table
from schemas.audit import CoilReport, Lineage, Member, Origin, Readings, Word

_DIGEST = {"fits": "yes", "differs": "NO", "unknown": "cannot be told"}


def coil_markdown(report: CoilReport, *, sha256: str, json_name: str | None) -> str:
    """A report for people.

    Args:
        report: of the coil.
        sha256: of its JSON.
        json_name: of the file of the JSON, None where there is none.
    """
    return "\n".join(_parts(report, sha256, json_name))


def origin_facts(origin: Origin, *, sha256: str, json_name: str | None) -> str:
    """When, by what and from where a report was made, and how it is checked."""
    of = f" ({json_name})" if json_name else ", one line with its line feed"
    return facts(
        [
            ("made", origin.generated_at),
            ("by", f"coilflow {origin.coilflow}"),
            ("from database", f"{origin.database}, PostgreSQL {origin.postgresql}"),
            (f"SHA-256 of the JSON{of}", sha256),
        ]
    )


def from_tables(report_sources: dict[str, tuple[str, ...]], *paths: str) -> str:
    """Where the figures of a section come from."""
    tables = dict.fromkeys(name for path in paths for name in report_sources.get(path, ()))
    return f"*From {', '.join(plain(name) for name in tables)}.*\n"


def _parts(report: CoilReport, sha256: str, json_name: str | None) -> Iterator[str]:
    yield heading(1, f"Audit of coil {report.coil_id}, plant {report.plant}")
    yield origin_facts(report.origin, sha256=sha256, json_name=json_name)
    yield from _coil(report)
    yield from _standing(report)
    yield from _picture(report)
    for number, one in enumerate(report.verdicts, start=1):
        yield from _verdict(report, one, number)
    yield from _announcements(report)
    yield from _feedback(report)
    yield from _changed(report)
    yield from _dead_letters(report)


def _coil(report: CoilReport) -> Iterator[str]:
    yield heading(2, "The coil and its order")
    coil = report.coil
    if coil is None:
        yield said("No coil of this key ever came: only words or single messages name it.")
        return
    band = None if coil.zn_min_g_m2 is None else f"{plain(coil.zn_min_g_m2)} to {plain(coil.zn_max_g_m2)}"
    yield from_tables(report.sources, "coil")
    yield facts(
        [
            ("state", coil.state.replace("_", " ")),
            ("first stored", coil.seen_at),
            ("started on the line", coil.started_at),
            ("ordered coating a face, g/m²", band),
            ("length, m", coil.length_m),
            ("width, mm", coil.width_mm),
            ("thickness, mm", coil.thickness_mm),
            ("weight, t", coil.weight_t),
            ("material", coil.material),
            ("customer", coil.customer),
            ("tolerance profile", coil.tolerance_profile),
            ("rows a face promised", coil.rows_per_face),
            ("expert's label in the source", coil.truth),
        ]
    )


def _standing(report: CoilReport) -> Iterator[str]:
    yield heading(2, "What holds now")
    yield from_tables(report.sources, "verdicts", "coil_label")
    stands = [one for one in report.verdicts if one.stands]
    for one in stands:
        yield said(_in_a_sentence(one))
        yield said("Why: " + "; ".join(_why(one)))
    if not stands:
        yield said("No verdict stands.")
    label = report.coil_label
    if label is None:
        yield said("Nobody has said anything of it that counts.")
    elif label.disputed:
        yield said(f"People differ: {label.voices} voices. Until that is settled it counts for no score.")
    else:
        how = (
            "settled" if label.settled else f"{label.voices} {'voice' if label.voices == 1 else 'voices, which agree'}"
        )
        yield said(f"People say {label.label} ({how}), heard of last at {plain(label.received_at)}.")


def _in_a_sentence(one: Lineage) -> str:
    p_nok = "nothing could be scored" if one.p_nok is None else f"p(NOK) {one.p_nok:.4f}, NOK from {one.threshold:.4f}"
    return f"{one.label.value}, {p_nok}, by ensemble {one.ensemble_version} at {plain(one.decided_at)}."


def _why(one: Lineage) -> Iterator[str]:
    if one.ensembles and len(one.members) > 1:
        yield f"members are combined by {one.ensembles[0].combine.replace('_', ' ')}"
    for member in one.members:
        if member.p_nok is not None:
            yield _vote(member)
    yield from (reason.replace("_", " ", 1) for reason in one.reasons)
    if not one.members and not one.reasons:
        yield "no member voted and no doubt was found"


def _vote(member: Member) -> str:
    own = None if member.manifest is None else member.manifest.threshold
    called = (
        ""
        if own is None or member.p_nok is None
        else f", {'NOK' if member.p_nok >= own else 'OK'} by its own {own:.4f}"
    )
    return f"{member.model} {member.version} says {member.p_nok:.4f}{called}"


def _picture(report: CoilReport) -> Iterator[str]:
    yield heading(2, "Picture of both faces")
    if report.picture is None:
        yield said(f"There is none: {report.no_picture}.")
        return
    yield from_tables(report.sources, "verdicts.readings", "coil")
    yield f"![both faces, distance from the band]({quote(report.picture)})\n"


def _verdict(report: CoilReport, one: Lineage, number: int) -> Iterator[str]:
    role = "" if one.role == "champion" else " of a shadow, which counts for nothing"
    yield heading(2, f"Verdict {number}{role}: {one.label.value}")
    yield from_tables(report.sources, "verdicts", "verdicts.readings", "verdicts.members", "verdicts.ensembles")
    yield facts(
        [
            ("verdict_id", one.verdict_id),
            ("decided", one.decided_at),
            ("p(NOK)", one.p_nok),
            ("NOK from", one.threshold),
            ("measured share of the cells", one.observed),
            ("reasons", "; ".join(one.reasons)),
            ("asks a person to look", "; ".join(one.review) or "no"),
            ("probability with which such a coil is asked for", one.review_probability),
            ("stands", one.stands),
            ("supersedes revision", one.supersedes),
            ("superseded by revision", one.superseded_by),
            ("superseded", one.superseded_at),
        ]
    )
    yield heading(3, "Readings")
    yield from _readings(one.readings)
    yield heading(3, "Votes")
    yield from _votes(one)
    yield heading(3, "Where the ensemble comes from")
    yield from _ensembles(one)


def _readings(readings: Readings) -> Iterator[str]:
    place = (
        None
        if readings.kafka_topic is None
        else f"{readings.kafka_topic}, partition {readings.kafka_partition}, up to offset {readings.last_offset}"
    )
    yield facts(
        [
            ("revision", readings.revision),
            ("the stored bytes still are that revision", f"{_DIGEST[readings.digest]}: {readings.found}"),
            ("stored bytes", readings.bytes),
            ("SHA-256 of the stored bytes", readings.sha256),
            ("stored", readings.stored_at),
            ("from", place),
        ]
    )
    if readings.faces:
        columns = ("face", "rows", "least, g/m²", "mean, g/m²", "most, g/m²")
        yield table(columns, ([f.face, f.rows, f.least_g_m2, f.mean_g_m2, f.most_g_m2] for f in readings.faces))


def _votes(one: Lineage) -> Iterator[str]:
    if not one.members:
        yield said("No member voted.")
        return
    columns = ("member", "version", "p(NOK)", "own threshold", "votes", "trained on", "data digest", "trained from")
    rows = []
    for member in one.members:
        manifest = member.manifest
        parents = ", ".join(f"{parent.model} {parent.version}" for parent in member.parents)
        training = None if manifest is None else manifest.training
        rows.append(
            [
                member.model,
                member.version,
                member.p_nok,
                None if manifest is None else manifest.threshold,
                member.votes,
                "not registered"
                if training is None
                else f"{training.coils} coils, {training.nok} NOK: {training.source}",
                None if training is None else training.data_digest,
                parents or (None if manifest is None else manifest.parent),
            ]
        )
    yield table(columns, rows)


def _ensembles(one: Lineage) -> Iterator[str]:
    if not one.ensembles:
        yield said(f"Ensemble {one.ensemble_version} was never registered.")
        return
    columns = ("ensemble", "state", "registered", "digest", "trained on snapshot", "snapshot's coils", "NOK")
    yield table(
        columns,
        (
            [
                e.version,
                e.state,
                e.registered_at,
                e.digest,
                e.snapshot_digest,
                e.snapshot and e.snapshot.coils,
                e.snapshot and e.snapshot.nok,
            ]
            for e in one.ensembles
        ),
    )


def _announcements(report: CoilReport) -> Iterator[str]:
    yield heading(2, "Announcements")
    yield from_tables(report.sources, "announcements")
    if not report.announcements:
        yield said("None is in the outbox; published ones are deleted after a time.")
        return
    columns = ("what", "revision", "label", "to", "queued", "published", "refused", "event id")
    yield table(
        columns,
        (
            [
                a.type or "dead letter",
                a.revision,
                a.label,
                a.destination,
                a.created_at,
                a.published_at,
                a.refusal,
                a.event_id,
            ]
            for a in report.announcements
        ),
    )


def _feedback(report: CoilReport) -> Iterator[str]:
    yield heading(2, "What people said")
    yield from_tables(report.sources, "feedback", "verdicts.second_reviews")
    if not report.feedback:
        yield said("Nothing.")
    else:
        columns = ("said", "came", "who", "label", "defect", "place", "note", "settles", "counts", "id", "corrects")
        yield table(columns, (_word(word) for word in report.feedback))
    drawn = {(one.revision, one.drawn_at): one for verdict in report.verdicts for one in verdict.second_reviews}
    for one in drawn.values():
        yield said(
            f"Drawn for a second person at {plain(one.drawn_at)} with probability {one.probability:g}, "
            f"revision {one.revision}."
        )


def _word(word: Word) -> list[object]:
    place = [
        word.face,
        None if word.from_m is None else f"from {word.from_m:g} m",
        None if word.to_m is None else f"to {word.to_m:g} m",
    ]
    counts = (
        "stands"
        if word.stands
        else "replaced by a later word of the same voice"
        if word.valid
        else "no: corrected or orphaned"
    )
    return [
        word.given_at,
        word.received_at,
        word.voice,
        word.label,
        word.defect_kind,
        " ".join(part for part in place if part),
        word.note,
        word.settles,
        counts,
        word.event_id,
        word.corrects,
    ]


def _changed(report: CoilReport) -> Iterator[str]:
    yield heading(2, "What that changed")
    paths = ("verdicts.scores", "verdicts.decisions", "verdicts.retrainings", "verdicts.changes")
    yield from_tables(report.sources, *paths)
    parts = [part for one in report.verdicts for part in _effects(one)]
    yield from parts
    if not parts:
        yield said("Nothing: no score, no decision and no training counted it.")


def _effects(one: Lineage) -> Iterator[str]:
    of = f"verdict {one.verdict_id}"
    if one.scores:
        yield said(f"Scores that counted {of}:")
        columns: tuple[str, ...] = ("of", "role", "label then", "scores", "first", "last")
        yield table(
            columns,
            ([f"{s.model} {s.version}".strip(), s.role, s.label, s.scores, s.first_at, s.last_at] for s in one.scores),
        )
    if one.decisions:
        acts = sum(decision.act for decision in one.decisions)
        yield said(
            f"Decisions that looked at {of}: {len(one.decisions)}, of them {acts} to act; those, and the last one:"
        )
        shown = [d for d in one.decisions if d.act or d is one.decisions[-1]]
        columns = ("at", "job", "about", "acts", "label then", "why")
        yield table(columns, ([d.at, d.job, d.subject, d.act, d.label, "; ".join(d.why)] for d in shown))
    if one.retrainings:
        yield said(f"Retrainings whose snapshot held revision {one.revision}:")
        columns = ("retraining", "begun", "label then", "the coil", "snapshot", "successor", "state", "why")
        yield table(
            columns,
            (
                [
                    r.retraining_id,
                    r.started_at,
                    r.label,
                    "judged" if r.holdout else "was learnt from",
                    r.snapshot,
                    r.candidate,
                    r.state,
                    r.why,
                ]
                for r in one.retrainings
            ),
        )
    if one.changes:
        yield said("What became of those successors:")
        columns = ("at", "ensemble", "change", "plant", "who", "why")
        yield table(
            columns, ([c.at, c.ensemble_version, c.change, c.plant or "every plant", c.who, c.why] for c in one.changes)
        )


def _dead_letters(report: CoilReport) -> Iterator[str]:
    yield heading(2, "Dead letters")
    yield from_tables(report.sources, "dead_letters")
    if not report.dead_letters:
        yield said("None.")
        return
    columns = ("id", "kept", "state", "refused", "by step", "error", "remedy", "place", "bytes", "fingerprint")
    yield table(
        columns,
        (
            [
                d.dead_letter_id,
                d.created_at,
                d.state,
                "the coil" if d.whole_coil else "one message",
                d.step,
                d.error,
                d.remedy,
                d.place,
                d.bytes,
                d.fingerprint,
            ]
            for d in report.dead_letters
        ),
    )
