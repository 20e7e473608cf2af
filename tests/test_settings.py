"""Where settings come from, and that a mistake in them is told in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rdmf_cli.errors import UsageError
from rdmf_cli.settings import KEYS, Settings, load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for key in (*KEYS, "settings"):
        monkeypatch.delenv(f"RDMF_{key.upper()}", raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture
def write(monkeypatch, tmp_path):
    def put(text: str | bytes) -> Path:
        file = tmp_path / "my.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv("RDMF_SETTINGS", str(file))
        return file

    return put


def test_defaults_are_the_platforms_places():
    from platformdirs import user_cache_path, user_data_path

    settings = load_settings()
    assert settings == Settings(
        user_cache_path("rdmf", appauthor=False) / "store", user_data_path("rdmf", appauthor=False) / "models"
    )
    assert (settings.encoder, settings.model, settings.device) == ("auto", "auto", "auto")
    assert (settings.offline, settings.ffmpeg) == (False, None)


def test_file_in_the_platforms_place():
    from platformdirs import user_config_path

    folder = user_config_path("rdmf", appauthor=False)
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text('device = "cpu"\n')
    assert load_settings().device == "cpu"


def test_each_source_beats_the_one_below(write, monkeypatch):
    write('encoder = "file"\ndevice = "file"\nffmpeg = "file"\noffline = true\n')
    monkeypatch.setenv("RDMF_DEVICE", "environment")
    monkeypatch.setenv("RDMF_FFMPEG", "environment")
    settings = load_settings(ffmpeg="flag")
    assert (settings.encoder, settings.device, settings.ffmpeg, settings.offline) == (
        "file",
        "environment",
        "flag",
        True,
    )
    monkeypatch.setenv("RDMF_OFFLINE", "0")
    assert not load_settings().offline
    assert load_settings(offline=True).offline
    monkeypatch.setenv("RDMF_OFFLINE", "1")
    assert not load_settings(offline=False).offline


def test_places_of_folders(write, monkeypatch, tmp_path):
    file = write('store = "near"\nmodels = "~/models"\nffmpeg = "~/bin/ffmpeg"\n')
    settings = load_settings()
    assert settings.store == file.parent / "near"
    assert settings.models == Path.home() / "models"
    assert settings.ffmpeg == str(Path.home() / "bin" / "ffmpeg")
    monkeypatch.setenv("RDMF_STORE", "~/s")
    assert load_settings().store == Path.home() / "s"
    assert load_settings(store="here").store == Path("here")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("on", True), ("0", False), ("FALSE", False)])
def test_switch_in_the_environment(monkeypatch, text, value):
    monkeypatch.setenv("RDMF_OFFLINE", text)
    assert load_settings().offline is value


def test_empty_variable_counts_as_not_set(monkeypatch):
    before = load_settings()
    for key in KEYS:
        monkeypatch.setenv(f"RDMF_{key.upper()}", "")
    assert load_settings() == before


def test_wrong_switch_names_the_variable(monkeypatch):
    monkeypatch.setenv("RDMF_OFFLINE", "perhaps")
    with pytest.raises(UsageError, match=r"RDMF_OFFLINE.*perhaps"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('enocder = "lite"', "enocder"),
        ("[store]\nfolder = 1", "store"),
        ("device = 3", "device"),
        ('device = ""', "device"),
        ('offline = "yes"', "offline"),
        ("offline = 1", "offline"),
        ("store = [1]", "store"),
        ("device = ", "not a TOML file"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_mistakes_in_the_file_are_one_line_with_file_and_key(write, text, words):
    file = write(text)
    with pytest.raises(UsageError) as caught:
        load_settings()
    message = str(caught.value)
    assert str(file) in message
    assert words in message
    assert "\n" not in message


def test_named_file_must_exist(monkeypatch, tmp_path):
    for place in (tmp_path / "none.toml", tmp_path):
        monkeypatch.setenv("RDMF_SETTINGS", str(place))
        with pytest.raises(UsageError, match="settings"):
            load_settings()


def test_byte_order_mark_is_fine(write):
    write(b'\xef\xbb\xbfdevice = "cpu"')
    assert load_settings().device == "cpu"


def test_importing_settings_costs_nothing():
    code = "import sys, rdmf_cli.settings; print('platformdirs' in sys.modules, 'tomllib' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.split() == ["False", "False"]
