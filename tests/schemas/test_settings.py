"""Settings: what is wrong is named with its remedy, and no secret is ever shown."""

from pathlib import Path
from typing import get_args

import pytest

from schemas.combine import PlainCombine
from schemas.errors import UsageError
from schemas.settings import SETTINGS_FILE, load_settings

SECRET = "geheim-4711"  # noqa: S105 - the one that must not be shown


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("COILFLOW_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("BATCH_COILS", "many", "(got 'many')"),
        ("BATCH_COILS", "0", "(got '0')"),
        ("KAFKA__SASL_MECHANISM", "KERBEROS", "(got 'KERBEROS')"),
        ("MODE", "quiet", "(got 'quiet')"),
    ],
)
def test_a_wrong_number_or_word_is_shown(
    variable: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"COILFLOW_{variable}", value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert shown in str(caught.value)
    assert f"COILFLOW_{variable}" in caught.value.remedy


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KAFKA", f'{{"security_protocol": "SASL_SSL", "sasl_password": "{SECRET}"}}'),
        ("KAFKA", f'{{"sasl_password": "{SECRET}", "partitions": []}}'),
        ("KAFKA", f'{{"sasl_pasword": "{SECRET}"}}'),
        ("KAFKA", f'{{"sasl_password": "{SECRET}"'),
        ("KAFKA", f'"{SECRET}"'),
        ("MQTT", f'{{"password": "{SECRET}", "tls": "perhaps"}}'),
        ("MQTT", f'{{"password": ["{SECRET}"]}}'),
        ("WEBHOOKS", f'{{"mes": {{"url": "mes/{SECRET}", "secret": "{SECRET}"}}}}'),
        ("WEBHOOKS", f'{{"mes": {{"secret": "{SECRET}"}}}}'),
        ("WEBHOOKS", f'["{SECRET}"]'),
        ("DESTINATIONS", f'["webhook:{SECRET}", "https://user:{SECRET}@mes"]'),
    ],
)
def test_a_secret_in_a_wrong_setting_is_not_shown(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"COILFLOW_{variable}", value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert SECRET not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    "line",
    [
        f'database_dsn = ["postgresql://user:{SECRET}@host/db"]',
        f'database_dns = "postgresql://user:{SECRET}@host/db"',
        "plant_dsn = 4711",
        f'[kafka]\nsasl_password = ["{SECRET}"]',
        "[kafka]\nsasl_password = 4711",
        f'[kafka]\nsasl_pasword = "{SECRET}"',
        f'[kafka]\nsasl_password = "{SECRET}',
    ],
)
def test_a_secret_in_a_wrong_line_of_the_file_is_not_shown(line: str, folder: Path) -> None:
    (folder / SETTINGS_FILE).write_text(line)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert "4711" not in f"{caught.value} {caught.value.remedy}"
    assert caught.value.remedy


def test_every_way_to_combine_that_needs_nothing_fitted_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for how in get_args(PlainCombine):
        monkeypatch.setenv("COILFLOW_COMBINE", how)
        assert load_settings().combine == how


@pytest.mark.parametrize("how", ["weighted", "stacking"])
def test_a_way_to_combine_that_needs_fitted_weights_is_no_setting(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COILFLOW_COMBINE", how)
    with pytest.raises(UsageError, match=f"{how} needs weights that were fitted to the members") as caught:
        load_settings()
    assert "COILFLOW_COMBINE" in caught.value.remedy
