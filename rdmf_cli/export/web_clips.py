"""Moments as small clips that browsers play, for pages that hold their videos."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from rdmf_cli.errors import OutputError
from rdmf_cli.export.clips import EXACT, container_for, cut_clip
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.media.small_copy import shrink
from rdmf_cli.media.tracks import tracks_of
from rdmf_cli.moments import Moment

HEIGHT_PX = 360


def small_clip(info: VideoInfo, moment: Moment) -> str:
    """The moment, cut exactly and made small, as `data:video/mp4;base64,…`. Raises VideoError, OutputError."""
    try:
        with tempfile.TemporaryDirectory(prefix="rdmf-") as folder:
            tracks = tracks_of(info)
            whole, small = Path(folder, f"whole{container_for(tracks, EXACT)}"), Path(folder, "small.mp4")
            cut_clip(info, tracks, moment, whole)
            shrink(whole, small, HEIGHT_PX)
            content = small.read_bytes()
    except OutputError as error:
        raise OutputError(str(error), hint="free some room there, or name another folder by TMPDIR") from error
    except OSError as error:
        raise OutputError(f"no room for temporary files: {error.strerror or error}", hint="set TMPDIR") from error
    return f"data:video/mp4;base64,{base64.b64encode(content).decode('ascii')}"
