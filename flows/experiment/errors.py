"""Where the models of an experiment go wrong, by what the judged coils have in common."""

from collections.abc import Mapping, Sequence

from flows.error_groups import groups_of, traits_of
from flows.experiment.compare import finished_places
from flows.experiment.judged import Subject
from flows.experiment.run import Prepared
from flows.experiment.spec import FOLDS
from models.error_rows import ALL, ErrorRow, Wrong, error_rows
from models.kinds import shipped_kinds
from schemas.matrices import keys_of

Errors = Mapping[str, Mapping[str, tuple[ErrorRow, ...]]]  # judging set -> subject


def errors_of(prepared: Prepared, found: Mapping[str, Subject]) -> Errors:
    """Defects missed and false alarms of every finished model and ensemble; of several runs their mean.

    Args:
        prepared: the experiment, whose coils are looked at again.
        found: its models and ensembles.

    Raises:
        BundleError: the kind model is damaged.
    """
    kinds = shipped_kinds()
    material = prepared.material
    errors: dict[str, dict[str, tuple[ErrorRow, ...]]] = {}
    for judging, population in ((FOLDS, material.population), *material.gold):
        judged = {
            name: one
            for name, subject in found.items()
            if (one := subject.on(judging, finished_places(prepared.spec, subject, judging))) is not None
        }
        if not judged:
            continue
        names = [f"{key.plant}/{key.coil_id}" for key in keys_of(population.batch)]
        traits = dict(zip(names, traits_of(population.batch, population.limits, kinds), strict=True))
        errors[judging] = {
            name: error_rows(groups_of([traits[coil] for coil in one.coils], None), one.is_nok, one.called)
            for name, one in judged.items()
        }
    return errors


def error_cells(rows: Sequence[ErrorRow]) -> list[tuple[str, ...]]:
    """Cells of a table: by, value, NOK coils, missed, OK coils, false alarms."""
    return [
        (
            f"**{row.by}**" if row.by == ALL else row.by,
            row.value,
            *(cell for one in (row.missed, row.false_alarms) for cell in (str(one.coils), _shown(one))),
        )
        for row in rows
    ]


def _shown(one: Wrong) -> str:
    if one.rate is None or one.ci95 is None:
        return "–"
    low, high = one.ci95
    return f"{one.wrong:.4g}: {one.rate:.1%} [{low:.1%}, {high:.1%}]"
