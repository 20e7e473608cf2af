"""Where a model folder is: an explicit path, the user's folder, the packaged copy, `models/` of a checkout."""

from __future__ import annotations

from pathlib import Path

from rdmf_cli.errors import ModelError

_PACKAGE = Path(__file__).resolve().parents[1]


def find_model_folder(name: str, user_models: Path) -> Path:
    """The folder of model `name`. Raises ModelError if there is none."""
    places = [Path(name), user_models / name, _PACKAGE / "_models" / name, _PACKAGE.parent / "models" / name]
    for place in places[0 if "/" in name else 1 :]:
        if (place / "config.json").is_file():
            return place
    raise ModelError(f"no model called {name}", hint="reinstall rdmf; `rdmf doctor` shows where it looked")
