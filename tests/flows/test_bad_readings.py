"""Every bad coil is one reject with its original, whatever it came from; the other coils are judged as if alone."""

import pytest

from tests.flows.faults import FAULTS, Fault
from tests.flows.given import Write, three
from tests.flows.judging import judge


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_bad_coil_is_one_reject_with_its_original_and_the_others_are_judged(write: Write, fault: Fault) -> None:
    coils = three()
    fault.damage(coils[1])
    outcome = judge(write(coils))
    assert outcome.judged == ["1", "3"]
    assert list(outcome.rejected) == ["2"]
    reject = outcome.rejected["2"]
    assert fault.said in reject.sentence()
    assert reject.place
    assert reject.remedy
    assert b"110.1" in reject.original  # its readings as they came
    assert b"2" in reject.original


def test_what_is_judged_does_not_depend_on_the_coils_beside_it(write: Write) -> None:
    coils = three()
    coils[1].faces["top"][0][1][0] = -1.0
    outcome = judge(write(coils)).digest()
    assert outcome["1"][4] == outcome["3"][4]
