"""Does a stream tell what a search of the whole video would list, and how late?

    python -m benchmarks.streaming [--data ../shared/data/videos/queries.jsonl] [--encoder lite] [--queries 12]
                                   [--store DIR] [--json F] [--markdown F]

All videos beside the query file, one after the other, are one video. Its features are searched at once, and fed batch
by batch to what stands behind `rdmf search --follow`, in pattern mode and by the trained model that comes with rdmf.
Queries are spread evenly over those with a match. No threshold of relevance: everything that is told counts.

- told: a moment of the search has one of the stream's with an IoU above 0.7. Strong: at least half the best's score.
- delay: from the end of a moment to how far the video had been read when it was told.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy import load_queries
from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.intervals import tiou

if TYPE_CHECKING:
    from rdmf_cli.pipeline.answer import Answer
    from rdmf_cli.pipeline.calibration import Calibration
    from rdmf_cli.pipeline.follow import Told
    from rdmf_cli.pipeline.index import Indexed
    from rdmf_cli.pipeline.modes import Mode
    from rdmf_cli.pipeline.query import Encoded

BATCH = 4  # frames that arrive together
SAME = 0.7  # IoU from which on two moments are the same
STRONG = 0.5  # of the best score


def joined(videos: Sequence[Indexed]) -> Indexed:
    """The videos one after the other, with a cut between them."""
    parts = [video.features for video in videos]
    spacing_s = 1 / videos[0].sample_fps
    starts_s = np.cumsum([0.0, *(len(part.features) * spacing_s for part in parts)])
    changes = [part.change.copy() for part in parts]
    for change in changes[1:]:
        change[0] = 1.0
    features = replace(
        parts[0],
        features=np.concatenate([part.features for part in parts]),
        times_s=np.arange(sum(len(part.features) for part in parts)) * spacing_s,
        change=np.concatenate(changes),
        change_time_s=np.concatenate(
            [np.maximum(part.change_time_s, 0.0) + at for part, at in zip(parts, starts_s, strict=False)]
        ),
        duration_s=float(starts_s[-1]),
    )
    return replace(videos[0], features=features)


def streamed(
    video: Indexed, encoded: Encoded, calibration: Calibration, mode: Mode
) -> tuple[list[Told], list[float], float]:
    """What a stream of the video tells, the relevance of each query at its end, and the delay that it states."""
    from rdmf_cli.media.frames import FrameBatch
    from rdmf_cli.pipeline.follow import Follower
    from rdmf_cli.pipeline.following import FollowOptions

    follower = Follower(encoded, calibration, FollowOptions(batch_size=BATCH, sample_fps=video.sample_fps), mode)
    own, told, frames = video.features, [], np.zeros((BATCH, 1, 1, 3), np.uint8)
    for start in range(0, len(own.features), BATCH):
        part = slice(start, start + BATCH)
        times_s = own.times_s[part]
        batch = FrameBatch(frames[: len(times_s)], times_s, own.change[part], own.change_time_s[part])
        told += follower.push(own.features[part], batch)
    told += follower.finish(own.duration_s)
    relevances = [follower._following.relevance(number).score for number in range(len(encoded.queries))]
    return told, relevances, follower.promise.delay_s


def compare(video: Indexed, encoded: Encoded, calibration: Calibration, mode: Mode) -> dict[str, Any]:
    """One mode's figures."""
    [answers] = mode.answer([video], encoded, calibration)
    told, relevances, promised_s = streamed(video, encoded, calibration, mode)
    by_query = [[one for one in told if one.query is query] for query in encoded.queries]
    best = strong = every = 0
    num_strong = num_every = right = 0
    for answer, own in zip(answers, by_query, strict=True):
        is_told = _is_told(answer, own)
        is_strong = np.array([moment.score >= STRONG * answer.moments[0].score for moment in answer.moments], bool)
        best += int(is_told[:1].sum())
        strong, num_strong = strong + int(is_told[is_strong].sum()), num_strong + int(is_strong.sum())
        every, num_every = every + int(is_told.sum()), num_every + len(is_told)
        right += sum(_overlap(one, answer) > SAME for one in own)
    late = [one.seen_s - one.moment.end_s for one in told if one.seen_s < video.features.duration_s]
    apart = [abs(said - answer.relevance.score) for said, answer in zip(relevances, answers, strict=True)]
    return {
        "queries": len(answers),
        "answered": sum(bool(answer.moments) for answer in answers),
        "best_told": best,
        "strong_told": strong,
        "strong": num_strong,
        "every_told": every,
        "every": num_every,
        "told": len(told),
        "told_of_search": right,
        "relevance_apart": max(apart),
        "delay_median_s": float(np.median(late)) if late else float("nan"),
        "delay_most_s": max(late, default=float("nan")),
        "delay_stated_s": promised_s,
    }


