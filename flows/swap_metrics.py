"""What a worker shows of the ensembles that it serves."""

from prometheus_client import Counter, Gauge

SWAPS = Counter("coilflow_swaps", "Changes of what serves, by what this worker made of them", ("role", "outcome"))
SERVING = Gauge("coilflow_serving", "1 for each ensemble that judges here", ("plant", "role", "ensemble_version"))
SHADOW_FAILURES = Counter("coilflow_shadow_failures", "Batches that a shadow could not judge or store", ("step",))

for _role in ("champion", "shadow"):  # from the start, so that the first refusal is an increase
    for _outcome in ("swapped", "refused"):
        SWAPS.labels(_role, _outcome)
