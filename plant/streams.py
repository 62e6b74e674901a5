"""Random streams by purpose: a coil's draws depend on the seed, the coil's number and nothing else."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is drawn for; separate streams keep one change from shifting all other draws."""

    SCHEDULE = 0
    ORDER = 1
    STRIP = 2
    DEFECT = 3
    GAUGE = 4
    RECORD = 5
    EXPERT = 6
    SENSOR = 7


def stream(seed: int, number: int, purpose: Purpose) -> np.random.Generator:
    """The stream of coil `number` (0, 1, ...) for one purpose."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number, purpose))))