def _is_told(answer: Answer, own: Sequence[Told]) -> np.ndarray:
    """(moments of the answer,) bool."""
    if not own or not answer.moments:
        return np.zeros(len(answer.moments), bool)
    said = [[one.moment.start_s, one.moment.end_s] for one in own]
    return np.asarray(tiou([[m.start_s, m.end_s] for m in answer.moments], said).max(axis=1) > SAME)


def _overlap(one: Told, answer: Answer) -> float:
    """Of a moment that was told and the nearest of the search's."""
    if not answer.moments:
        return 0.0
    listed = [[moment.start_s, moment.end_s] for moment in answer.moments]
    return float(tiou([[one.moment.start_s, one.moment.end_s]], listed).max())


def as_markdown(result: dict[str, Any]) -> str:
    modes = result["modes"]
    lines = (
        ("best moments told, of queries that a search answers", "{best_told} of {answered}"),
        ("moments of at least half the best's score that are told", "{strong_told} of {strong}"),
        ("all moments of the search that are told", "{every_told} of {every}"),
        ("moments told that are the search's", "{told_of_search} of {told}"),
        ("largest difference of the relevance at the end", "{relevance_apart:.3f}"),
        ("delay, median", "{delay_median_s:.0f} s"),
        ("delay, at most", "{delay_most_s:.0f} s"),
        ("delay that is stated", "{delay_stated_s:.0f} s"),
    )
    rows = [[text, *(pattern.format_map(figures) for figures in modes.values())] for text, pattern in lines]
    return "\n".join(
        [
            f"Encoder {result['encoder']}, commit {(result['commit'] or 'none')[:12]}",
            f"Machine: {result['machine_line']}",
            f"{result['videos']} videos in a row, {result['snippets']} snippets, {result['queries']} queries",
            "",
            table(["a stream against a search", *modes], rows),
        ]
    )


def main() -> None:
    from rdmf_cli.encoders import open_encoder
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.calibration import calibrate
    from rdmf_cli.pipeline.index import index_video
    from rdmf_cli.pipeline.learned import open_mode
    from rdmf_cli.pipeline.modes import PATTERN_MODE
    from rdmf_cli.pipeline.query import encode_queries
    from rdmf_cli.settings import load_settings
    from rdmf_cli.store import Store

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/videos/queries.jsonl")
    parser.add_argument("--encoder", default="lite", help="a preset or a path")
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--store", type=Path, help="keep features here; default: a temporary folder")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    settings = load_settings(encoder=asked.encoder)
    encoder = open_encoder(settings.encoder, models_folder=settings.models, device="cpu", offline=True)
    queries = [query for query in load_queries(asked.data) if query.windows]
    chosen = [queries[int(place)] for place in np.linspace(0, len(queries) - 1, asked.queries).round()]
    with tempfile.TemporaryDirectory() as folder, Store.open(asked.store or Path(folder)) as store:
        names = dict.fromkeys(query.video for query in queries)
        options = SearchOptions(sample_fps=2.0)
        parts = [index_video(asked.data.parent / name, encoder=encoder, store=store, options=options) for name in names]
        calibration = calibrate(encoder, store)
        encoded = encode_queries([query.text for query in chosen], encoder, calibration, store)
    video = joined(parts)
    modes = {"pattern mode": PATTERN_MODE, "learned": open_mode("learned", settings.models, encoder)}
    found = {name: compare(video, encoded, calibration, mode) for name, mode in modes.items()}
    result: dict[str, Any] = {
        "commit": commit(),
        "machine": machine(),
        "machine_line": machine_line(),
        "encoder": asked.encoder,
        "videos": len(parts),
        "snippets": len(video.features.features),
        "queries": len(chosen),
        "modes": found,
    }
    write(as_markdown(result), result, markdown=asked.markdown, json_file=asked.json)


if __name__ == "__main__":
    main()
