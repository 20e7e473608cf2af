"""Ablation of the second model on data whose answer is known, and what its streams cost. Writes benchmarks/affect.md.

python -m benchmarks.affect            all of it, about twenty minutes on one core
python -m benchmarks.affect --quick    two seeds, fewer windows: to see that it runs
python -m benchmarks.affect --large    also time networks of the size of BLIP-base and VideoMAE-base (random weights)
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import affect_data
from rdmf_cli.encoders import open_encoder
from rdmf_cli.fusion.cross_gru import STREAMS, CrossGruConfig
from rdmf_cli.heads.affect import AffectHeadConfig
from rdmf_cli.learn.affect.augment import AugmentConfig
from rdmf_cli.learn.affect.comparison import Scores, Seeds, paired_p, train_seeds
from rdmf_cli.learn.affect.data import WindowSet
from rdmf_cli.learn.affect.recipe import AffectRecipe, DataConfig, TrainingConfig
from rdmf_cli.media.ffmpeg import ffmpeg_path
from rdmf_cli.model import AffectConfig
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.streams import open_tools, video_streams
from rdmf_cli.windows import StreamConfig

HERE = Path(__file__).parent
VIDEO_S = 20.0
UNFINISHED = "> The run was stopped before its end: rows are missing. The same command goes on with them.\n\n"
NO_AUGMENTATION = AugmentConfig(noise=0.0, drop_rows=0.0, drop_streams=0.0)
FUSION = CrossGruConfig(hidden=32, heads=2, dropout=0.0)
Sets = tuple[WindowSet, WindowSet, WindowSet]


@dataclass(frozen=True)
class Row:
    """One variant of the ablation."""

    group: str
    name: str
    values: tuple[float, ...]  # F1 of each seed
    parameters: int
    ms_per_s: float  # of the network, per second of video

    @property
    def scores(self) -> Scores:
        return Scores(self.name, tuple(self.values))


class Table:
    """Rows that are done, kept on disk: a run that was stopped goes on."""

    def __init__(self, file: Path, facts: list[object]) -> None:
        self.file, self.facts = file, facts
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        same = kept.get("facts") == facts
        self.rows = [Row(**row) for row in kept["rows"]] if same else []
        self.costs: list[tuple[str, float]] = [(name, ms) for name, ms in kept["costs"]] if same else []

    def row(self, group: str, name: str, make: Callable[[], Row]) -> None:
        if not any((row.group, row.name) == (group, name) for row in self.rows):
            self.rows.append(make())
            self.save()
        scores = next(row.scores for row in self.rows if (row.group, row.name) == (group, name))
        print(f"{group}: {name}: {scores.mean:.3f} ± {scores.spread:.3f}", flush=True)

    def cost(self, name: str, seconds: Callable[[], float]) -> None:
        if not any(known == name for known, _ in self.costs):
            self.costs.append((name, 1000 * seconds()))
            self.save()
        print(f"{name}: {dict(self.costs)[name]:.1f} ms per second of video", flush=True)

    def save(self) -> None:
        document = {"facts": self.facts, "rows": [asdict(row) for row in self.rows], "costs": self.costs}
        self.file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def recipe_of(
    seeds: int, epochs: int, fusion: CrossGruConfig, augment: AugmentConfig, rebuilding: float
) -> AffectRecipe:
    training = TrainingConfig(
        seeds=tuple(range(seeds)),
        epochs=epochs,
        patience=12,
        batch_size=128,
        learning_rate=6e-3,
        rebuilding_weight=rebuilding,
    )
    head = AffectHeadConfig(hidden=32, dropout=0.0)
    return AffectRecipe(DataConfig(labels="synthetic"), fusion=fusion, head=head, augment=augment, training=training)


def run(
    group: str,
    name: str,
    sets: Sets,
    seeds: int,
    epochs: int,
    fusion: CrossGruConfig = FUSION,
    augment: AugmentConfig = NO_AUGMENTATION,
    rebuilding: float = 0.0,
) -> Row:
    """Train one variant with all seeds; F1 on the test windows, which chose nothing."""
    training, validation, test = sets
    recipe = recipe_of(seeds, epochs, fusion, augment, rebuilding)
    config = AffectConfig(sources=affect_data.SOURCES, fusion=fusion, head=recipe.head)
    trained = train_seeds(training, validation, config, recipe)
    parameters = sum(p.numel() for p in trained.best.network.parameters())
    return Row(group, name, trained.on(test).values, parameters, network_ms(trained, test))


def network_ms(trained: Seeds, test: WindowSet) -> float:
    """Milliseconds of the network for a second of video: 64 windows, which reach over 64 strides of 32 / 30 s."""
    network, places = trained.best.network, np.arange(64)
    found = {name: test.gather(name, places) for name in network.config.fusion.streams}
    streams = {name: torch.from_numpy(rows) for name, (rows, _) in found.items()}
    valid = {name: torch.from_numpy(known) for name, (_, known) in found.items()}
    return 1000 * quickest(lambda: network.rate(streams, valid), 5) / (64 * StreamConfig().stride_s)


def quickest(work: Callable[[], object], times: int) -> float:
    """Seconds of processor time of the quickest of several runs: what others do on the machine does not count."""
    spent = []
    for _ in range(times):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent)


def three(cue: str, sizes: tuple[int, int, int], change: Callable[[WindowSet], WindowSet] = lambda x: x) -> Sets:
    training, validation, test = (change(affect_data.make(cue, size, seed)) for seed, size in enumerate(sizes))
    return training, validation, test


def ablation(table: Table, seeds: int, sizes: tuple[int, int, int], epochs: int) -> None:
    """Every variant that is not in the table yet."""

    def add(group: str, name: str, sets: Sets, most_epochs: int = epochs, **changes: Any) -> None:
        table.row(group, name, lambda: run(group, name, sets, seeds, most_epochs, **changes))

    alone = {f"{name} alone": replace(FUSION, streams=(name,), attention="none") for name in STREAMS}
    concatenated = {"concatenation": replace(FUSION, attention="none")}
    data = three("joint", sizes)
    joint = {
        "two-stage": FUSION,
        **alone,
        **concatenated,
        "single-stage": replace(FUSION, attention="single"),
        "two-stage, without captions": replace(FUSION, streams=("motion", "image")),
        "two-stage, without motion": replace(FUSION, streams=("image", "caption")),
        "two-stage, the others ask the image": replace(FUSION, direction="to_query"),
        "two-stage, both directions": replace(FUSION, direction="both"),
        "two-stage, motion asks": replace(FUSION, query="motion"),
    }
    for name, fusion in joint.items():
        add("joint cue", name, data, fusion=fusion)
    for stream, most, counts in (("caption", 8, (2, 4, 8)), ("motion", 32, (8, 16, 32))):
        long = three("joint", sizes, partial(affect_data.longer, stream=stream, rows=most, seed=0))
        for keep in counts:
            thin = tuple(affect_data.thinned(part, stream, keep) for part in long)
            add(f"joint cue, {stream} rows", f"{keep} of {most}", thin)
    scarce = three("joint", (sizes[0] * 6 // 10, sizes[1], sizes[2]))
    add("joint cue, 6 tenths of the data", "neither", scarce)
    add("joint cue, 6 tenths of the data", "augmentation", scarce, augment=AugmentConfig(0.1, 0.05, 0.05))
    add("joint cue, 6 tenths of the data", "auto-encoding", scarce, rebuilding=0.1)
    for cue in ("motion", "image", "caption"):
        data = three(cue, sizes)
        for name, fusion in {"two-stage": FUSION, **alone, **concatenated}.items():
            add(f"cue in {cue}", name, data, min(10, epochs), fusion=fusion)


# --- what streams cost ------------------------------------------------------------------------------------------------


def make_video(folder: Path) -> Path:
    import subprocess

    path = folder / "cost.mp4"
    source = f"testsrc2=s=640x360:r=30:d={VIDEO_S:g}"
    subprocess.run(
        [ffmpeg_path(), "-v", "error", "-y", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", path], check=True
    )
    return path


def stream_costs(table: Table) -> None:
    """Processor time per second of video, encoding only (decoding is another process and the same for all)."""
    encoder = open_encoder("lite", models_folder=Path("none"), device="cpu")
    chosen: list[tuple[tuple[str, ...], dict[str, int]]] = [
        *((("image",), {"image_frames": count}) for count in (8, 16, 32)),
        *((("motion", "image"), {"motion_frames": count, "image_frames": count}) for count in (8, 16, 32)),
        *((STREAMS, {"caption_frames": count}) for count in (2, 4, 8)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder))
        for names, changed in chosen:
            config = StreamConfig(**changed)
            tools = open_tools(config, encoder, names, store=None, models_folder=Path("none"), device="cpu")
            told = ", ".join(f"{key} {value}" for key, value in changed.items()).replace("_frames", "")
            work = partial(video_streams, video, tools, store=None, options=SearchOptions())
            table.cost(f"{' + '.join(names)} ({told})", lambda work=work: quickest(work, 2) / VIDEO_S)


def large_costs(table: Table) -> None:
    """A caption of a BLIP, a segment of a VideoMAE of usual size; random weights are as slow as trained ones."""
    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    import transformers

    @cache
    def caption_s() -> float:
        blip = transformers.BlipForConditionalGeneration(transformers.BlipConfig()).eval()
        with torch.inference_mode():
            # Random weights never end a sentence: twelve tokens are about what trained ones say.
            words = {"min_new_tokens": 12, "max_new_tokens": 12, "do_sample": False}
            return quickest(lambda: blip.generate(pixel_values=torch.rand(1, 3, 384, 384), **words), 1)

    def segment_s() -> float:
        videomae = transformers.VideoMAEModel(transformers.VideoMAEConfig()).eval()
        with torch.inference_mode():
            return quickest(lambda: videomae(pixel_values=torch.rand(1, 16, 3, 224, 224)), 1)

    window_s = StreamConfig().window_s
    table.cost("VideoMAE-base motion (motion 16)", lambda: segment_s() / window_s)
    for count in (2, 4, 8):
        table.cost(f"BLIP-base captions (caption {count})", lambda count=count: caption_s() * count / window_s)


def p_text(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def report(table: Table, seeds: int, sizes: tuple[int, int, int]) -> str:
    rows = table.rows
    lines = [
        "# Ablation of the second model",
        "",
        "Written by `python -m benchmarks.affect`. The data are made (benchmarks/affect_data.py), so this shows",
        f"what the fusion can find, not how well it finds violence. {sizes[0]} windows for training, {sizes[1]} to",
        f"choose the epoch, {sizes[2]} for the figures. F1 of the positive class, mean ± standard deviation over",
        f"{seeds} seeds; p: paired t test on the same seeds against the best single stream of the same group.",
        "Network: processor time per second of video. No augmentation and no auto-encoding but where it says so.",
        "",
        "| data | variant | F1 | p against the best single stream | parameters | network, ms per s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        singles = [other for other in rows if other.group == row.group and other.name.endswith(" alone")]
        best = max(singles, key=lambda other: other.scores.mean, default=None)
        tested = "" if best is None or best is row else p_text(paired_p(row.scores.values, best.scores.values))
        cells = [row.group, row.name, f"{row.scores.mean:.3f} ± {row.scores.spread:.3f}", tested]
        lines.append(f"| {' | '.join(cells)} | {row.parameters:,} | {row.ms_per_s:.2f} |")
    lines += [
        "",
        "## What the streams cost",
        "",
        f"Encoder `lite`, one thread, a {VIDEO_S:g} s video of 640 × 360 at 30 fps; processor time of this process, so",
        "without ffmpeg's decoding. Paid once per video: streams are kept in the store.",
        "",
        "| streams (rows per window of 64 frames, 2.1 s) | ms per second of video |",
        "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in table.costs),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "affect.md")
    chosen: Any = parser.parse_args()
    torch.set_num_threads(1)
    seeds, sizes, epochs = (2, (300, 200, 300), 4) if chosen.quick else (5, (1000, 300, 600), 24)
    table = Table(chosen.out.with_suffix(".json"), [seeds, *sizes, epochs])
    is_whole = False
    try:
        ablation(table, seeds, sizes, epochs)
        stream_costs(table)
        if chosen.large:
            large_costs(table)
        is_whole = True
    finally:
        text = report(table, seeds, sizes)
        chosen.out.write_text(text if is_whole else UNFINISHED + text, encoding="utf-8")


if __name__ == "__main__":
    main()
