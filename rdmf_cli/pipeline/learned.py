"""Answers by a trained network: the learned fusion and its head in place of the pattern at rest.

One network serves every encoder and every length: fusion and head are linear in time and see a timeline whole, so
nothing is cut into windows and nothing is stitched (heads/moment_decode.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import ModelError
from rdmf_cli.fusion.inputs import INPUT_NAMES, Batch, Inputs, batch_of, snippet_inputs
from rdmf_cli.fusion.learned import Fused, ReactionDiffusionFusion
from rdmf_cli.fusion.trace import Trace, preferred_wavelength_s
from rdmf_cli.heads.decode import Timeline
from rdmf_cli.heads.moment_decode import (
    MomentDecodeConfig,
    moments_from,
    relevance_from,
    saliency_from,
    told_score,
)
from rdmf_cli.heads.moments import Found
from rdmf_cli.model_folder import named_model
from rdmf_cli.moment_model import MomentNetwork
from rdmf_cli.moment_weights import find_moment_model, load_moments
from rdmf_cli.pipeline.answer import Answer
from rdmf_cli.pipeline.calibration import Calibration
from rdmf_cli.pipeline.index import Indexed
from rdmf_cli.pipeline.modes import PATTERN_MODE, Mode, answer_of
from rdmf_cli.pipeline.query import Encoded
from rdmf_cli.pipeline.snippets import snippets_of

DEFAULT_MODEL = "rdmf-base"
# Moments of an answer share no time, as in pattern mode: they may be cut into clips. Evaluation keeps what overlaps by
# less than 0.7, which gives a point of mAP and the same first moment (docs/experiments.md).
DECODE = MomentDecodeConfig(max_overlap=0.0)
# Of the best moment's score, from which on another one is an answer: every slot says something, most of them nothing,
# and what is listed may be cut into clips. Not fitted.
LEAST_SHARE = 0.1

_AT_ONCE = 16_384  # snippets of one batch, padding included: bounds the memory of many queries on a long video
_AFFINITY = INPUT_NAMES.index("affinity")


def open_mode(name: str, models_folder: Path, encoder: Encoder) -> Mode:
    """The mode that a name of Settings.model stands for. Raises ModelError.

    "pattern": no model. "learned": the model that comes with rdmf. "auto": the same where it is, else pattern mode; a
    damaged one is an error, since answers must not change unnoticed. Anything else: a model that was trained, by its
    name or folder.
    """
    if name == "pattern":
        return PATTERN_MODE
    default = named_model(DEFAULT_MODEL, models_folder)
    if name == "auto" and default is None:
        return PATTERN_MODE
    if name in ("auto", "learned") and default is not None:
        return _opened(default, encoder, is_default=True)
    folder = find_moment_model(DEFAULT_MODEL if name == "learned" else name, models_folder)
    return _opened(folder, encoder, is_default=default is not None and folder.resolve() == default.resolve())


def _opened(folder: Path, encoder: Encoder, *, is_default: bool) -> LearnedMode:
    network = load_moments(folder)
    config = network.config
    if config.fusion.input == "features" and config.encoder_fingerprint != encoder.fingerprint:
        raise ModelError(
            f"{folder}: made for the encoder {config.encoder or 'of its training data'}, not for {encoder.name}",
            hint=f"search with --encoder {config.encoder}" if config.encoder else "search with --fusion pattern",
        )
    return LearnedMode(folder.resolve().name, network, is_default=is_default)


@dataclass(frozen=True, eq=False)
class _Asked:
    """One query on one video."""

    place: int  # of the video
    number: int  # of the query
    values: Tensor  # (T, N)
    item: tuple[object, ...]  # as batch_of takes it


class LearnedMode:
    """A trained network. It judges by itself whether a video answers at all."""

    kind = "learned"
    judges_relevance = True

    def __init__(self, name: str, network: MomentNetwork, *, is_default: bool = False) -> None:
        self.name = name
        self.is_default = is_default  # the model that answers where none is asked for
        self.network = network.eval()

    def answer(
        self,
        videos: Sequence[Indexed],
        encoded: Encoded,
        calibration: Calibration,
        *,
        max_moments: int = 100,
        explain: bool = False,
    ) -> list[list[Answer]]:
        """See Mode."""
        with _one_thread():
            return self._answers(videos, encoded, calibration, max_moments, explain)

    def _answers(
        self, videos: Sequence[Indexed], encoded: Encoded, calibration: Calibration, max_moments: int, explain: bool
    ) -> list[list[Answer]]:
        prepared = [snippets_of(indexed.features, indexed.sample_fps) for indexed in videos]
        asked: list[_Asked] = []
        for place, (rows, timeline) in enumerate(prepared):
            asked += self._asked(place, torch.from_numpy(rows), timeline, encoded, calibration)
        found: list[list[Answer]] = [[] for _ in videos]
        for group in _groups(asked):
            batch = batch_of([one.item for one in group])
            fused, heard = self.network.answer(batch)
            for row, one in enumerate(group):
                timeline = prepared[one.place][1]
                trace = self._trace(batch, fused, row, timeline) if explain else None
                answer = self._answer(videos[one.place], encoded, one.number, timeline, heard, row, max_moments, trace)
                found[one.place].append(answer)
        return found

    def _asked(
        self, place: int, features: Tensor, timeline: Timeline, encoded: Encoded, calibration: Calibration
    ) -> Iterator[_Asked]:
        """Every query on one video. features (T, D)."""
        vectors = torch.from_numpy(encoded.vectors)
        inputs: Inputs = snippet_inputs(
            features,
            vectors,
            torch.from_numpy(calibration.bank),
            torch.from_numpy(timeline.is_cut),
            timeline.spacing_s,
            null_mean=calibration.null_mean,
            null_spread=calibration.null_spread,
            reach=torch.from_numpy(encoded.reach),
        )
        reads_features = self.network.config.fusion.input == "features"
        for number, (values, query) in enumerate(zip(inputs.values, inputs.query, strict=True)):
            extra = (features, vectors[number]) if reads_features else ()
            item = (values, query, inputs.distance, inputs.is_cut, inputs.spacing_s, *extra)
            yield _Asked(place, number, values, item)

    def _answer(
        self,
        indexed: Indexed,
        encoded: Encoded,
        number: int,
        timeline: Timeline,
        found: Found,
        row: int,
        max_moments: int,
        trace: Trace | None,
    ) -> Answer:
        config = self.network.config
        relevance = relevance_from(found, row, config.relevance_scale)
        moments = moments_from(found, row, timeline, config=DECODE, relevance=relevance)
        moments = [moment for moment in moments if moment.score >= LEAST_SHARE * moments[0].score]
        moments = [replace(moment, score=told_score(moment.score)) for moment in moments]
        return answer_of(
            indexed,
            encoded,
            number,
            timeline,
            moments=moments[:max_moments],
            saliency=saliency_from(found, row, len(timeline.starts_s)),
            relevance=relevance,
            cutoff=config.cutoff,
            trace=trace,
        )

    def _trace(self, batch: Batch, fused: Fused, row: int, timeline: Timeline) -> Trace:
        """Of the last block: what the head saw."""
        length = len(timeline.starts_s)
        nothing = batch.values.new_zeros(0, length)
        u, v = (nothing if x is None else x[row, :, :length] for x in (fused.u, fused.v))
        return Trace(
            affinity=batch.values[row, :length, _AFFINITY].numpy(),
            u=u.numpy(),
            v=v.numpy(),
            activity=fused.activity[row, :length].numpy(),
            wavelengths_s=self._wavelengths_s(timeline.spacing_s)[-len(v) :] if len(v) else (),
        )

    def _wavelengths_s(self, spacing_s: float) -> tuple[float, ...]:
        """Of every channel, block by block; none without reaction and diffusion."""
        fusion = self.network.fusion
        if not isinstance(fusion, ReactionDiffusionFusion):
            return ()
        return tuple(preferred_wavelength_s(system, spacing_s) for system in fusion.systems(spacing_s))


@contextmanager
def _one_thread() -> Iterator[None]:
    """An answer is hundreds of small operations: waking threads that sleep (settings.share_cores) costs more.

    Measured on two cores: docs/experiments.md. The setting is the calling thread's own, so encoding is not touched.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _groups(asked: Sequence[_Asked]) -> Iterator[list[_Asked]]:
    """In order, as many at once as fit into one batch; at least one."""
    group: list[_Asked] = []
    longest = 0
    for one in asked:
        longest = max(longest, len(one.values))
        if group and (len(group) + 1) * longest > _AT_ONCE:
            yield group
            group, longest = [], len(one.values)
        group.append(one)
    if group:
        yield group
