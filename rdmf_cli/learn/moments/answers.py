"""Answers to examples, by a network or by pattern mode: both read what an example holds, so both see the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, Batch, batch_of
from rdmf_cli.fusion.pattern import PatternConfig, settle
from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.heads.moment_decode import MomentDecodeConfig, moments_from
from rdmf_cli.heads.moments import Found
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.moment_model import MomentNetwork
from rdmf_cli.moments import Moment

Floats = NDArray[np.float64]

_AT_ONCE = 4096  # snippets of one batch, padding included
_NOTHING = -1e6  # relevance without any moment: below all others
_PATTERN, _DECODE, _MOMENTS = PatternConfig(), DecodeConfig(), MomentDecodeConfig()


@dataclass(frozen=True, eq=False)
class Said:
    """The answer to one example of T snippets."""

    rows: Floats  # (K, 3) start s, end s, score; best first
    saliency: Floats  # (T,)
    relevance: float  # higher: surer that anything matches


def timeline_of(example: Example) -> Timeline:
    """Where the example's snippets lie in seconds, and its cuts: as exactly as it says, else amid the two frames."""
    starts_s = np.arange(len(example.values), dtype=np.float64) * float(example.spacing_s)
    cut_s = np.full(len(starts_s), np.nan)
    cut_at = np.arange(0.5, len(starts_s) - 1) if example.cut_at is None else example.cut_at.astype(np.float64)
    cut_s[1:][example.is_cut] = cut_at[example.is_cut] * float(example.spacing_s)
    return Timeline(starts_s, cut_s, len(starts_s) * float(example.spacing_s))


def batch_from(examples: Sequence[Example]) -> Batch:
    """The examples as a padded batch; `features` and `words` only if all have them."""
    has = all(example.features is not None and example.words is not None for example in examples)
    extra = ("features", "words") if has else ()
    names = ("values", "query", "distance", "is_cut", "spacing_s", *extra)
    return batch_of([tuple(getattr(example, name) for name in names) for example in examples])


def alike_in_length(examples: Sequence[Example], at_once: int = _AT_ONCE) -> Iterator[list[int]]:
    """Places of all examples, in groups of similar length and of at most `at_once` snippets (or one example)."""
    group: list[int] = []
    for place in sorted(range(len(examples)), key=lambda place: len(examples[place].values)):
        if group and (len(group) + 1) * len(examples[place].values) > at_once:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def pattern_answers(examples: Sequence[Example]) -> list[Said]:
    """Pattern mode, which needs no training, with the product's constants.

    Unlike the product's, its conductance comes from the distance of single snippets, not of pooled ones: that is what
    an example holds.
    """
    said: dict[int, Said] = {}
    evidence_at, relevance_at = INPUT_NAMES.index("affinity"), QUERY_NAMES.index("relevance")
    for places in alike_in_length(examples):
        chosen = [examples[place] for place in places]
        batch = batch_from(chosen)
        evidence = batch.values[..., evidence_at]
        flows = torch.where(batch.is_cut, 0.0, torch.exp(-((batch.distance / _PATTERN.conductance_reach) ** 2)))
        diffusion = (_PATTERN.feed + _PATTERN.kill) * (_PATTERN.reach_s / batch.spacing_s) ** 2
        with torch.inference_mode():
            v = settle(evidence, flows, diffusion, _PATTERN, batch.valid).v
        for row, (place, example) in enumerate(zip(places, chosen, strict=True)):
            own = evidence[row, : len(example.values)].double().numpy()
            found = moments_of(v[row, : len(own)].double().numpy(), own, timeline_of(example), _DECODE)
            relevance = float(example.query[relevance_at]) if found else _NOTHING
            said[place] = Said(rows_of([moment for moment, _ in found]), own, relevance)
    return [said[place] for place in range(len(examples))]


def rows_of(moments: Sequence[Moment]) -> Floats:
    """(K, 3) start s, end s, score."""
    return np.array([(one.start_s, one.end_s, one.score) for one in moments], dtype=np.float64).reshape(-1, 3)


def network_answers(network: MomentNetwork, examples: Sequence[Example], device: torch.device | str) -> list[Said]:
    """What a network says; it is left in evaluation mode. Relevance is the logit, as trained."""
    said: dict[int, Said] = {}
    for places in alike_in_length(examples):
        chosen = [examples[place] for place in places]
        _, found = network.answer(batch_from(chosen).to(device))
        found = Found._make(part.float().cpu() if part.is_floating_point() else part.cpu() for part in found)
        for row, (place, example) in enumerate(zip(places, chosen, strict=True)):
            moments = moments_from(found, row, timeline_of(example), config=_MOMENTS)
            saliency = found.saliency[row, : len(example.values)].double().numpy()
            said[place] = Said(rows_of(moments), saliency, float(found.relevance[row]))
    return [said[place] for place in range(len(examples))]
