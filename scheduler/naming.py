"""The job `kinds`: what people mark and name is learnt, so that explanations name it too."""

import importlib.util

from flows.current_kinds import CurrentKinds
from flows.marked_kinds import agreed, digest_of, marked_places
from models.bundle import read_file
from models.ensemble import ENSEMBLE, SHIPPED, parse_ensemble
from models.kinds import shipped_places
from scheduler.jobs import JobContext
from store.connection import connect
from store.kinds import last_kind_model, marked_kinds, store_kind_model
from store.leadership import fenced

_MOST = 5000  # words, the newest


def name_kinds(context: JobContext) -> str:
    """Fit the kind model again where people marked something since it was fitted last.

    Raises:
        BundleError: the kind model that coilflow came with is damaged, or the last was fitted by another version.
        KindsStoppedError: the run was given up while it looked at what people marked.
        NotLeaderError: the run was given up later; nothing was stored.
        StoreError: the database refused.
    """
    base, places = shipped_places()
    with connect(context.dsn) as connection:
        marked = agreed(marked_kinds(connection, most=_MOST))
        last = last_kind_model(connection, base.base, taken=False)
        if not marked and last is None:
            return "nobody has marked the kind and place of a defect yet"
        if last is not None and last.manifest.words_digest == digest_of(marked):
            return f"nothing was marked since kinds {last.manifest.version} were fitted"
        if importlib.util.find_spec("sklearn") is None:
            return f"{len(marked)} places are marked; to learn from them, install coilflow[retrain]"
        from flows.refit_kinds import refit  # noqa: PLC0415 - needs what coilflow[retrain] brings

        limits = parse_ensemble(read_file(SHIPPED / ENSEMBLE), SHIPPED).limits
        known = marked_places(connection, marked, limits, stop=context.stop)
        found = refit(base, places, known, CurrentKinds().of(connection))
        with fenced(connection, context.attempt_id):
            store_kind_model(
                connection, found.manifest, found.model, taken=found.taken, why=found.why, made_at=context.now
            )
    unseen = len(marked) - (known.learnt.coils + known.judged.coils).total()
    less = f", of which {unseen} cannot be looked at again" if unseen else ""
    return f"kinds {found.manifest.version} of {len(marked)} places that people marked{less}: {found.why}"
