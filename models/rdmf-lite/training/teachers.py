"""Stage 1: run the teachers over augmented crops of every photo and keep what they saw and said.

Per round one folder with memory-mappable arrays, rows in a shuffled order of the training photos:
crops (N, 224, 224, 3), the first classifier's activations at the stages' borders (uint8 as it computes them), its
pooled feature, both classifiers' class probabilities, the detector's best score per class. A round that is complete
has a `done` file; a killed run continues at the block it was in.
"""

from __future__ import annotations

import json
from pathlib import Path

import command_line
import numpy as np
from photos import SIZE_PX, Photo, PhotoReader, crop_of, read_manifest

# Tensor index in mobilenet_v2_1.0_224_quant.tflite, shape, and (scale, zero point) of each stage border.
HINTS: dict[str, tuple[int, tuple[int, int, int], tuple[float, int]]] = {
    "hint1": (73, (56, 56, 24), (0.43216896057128906, 133)),
    "hint2": (93, (28, 28, 32), (0.331714928150177, 124)),
    "hint3": (120, (14, 14, 64), (0.22027325630187988, 120)),
    "hint4": (140, (14, 14, 96), (0.23340091109275818, 126)),
    "hint5": (168, (7, 7, 1280), (0.023528477177023888, 0)),
}
EARLY = ("hint1", "hint2")  # the early stages converge on the first round; later rounds leave them out (100 KB a crop)
BLOCK = 500


class Classifier:
    """A quantised ImageNet classifier run by LiteRT. `keep`: tensor indices to read besides the probabilities."""

    def __init__(self, path: Path, keep: tuple[int, ...] = (), threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # The default delegate fuses layers away, so inner tensors need the plain kernels (11 ms against 6 ms a crop).
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if keep else OpResolverType.AUTO
        self._net = Interpreter(
            str(path),
            num_threads=threads,
            experimental_preserve_all_tensors=bool(keep),
            experimental_op_resolver_type=kernels,
        )
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        self._output = self._net.get_output_details()[0]["index"]

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """crop (224, 224, 3) uint8 -> (1001,) uint8 probabilities, in 256ths."""
        self._net.set_tensor(self._input, crop[None])
        self._net.invoke()
        return self._net.get_tensor(self._output)[0].copy()

    def tensor(self, index: int) -> np.ndarray:
        return self._net.get_tensor(index)[0]


class Detector:
    """FastestDet: the best score of each COCO class anywhere in the crop."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._net = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._net.get_inputs()[0].name

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """crop (224, 224, 3) uint8 RGB -> (80,) float32 in [0, 1]."""
        from PIL import Image

        large = np.asarray(Image.fromarray(crop).resize((352, 352), Image.Resampling.BILINEAR))
        bgr = large[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None] / 255
        out = self._net.run(None, {self._input: np.ascontiguousarray(bgr)})[0][0]
        scores = np.clip(out[0], 0, 1) ** 0.6 * np.clip(out[5:], 0, 1) ** 0.4
        return scores.reshape(len(scores), -1).max(axis=1).astype(np.float32)


def run_round(photos: list[Photo], data: Path, folder: Path, round_index: int) -> None:
    """Teacher targets of one augmented crop per training photo, in a shuffled order, into `folder`."""
    rows = [p for p in photos if p.split == "train"]
    rows = [rows[i] for i in np.random.default_rng(round_index).permutation(len(rows))]
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    progress = folder / "progress.json"
    start = json.loads(progress.read_text())["rows"] if progress.exists() else 0
    hints = {name: spec for name, spec in HINTS.items() if round_index == 0 or name not in EARLY}
    shapes: dict[str, tuple[tuple[int, ...], type]] = {"crops": ((SIZE_PX, SIZE_PX, 3), np.uint8)}
    shapes |= {name: (spec[1], np.uint8) for name, spec in hints.items()}
    shapes |= {"probs1": ((1001,), np.uint8), "probs2": ((1001,), np.uint8), "objects": ((80,), np.float16)}
    mode = "r+" if start else "w+"
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode=mode, dtype=dtype, shape=(len(rows), *shape))
        for name, (shape, dtype) in shapes.items()
    }
    np.save(folder / "photo_index.npy", np.array([p.index for p in rows]))
    first = Classifier(data / "teacher/mobilenet_v2_1.0_224_quant.tflite", keep=tuple(s[0] for s in hints.values()))
    second = Classifier(data / "teacher/tf2_mobilenet_v2_1.0_224_ptq.tflite")
    detector = Detector(data / "teacher/fastestdet_coco/FastestDet.onnx")
    reader = PhotoReader(data / "photos")
    for i in range(start, len(rows)):
        crop = crop_of(reader, rows[i], round_index)
        arrays["crops"][i] = crop
        arrays["probs1"][i] = first(crop)
        for name, spec in hints.items():
            arrays[name][i] = first.tensor(spec[0])
        arrays["probs2"][i] = second(crop)
        arrays["objects"][i] = detector(crop)
        if (i + 1) % BLOCK == 0:
            progress.write_text(json.dumps({"rows": i + 1}))
    for array in arrays.values():
        array.flush()
    (folder / "done").write_text("")


def main() -> None:
    parser = command_line.options(__doc__)
    parser.add_argument("--rounds", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    photos = read_manifest(arguments.data / "photos")
    for round_index in arguments.rounds:
        run_round(photos, arguments.data, arguments.work / f"round{round_index}", round_index)


if __name__ == "__main__":
    main()
