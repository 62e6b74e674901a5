"""How far people agree: Cohen's kappa per pair, agreement of each with the others, and twins with opposite labels."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.share_intervals import wilson_interval
from schemas.coils import CoilKey, Float32Array, FloatArray, Truth

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What one voice says of one coil."""

    key: CoilKey
    voice: str
    label: Truth


@dataclass(frozen=True, kw_only=True, slots=True)
class PairAgreement:
    """Two voices on the coils that both spoke of."""

    voices: tuple[str, str]
    coils: int
    agreed: int
    kappa: float | None  # None where chance alone would make them agree always: both know one label only
    ci95: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceAgreement:
    """One voice beside all others."""

    voice: str
    coils: int  # of which another voice spoke too
    agreement: float  # mean over these coils of the share of the others that say the same
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Twins:
    """A NOK coil and the OK coil that looks most like it, by their index."""

    nok: int
    ok: int
    distance: float  # root mean square difference of their values
    twins: int  # OK coils that are as near as asked for


def pair_agreements(words: Iterable[Said]) -> tuple[PairAgreement, ...]:
    """Cohen's kappa of every two voices that share a coil; pairs with the most shared coils first.

    kappa = (p_o − p_e) / (1 − p_e), with p_o the share of coils on which they agree and p_e what independent voices
    with the same shares of OK and NOK would reach (Cohen 1960, Educational and Psychological Measurement 20(1), 37–46).
    The 95% interval takes p_e as known, as Cohen does, and Wilson's interval (1927) for p_o, so that two voices that
    agreed on four coils of four are not sure to agree always.

    Args:
        words: each voice once a coil.

    Example:
        >>> ok, nok = CoilKey("linz", "1"), CoilKey("linz", "2")
        >>> words = [Said(key=k, voice=v, label=l) for v in "ab" for k, l in ((ok, "OK"), (nok, "NOK"))]
        >>> [(pair.voices, pair.coils, pair.kappa) for pair in pair_agreements(words)]
        [(('a', 'b'), 2, 1.0)]
    """
    cells: dict[tuple[str, str], np.ndarray[tuple[int, int], np.dtype[np.int64]]] = {}
    for said in _by_coil(words):
        for one, other in combinations(sorted(said), 2):
            table = cells.setdefault((one, other), np.zeros((2, 2), dtype=np.int64))
            table[int(said[one] == "NOK"), int(said[other] == "NOK")] += 1
    found = [_pair(voices, table) for voices, table in cells.items()]
    return tuple(sorted(found, key=lambda pair: (-pair.coils, pair.voices)))


def voice_agreements(words: Iterable[Said]) -> tuple[VoiceAgreement, ...]:
    """How often each voice says what the others on the same coils say; those who differ most first.

    Args:
        words: each voice once a coil.
    """
    shares: dict[str, list[float]] = defaultdict(list)
    for said in _by_coil(words):
        for voice, label in said.items():
            others = [other for name, other in said.items() if name != voice]
            if others:
                shares[voice].append(sum(other == label for other in others) / len(others))
    found = [
        VoiceAgreement(
            voice=voice,
            coils=len(same),
            agreement=sum(same) / len(same),
            ci95=wilson_interval(sum(same), len(same)),
        )
        for voice, same in shares.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.agreement, one.voice)))


def twins(
    nok: FloatArray | Float32Array, ok: FloatArray | Float32Array, *, most_distance: float, most: int
) -> tuple[Twins, ...]:
    """NOK coils that are nearly the same as an OK coil: one of the two labels is likely to be wrong.

    Each is named once, with the nearest OK coil: a coil without anything out of its band is like a thousand others.

    Args:
        nok: [N, ...] values of the NOK coils, features or matrices, all on one scale.
        ok: [M, ...] values of the OK coils, of the same shape.
        most_distance: root mean square difference up to which two are twins, in the unit of the values.
        most: no more NOK coils, the nearest first.

    Returns:
        By distance; on a tie by index.

    Raises:
        ValueError: the shapes differ.
    """
    if nok.shape[1:] != ok.shape[1:]:
        raise ValueError(f"coils of shape {nok.shape[1:]} cannot be compared with those of shape {ok.shape[1:]}")
    if not len(nok) or not len(ok):
        return ()
    found = _near(_flat(nok), _flat(ok), most_distance)
    return tuple(sorted(found, key=lambda pair: (pair.distance, pair.nok))[:most])


def _by_coil(words: Iterable[Said]) -> Iterator[dict[str, Truth]]:
    coils: dict[CoilKey, dict[str, Truth]] = defaultdict(dict)
    for word in words:
        coils[word.key][word.voice] = word.label
    return iter(coils.values())


def _pair(voices: tuple[str, str], table: "np.ndarray[tuple[int, int], np.dtype[np.int64]]") -> PairAgreement:
    n, agreed = int(table.sum()), int(np.trace(table))
    chance = float((table.sum(axis=0) * table.sum(axis=1)).sum()) / n**2
    if chance >= 1:
        return PairAgreement(voices=voices, coils=n, agreed=agreed, kappa=None, ci95=None)
    low, high = wilson_interval(agreed, n)
    return PairAgreement(
        voices=voices,
        coils=n,
        agreed=agreed,
        kappa=(agreed / n - chance) / (1 - chance),
        ci95=((low - chance) / (1 - chance), (high - chance) / (1 - chance)),
    )


def _flat(values: FloatArray | Float32Array) -> FloatArray:
    return np.ascontiguousarray(values, dtype=np.float64).reshape(len(values), -1)


def _near(nok: FloatArray, ok: FloatArray, most_distance: float) -> Iterator[Twins]:
    """By |a − b|² = |a|² − 2ab + |b|², then exactly for those that are near."""
    ok_squares = np.einsum("ij,ij->i", ok, ok)
    room = 1e-9 * (float(ok_squares.max()) + 1)  # cancellation
    for start in range(0, len(nok), _ROWS_AT_ONCE):
        some = nok[start : start + _ROWS_AT_ONCE]
        squares = np.einsum("ij,ij->i", some, some)[:, None] - 2 * some @ ok.T + ok_squares
        near = squares <= nok.shape[1] * most_distance**2 + room
        for i in np.flatnonzero(near.any(axis=1)).tolist():
            among = np.flatnonzero(near[i])
            apart = np.sqrt(((ok[among] - some[i]) ** 2).mean(axis=1))
            first, number = int(apart.argmin()), int((apart <= most_distance).sum())
            if number:
                yield Twins(nok=start + i, ok=int(among[first]), distance=float(apart[first]), twins=number)
