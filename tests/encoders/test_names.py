"""From names to what they stand for. No backend is imported here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rdmf_cli.encoders import Located, available, locate, open_encoder, presets
from rdmf_cli.encoders.presets import AUTO_ORDER, MARKER, PRESETS, RECOMMENDED, find_folder, folder_name, preset_for
from rdmf_cli.errors import ModelError, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's model folder with nothing but the built-in encoder in it."""
    monkeypatch.setattr(presets, "_lite_folders", lambda folder: (folder / "rdmf-lite",))
    folder = tmp_path / "models"
    (folder / "rdmf-lite").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / "rdmf-lite" / name).write_text("{}")
    return folder


def pulled(models: Path, name: str) -> Path:
    folder = models / folder_name(name)
    folder.mkdir()
    (folder / "weights").write_bytes(b"1234")
    (folder / MARKER).write_text(json.dumps({"files": [{"name": "weights", "size": 4}]}))
    return folder


def test_names_only_use_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import rdmf_cli.encoders, rdmf_cli.commands.models\n"
        "print(sorted({'numpy', 'torch', 'rich', 'transformers', 'open_clip', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_is_consistent() -> None:
    assert set(AUTO_ORDER) == set(PRESETS)
    assert AUTO_ORDER[-1] == "lite"
    assert RECOMMENDED in PRESETS
    for preset in PRESETS.values():
        assert preset.licence
        assert preset.dim > 0
        assert (preset.download_mb > 0) == bool(preset.repo) == bool(preset.file)


def test_auto_falls_back_to_lite_and_says_how_to_get_better(models: Path) -> None:
    said: list[str] = []
    assert locate("auto", models_folder=models, warn=said.append) == Located("lite", models / "rdmf-lite")
    assert len(said) == 1
    assert f"rdmf models pull {RECOMMENDED}" in said[0]
    assert locate("lite", models_folder=models, warn=said.append).backend == "lite"
    assert len(said) == 1  # asked for by name: nothing to say


def test_auto_takes_the_best_that_is_here(models: Path) -> None:
    said: list[str] = []
    folder = pulled(models, "vit-b-32")
    options = {"name": "vit-b-32", "model": "ViT-B-32-quickgelu", "tag": "openai"}
    assert locate("auto", models_folder=models, warn=said.append) == Located("openclip", folder, options)
    pulled(models, "siglip2-b-16")
    assert locate("auto", models_folder=models, warn=said.append).options["name"] == "siglip2-b-16"
    assert available(models) == ["siglip2-b-16", "vit-b-32", "lite"]
    assert said == []


def test_half_a_download_is_never_taken_for_one(models: Path) -> None:
    folder = pulled(models, "vit-b-32")
    (folder / "weights").write_bytes(b"12")
    assert find_folder(PRESETS["vit-b-32"], models) is None
    (folder / "weights").write_bytes(b"1234")
    assert find_folder(PRESETS["vit-b-32"], models) == folder
    for marker in ("", "[]", "{}", '{"files": []}', '{"files": [{"name": "weights"}]}'):
        (folder / MARKER).write_text(marker)
        assert find_folder(PRESETS["vit-b-32"], models) is None


def test_missing_weights_name_the_command(models: Path) -> None:
    with pytest.raises(ModelError, match="vit-b-32-256: its weights are not here") as caught:
        open_encoder("vit-b-32-256", models_folder=models)
    assert caught.value.hint == "rdmf models pull vit-b-32-256"
    with pytest.raises(ModelError) as caught:
        open_encoder("vit-b-32-256", models_folder=models, offline=True)
    assert "without --offline" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "guess"), [("vit-b32", "vit-b-32"), ("LITE", "lite"), ("siglip2", "siglip2-b-16"), ("atuo", "auto")]
)
def test_unknown_names_get_a_guess(name: str, guess: str, models: Path) -> None:
    with pytest.raises(ModelError, match=f"unknown encoder '{name}'") as caught:
        locate(name, models_folder=models)
    assert f"'{guess}'" in caught.value.hint


def test_names_with_a_backend(models: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.touch()
    name = f"openclip:ViT-B-32@{weights}"
    assert locate(name, models_folder=models) == Located("openclip", weights, {"name": name, "model": "ViT-B-32"})
    name = "openclip:ViT-B-32/laion2b_e16"
    assert locate(name, models_folder=models).path is None  # the backend looks into the cache
    assert locate(name, models_folder=models).options == {"name": name, "model": "ViT-B-32", "tag": "laion2b_e16"}
    assert locate("hf:google/x", models_folder=models).options == {"name": "hf:google/x", "hub_id": "google/x"}
    folder = pulled(models, "hf:google/x")
    assert locate("hf:google/x", models_folder=models).path == folder
    for wrong in ("openclip:ViT-B-32", "openclip:ViT-B-32@/no/such/file", "hf:/no/such/folder", "hf:"):
        with pytest.raises(ModelError, match=r"openclip|hf"):
            locate(wrong, models_folder=models)


def test_a_preset_pulled_under_its_short_name_serves_the_long_one(models: Path) -> None:
    folder = pulled(models, "vit-b-32-256")
    assert locate("openclip:ViT-B-32-256/datacomp_s34b_b86k", models_folder=models).path == folder


@pytest.mark.parametrize(
    ("files", "backend"),
    [
        ({"config.json": '{"model_type": "clip"}'}, "huggingface"),
        ({"config.json": '{"dim": 256}'}, "lite"),
        ({"open_clip_config.json": "{}", "config.json": '{"model_type": "clip"}'}, "openclip"),
    ],
)
def test_a_folder_says_itself_what_it_is(files: dict[str, str], backend: str, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    found = locate(str(folder), models_folder=models)
    assert (found.backend, found.path) == (backend, folder)


def test_folders_that_say_nothing(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        locate(str(tmp_path), models_folder=models)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not readable as JSON"):
        locate(f"hf:{tmp_path}", models_folder=models)


def test_an_installation_without_the_built_in_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "_lite_folders", lambda folder: ())
    with pytest.raises(ModelError, match="missing from this installation"):
        locate("auto", models_folder=tmp_path)


def test_a_batch_of_nothing(models: Path) -> None:
    with pytest.raises(UsageError):
        open_encoder("lite", models_folder=models, batch_size=0)


def test_what_can_be_pulled() -> None:
    assert preset_for("lite") is PRESETS["lite"]
    made = preset_for("hf:openai/clip-vit-base-patch32")
    assert made is not None
    assert (made.backend, made.repo) == ("huggingface", "openai/clip-vit-base-patch32")
    assert folder_name(made.name) == "hf--openai--clip-vit-base-patch32"
    assert preset_for("openclip:ViT-B-32/laion2b_e16") is not None
    for name in ("nothing", "hf:/local/folder", "hf:./x", "hf:a/b/c", "hf:..", "openclip:A@/file", "hf:a/"):
        assert preset_for(name) is None, name
