"""Small pictures from a video: one of each moment, a strip along the time axis, some along one moment."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from rdmf_cli.export.lettering import draw_text
from rdmf_cli.export.palette import INK, PAPER, of_rank
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.media.stills import Still, fitted, stills
from rdmf_cli.moments import Moment

_EXACT_UP_TO_S = 600.0  # in a longer video a strip shows keyframes: a few seconds off can't be seen there
_ASPECTS = (0.5, 2.0)  # widths per height that a cell of a strip may have
_JPEG_QUALITY = 72


def moment_pictures(info: VideoInfo, moments: tuple[Moment, ...], box_px: tuple[int, int]) -> list[Image.Image]:
    """For each moment its best frame, fitted into the box; grey where the video is damaged. Raises VideoError."""
    times_s = [min(max(moment.peak_s, moment.start_s), _last_s(info, moment)) for moment in moments]
    return [_image(still, info, box_px) for still in stills(info, times_s, box_px=box_px)]


def frames_of(info: VideoInfo, moment: Moment, count: int, box_px: tuple[int, int]) -> list[tuple[float, Image.Image]]:
    """At most `count` frames of a moment with their times, the first one and the last one among them.

    Fewer where the moment has fewer. Raises VideoError.
    """
    last_s = _last_s(info, moment)
    # Nearly a frame late: what is on screen right at a start between two frames still belongs to what was before.
    first_s = min(moment.start_s + 0.9 / float(info.source_fps), last_s)
    wanted = [float(time_s) for time_s in np.linspace(first_s, last_s, count)]
    found: dict[float, Image.Image] = {}
    for still in stills(info, wanted, box_px=box_px):
        if still is not None:
            found[max(still.time_s, 0.0)] = Image.fromarray(still.picture)
    return sorted(found.items(), key=lambda item: item[0]) or [(moment.start_s, _blank(info, box_px))]


def strip(info: VideoInfo, duration_s: float, *, width_px: int, height_px: int) -> list[Image.Image]:
    """Frames side by side that fill a strip along the time axis: the one in the middle of each equal stretch.

    All are of one size, `height_px` high, cropped a little where they must be. Raises VideoError.
    """
    aspect = min(max(info.width / info.height, _ASPECTS[0]), _ASPECTS[1])
    count = max(1, round(width_px / (height_px * aspect)))
    size = (max(1, width_px // count), height_px)
    cover = max(size[0] / info.width, size[1] / info.height)
    box_px = (max(1, round(info.width * cover)), max(1, round(info.height * cover)))
    middles = [float(time_s) for time_s in (np.arange(count) + 0.5) * duration_s / count]
    found = stills(info, middles, box_px=box_px, is_exact=duration_s <= _EXACT_UP_TO_S)
    return [ImageOps.fit(_image(still, info, box_px), size) for still in found]


def ranked_row(
    info: VideoInfo, moments: tuple[Moment, ...], first: int, count: int, box_px: tuple[int, int], *, gap_px: int
) -> Image.Image:
    """Pictures of `count` moments from place `first` on, side by side on nothing (RGBA), each with its rank on it."""
    chosen = moments[first : first + count]
    pictures = moment_pictures(info, chosen, box_px)
    height = max(picture.height for picture in pictures)
    width = sum(picture.width for picture in pictures) + gap_px * (len(pictures) - 1)
    row = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    left = 0
    for rank, picture in enumerate(pictures, start=first + 1):
        row.paste(picture, (left, 0))
        size = max(8, height // 5)
        ImageDraw.Draw(row).rectangle((left, 0, left + size, size), fill=of_rank(rank))
        colour = PAPER if rank == 1 else INK
        draw_text(row, (left + size / 2, size / 2), str(rank), round(size * 0.7), colour, bold=True, anchor="mm")
        left += picture.width + gap_px
    return row


def data_uri(image: Image.Image) -> str:
    """`data:image/jpeg;base64,…`."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(image)).decode('ascii')}"


def jpeg(image: Image.Image) -> bytes:
    """A JPEG file small enough for a page."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return file.getvalue()


def _last_s(info: VideoInfo, moment: Moment) -> float:
    """When the last frame of a moment is presented, about: half a frame before the end, which is not included."""
    return max(moment.start_s, moment.end_s - 0.5 / float(info.source_fps))


def _image(still: Still | None, info: VideoInfo, box_px: tuple[int, int]) -> Image.Image:
    return _blank(info, box_px) if still is None else Image.fromarray(still.picture)


def _blank(info: VideoInfo, box_px: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", fitted((info.width, info.height), box_px), (128, 128, 128))
