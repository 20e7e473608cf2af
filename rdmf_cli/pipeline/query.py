"""What is looked for: text, a picture, what should not be there; and how they become one vector.

Text and pictures lie apart in an encoder's space, and cosines of two pictures are larger and spread otherwise than
those of a sentence and a picture. So a picture is brought onto the scale of texts before it counts, by
`picture_direction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder, Words, reach_of
from rdmf_cli.errors import UsageError
from rdmf_cli.fusion.inputs import REACH_SHARE
from rdmf_cli.media.probe import probe
from rdmf_cli.media.stills import frame_at
from rdmf_cli.pipeline.calibration import MIDPOINT, Calibration, PictureScale, picture_scale
from rdmf_cli.store import Store
from rdmf_cli.timebase import format_time

Vector = NDArray[np.float32]

IMAGE_WEIGHT = 0.5  # of a picture beside a text
NEGATIVE_WEIGHT = 0.5
# Where pictures are as sure as texts are at the midpoint of the relevance: in standard deviations of the statistic over
# unrelated pictures. Fitted on frames of the development videos with the built-in encoder (docs/library-search.md).
_PICTURE_MIDPOINT = 5.07
_MAX_PIXELS = 200_000_000


@dataclass(frozen=True)
class Picture:
    """A photo, or with `at_s` the frame of a video at that time."""

    path: Path
    at_s: float | None = None

    @property
    def label(self) -> str:
        """What to call it in a heading."""
        return self.path.name if self.at_s is None else f"{self.path.name} at {format_time(self.at_s)}"


@dataclass(frozen=True)
class Query:
    """One thing looked for: a text, a picture or both, less what must not be there."""

    text: str = ""
    picture: Picture | None = None
    negatives: tuple[str, ...] = ()
    image_weight: float = IMAGE_WEIGHT  # in [0, 1]; the text has the rest. Without a text it does not matter
    negative_weight: float = NEGATIVE_WEIGHT  # of each negative, beside 1 for all that is wanted

    @property
    def label(self) -> str:
        """The query in one line; the text itself if there is nothing else."""
        parts = [part for part in (self.text, f"[{self.picture.label}]" if self.picture else "") if part]
        return " + ".join(parts) + "".join(f" − {negative}" for negative in self.negatives)

    @property
    def weights(self) -> tuple[float, float]:
        """(of the text, of the picture); they add up to 1."""
        share = 0.0 if self.picture is None else self.image_weight if self.text else 1.0
        return 1.0 - share, share

    def to_json(self) -> dict[str, Any]:
        """`query` of the JSON answer; docs/json.md."""
        document: dict[str, Any] = {"text": self.text or self.label}
        if self.picture is None and not self.negatives:
            return document
        text_weight, image_weight = self.weights
        weights = {"text": round(text_weight, 4), "image": round(image_weight, 4), "negative": 0.0}
        if self.picture is not None:
            document["image"] = {"path": str(self.picture.path), "at_s": self.picture.at_s}
        if self.negatives:
            document["negatives"] = list(self.negatives)
            weights["negative"] = round(self.negative_weight, 4)
        return {**document, "weights": weights}


@dataclass(frozen=True, eq=False)
class Encoded:
    """Queries as fusion takes them. Vectors of plain texts have unit length, composed ones about that."""

    queries: tuple[Query, ...]
    vectors: Vector  # (Q, D)
    reach: Vector  # (Q,) what they reach on ordinary photographs; see Calibration.relevance

    def only(self, number: int) -> Encoded:
        """Query `number` alone."""
        one = slice(number, number + 1)
        return Encoded(self.queries[one], self.vectors[one], self.reach[one])


def as_query(query: str | Query) -> Query:
    """A plain text is a query of nothing else."""
    return query if isinstance(query, Query) else Query(query)


def encode_queries(
    queries: Sequence[str | Query], encoder: Encoder, calibration: Calibration, store: Store | None
) -> Encoded:
    """Read the pictures, encode everything, compose. Raises UsageError for what is not a picture, VideoError."""
    asked = tuple(as_query(query) for query in queries)
    texts = list(dict.fromkeys(text for query in asked for text in (query.text, *query.negatives) if text))
    words = _words(texts, encoder)
    pictures = {query.picture: _encoded(query.picture, encoder) for query in asked if query.picture}
    scale = picture_scale(encoder, store) if pictures else None
    composed = [
        compose(
            words.get(query.text),
            pictures.get(query.picture) if query.picture else None,
            [words[negative] for negative in query.negatives],
            weights=query.weights,
            negative_weight=query.negative_weight,
            calibration=calibration,
            scale=scale,
        )
        for query in asked
    ]
    return Encoded(asked, np.stack([vector for vector, _ in composed]), np.array([r for _, r in composed], np.float32))


def _words(texts: list[str], encoder: Encoder) -> dict[str, Words]:
    """Every text with its vector."""
    if not texts:
        return {}
    vectors = encoder.encode_texts(texts)
    reaches = reach_of(encoder, vectors)
    return {text: Words(vector, float(reach)) for text, vector, reach in zip(texts, vectors, reaches, strict=True)}


def compose(
    text: Words | None,
    picture: Vector | None,
    negatives: Sequence[Words],
    *,
    weights: tuple[float, float],
    negative_weight: float,
    calibration: Calibration,
    scale: PictureScale | None,
) -> tuple[Vector, float]:
    """One query vector (D,) and its reach. picture (D,) of unit length; `scale` is needed for it.

    q = μ + w_text (t − μ) + w_image d − w_negative Σ (n − μ),  μ the mean of the background texts, d the picture as a
    direction on the texts' scale. A text alone is itself, to the last bit. Reaches are composed alike.
    """
    if text is not None and picture is None and not negatives:
        return text
    centre = calibration.bank.mean(axis=0)
    vector, reach = centre.astype(np.float64), calibration.usual_reach
    parts = [(text, weights[0])] + [(negative, -negative_weight) for negative in negatives]
    for part, weight in parts:
        if part is not None and weight != 0:
            vector = vector + weight * (part.vector - centre)
            reach += weight * (part.reach - calibration.usual_reach)
    if picture is not None and weights[1] > 0:
        if scale is None:
            raise ValueError("a picture needs a scale")
        direction, offset = picture_direction(picture, calibration, scale)
        vector = vector + weights[1] * direction
        reach += weights[1] * offset
    return vector.astype(np.float32), reach


def picture_direction(
    picture: Vector, calibration: Calibration, scale: PictureScale
) -> tuple[NDArray[np.float64], float]:
    """A picture (D,) on the scale of texts: its direction from μ (D,), and its reach above the usual one.

    Its products with unrelated pictures get the spread that the statistic of texts has; the reach is what makes
    `_PICTURE_MIDPOINT` spreads above their mean as relevant as calibration's `MIDPOINT` is for a text.
    """
    direction = (picture - scale.mean).astype(np.float64) * (calibration.null_spread / scale.spread)
    midpoint = scale.offset / scale.spread + _PICTURE_MIDPOINT
    return direction, calibration.null_spread * (midpoint - MIDPOINT) / REACH_SHARE


def _encoded(picture: Picture, encoder: Encoder) -> Vector:
    """The picture's vector (D,), from the same size and shape as frames of a video have."""
    if picture.at_s is None:
        frame = _photo(picture.path, encoder)
    else:
        info = probe(picture.path)
        frame = frame_at(info, picture.at_s, *encoder.frame_size_px(info.width, info.height))
    vector: Vector = encoder.encode_images(frame[None])[0]
    return vector


def _photo(path: Path, encoder: Encoder) -> NDArray[np.uint8]:
    """A photo file upright, (H, W, 3) RGB. Raises UsageError if it is none."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise UsageError(f"{path}: {image.width} x {image.height} px is too large for a query")
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such image", hint="check the name; quote names with spaces") from None
    except (UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError, EOFError) as error:
        hint = "JPEG, PNG, WebP and the like; a frame of a video: --at video.mp4@0:01:02"
        raise UsageError(f"{path}: not an image", hint=hint) from error
    except OSError as error:
        raise UsageError(f"{path}: the image can't be read: {error.strerror or error}") from error
    height, width = encoder.frame_size_px(upright.width, upright.height)
    # Squashed with box averaging, as frames of videos are.
    return np.asarray(upright.resize((width, height), Image.Resampling.BOX), dtype=np.uint8)
