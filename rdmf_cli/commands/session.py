"""What every search needs before it starts: the encoder and the store, opened as the settings say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rdmf_cli.errors import StoreError
from rdmf_cli.progress import Progress
from rdmf_cli.settings import Settings


def use_ffmpeg(settings: Settings) -> None:
    """Make media/ffmpeg.py, which knows the environment only, take the ffmpeg of the settings file."""
    if settings.ffmpeg:
        os.environ["RDMF_FFMPEG"] = settings.ffmpeg


def encoder(settings: Settings, batch_size: int, progress: Progress) -> Any:
    """The encoder that the settings name. Importing its libraries takes seconds, so there is a sign of life."""
    from rdmf_cli.encoders import open_encoder

    progress.start("loading the encoder", None, "")
    try:
        return open_encoder(
            settings.encoder,
            models_folder=settings.models,
            device=settings.device,
            batch_size=batch_size,
            offline=settings.offline,
            warn=progress.warn,
        )
    finally:
        progress.finish()


def mode(settings: Settings, encoder: Any) -> Any:
    """Fusion and head that the settings name: a model that fits the encoder, or pattern mode. Raises ModelError."""
    from rdmf_cli.pipeline.learned import open_mode

    return open_mode(settings.model, settings.models, encoder)


@contextmanager
def store(settings: Settings, progress: Progress, *, wanted: bool = True) -> Iterator[Any]:
    """The store, or None if it isn't wanted or can't be used: a search works without, only slower next time."""
    opened = _open_store(settings, progress) if wanted else None
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def _open_store(settings: Settings, progress: Progress) -> Any:
    from rdmf_cli.store import Store

    try:
        return Store.open(settings.store, progress)
    except StoreError as error:
        progress.warn(f"nothing is kept for the next search: {error}")
        return None


def warn_of_long_queries(queries: tuple[str, ...], encoder: Any, progress: Progress) -> None:
    """Say which queries the encoder can't read to their end."""
    for query in queries:
        if encoder.text_length(query) > encoder.max_text_tokens:
            start = query if len(query) <= 40 else f"{query[:40]}…"
            progress.warn(f"the query is longer than {encoder.name} reads; its end was cut: {start}")
