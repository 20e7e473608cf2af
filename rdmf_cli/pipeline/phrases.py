"""Captions without a captioning model: the phrases of a bank that fit a picture best, as one vector.

A frozen picture–sentence encoder can't write, but it can choose. What it chooses is worth as much as the encoder, and
never more than the bank holds: whoever shows these captions says that they are retrieved, not written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.store import Store

NAME = "phrases"
_VERSION = "phrases/1"  # raise it when the same picture would get another vector
_BEST = 3  # phrases for each picture
_TEMPERATURE = 0.5  # of their weights, in standard deviations of a picture's fit
_AT_ONCE = 4096  # pictures

Rows = NDArray[np.float32]


@cache
def phrases() -> tuple[str, ...]:
    """Some 200 phrases, written for this project; caption_phrases.txt."""
    text = files("rdmf_cli").joinpath("pipeline/caption_phrases.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


@dataclass(frozen=True, eq=False)
class PhraseBank:
    """The bank in the space of one encoder."""

    vectors: Rows  # (P, D), unit length
    usual: Rows  # (P,) mean cosine to the other phrases: some sentences are near everything
    fingerprint: str

    def choose(self, pictures: Rows) -> tuple[NDArray[np.int64], Rows]:
        """pictures (N, D), unit length → the best phrases (N, 3), best first, and their weights, which sum to 1."""
        fit = pictures @ self.vectors.T - self.usual
        best = np.argsort(-fit, axis=1, kind="stable")[:, :_BEST]
        found = np.take_along_axis(fit, best, axis=1)
        spread = np.maximum(fit.std(axis=1, keepdims=True), 1e-6)
        weights = np.exp((found - found[:, :1]) / spread / _TEMPERATURE)
        return best, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

    def caption_vectors(self, pictures: Rows) -> Rows:
        """pictures (N, D) → (N, D): the weighted mean of the best phrases' vectors, unit length."""
        parts = [self._vectors_of(pictures[start : start + _AT_ONCE]) for start in range(0, len(pictures), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, self.vectors.shape[1]), np.float32)

    def _vectors_of(self, pictures: Rows) -> Rows:
        best, weights = self.choose(pictures)
        mixed = (self.vectors[best] * weights[..., None]).sum(axis=1)
        return np.asarray(mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-6), dtype=np.float32)

    def captions(self, pictures: Rows) -> list[str]:
        """The best phrase of each picture."""
        return [phrases()[place] for place in self.choose(pictures)[0][:, 0]]


def phrase_bank(encoder: Encoder, store: Store | None) -> PhraseBank:
    """The bank for an encoder; its vectors come from the store's cache if they are there."""
    facts = "\n".join((_VERSION, encoder.fingerprint, *phrases()))
    fingerprint = hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()
    vectors = store.load_array(f"phrases-{fingerprint}") if store else None
    if vectors is None or vectors.shape != (len(phrases()), encoder.dim):
        vectors = encoder.encode_texts(list(phrases()))
        if store:
            store.save_array(f"phrases-{fingerprint}", vectors)
    usual = (vectors @ vectors.T).mean(axis=1)
    return PhraseBank(vectors, usual.astype(np.float32), fingerprint)
