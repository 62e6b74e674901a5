"""A processor's properties win over coilflow's settings, and a wrong one is named."""

from pathlib import Path

import pytest

from flows.nifi.properties import content_of, lease_s_of, settings_from
from schemas.errors import UsageError


def test_properties_that_are_set_win_over_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "coilflow.toml").write_text('plant = "graz"\nmode = "observe"\nthreads = 3\n')
    monkeypatch.setenv("COILFLOW_BATCH_COILS", "7")
    given = {"Data Directory": str(tmp_path), "Plant": " linz ", "Batch Coils": None, "Mode": "", "Lease": "5"}
    settings = settings_from(given)
    assert (settings.data_dir, settings.plant, settings.mode, settings.threads) == (tmp_path, "linz", "observe", 3)
    assert settings.batch_coils == 7
    assert settings_from({**given, "Batch Coils": "100", "Mode": "announce"}).batch_coils == 100


@pytest.mark.parametrize(("name", "text"), [("Batch Coils", "0"), ("Batch Coils", "many"), ("Mode", "loud")])
def test_a_wrong_property_is_named_with_what_it_was(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"property {name}: .*{text}"):
        settings_from({"Data Directory": str(tmp_path), name: text})


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "86401"])
def test_a_lease_is_a_number_of_seconds_up_to_a_day(text: str) -> None:
    with pytest.raises(UsageError, match="property Lease"):
        lease_s_of({"Lease": text})
    assert (lease_s_of({}), lease_s_of({"Lease": "12.5"})) == (300.0, 12.5)


def test_content_is_events_unless_it_is_assesscoil() -> None:
    assert (content_of({}), content_of({"Content": "assesscoil"})) == ("events", "assesscoil")
    with pytest.raises(UsageError, match="property Content"):
        content_of({"Content": "coils"})
