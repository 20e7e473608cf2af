"""Photographs that stand for all that is ordinary (rdmf_cli/encoders/lite_reach.py), as the finished encoder sees them.

    python models/rdmf-lite/training/ordinary.py [--folder models/rdmf-lite] [--data ../shared/data]

writes ordinary.safetensors beside the weights: some photos of the train split, whole, in an order of their own. What
is in model.safetensors does not change, nor does the encoder's fingerprint.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from photos import PhotoReader, read_manifest
from PIL import Image
from safetensors.numpy import save_file

from rdmf_cli.encoders.lite import LiteEncoder, load_lite
from rdmf_cli.encoders.lite_reach import FILE, packed

PHOTOS = 3000  # of 22,930; more tell no better
SEED = 1


def ordinary_pictures(encoder: LiteEncoder, data: Path) -> np.ndarray:
    """(PHOTOS, D) unit rows."""
    photos = [photo for photo in read_manifest(data / "photos") if photo.split == "train"]
    random.Random(SEED).shuffle(photos)
    reader, rows = PhotoReader(data / "photos"), []
    for photo in photos[:PHOTOS]:
        image = reader.open(photo)
        height, width = encoder.frame_size_px(*image.size)
        frame = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        rows.append(encoder.encode_images(frame[None])[0])
    return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[4] / "shared/data")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1])
    arguments = parser.parse_args()
    partial = arguments.folder / f"{FILE}.partial"
    # In full precision: every machine runs these vectors, and int8 is not on all of them.
    save_file(packed(ordinary_pictures(load_lite(arguments.folder, precision="fp32"), arguments.data)), partial)
    partial.chmod(0o644)
    partial.replace(arguments.folder / FILE)


if __name__ == "__main__":
    main()
