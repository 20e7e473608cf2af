"""From what a video stores to ordinary RGB: high dynamic range, transparency, interlaced pictures.

Ordinary videos (8 or 10 bit, progressive, opaque, standard dynamic range) go through none of this; ffmpeg turns them
into RGB. For the others ffmpeg only scales and hands over more than RGB, and the rest happens here, on small pictures:
so it needs no filter that some builds lack (zscale, tonemap), and all builds give the same.

HDR: light is made relative to the white of ordinary television, 203 cd/m² (ITU-R BT.2408). Up to `_KNEE` of it
nothing changes; brighter light is bent so that it never reaches 1. So what an SDR camera would have shown looks the
same, and highlights keep their drawing. Colours: BT.2020 to BT.709, what lies outside is cut off.
Transparency: over grey, because black or white would decide for or against every dark or bright drawing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.media.probe import VideoInfo

GROUND = 128  # grey behind transparent pictures
_WHITE_NITS = 203.0
_KNEE = 0.75  # of white, in linear light: 0.89 of the signal
_GAMMA = 2.4  # BT.1886
_PEAK_HLG_NITS = 1000.0
_STEPS = 65536
_BROADCAST_CODECS = frozenset({"mpeg2video", "dvvideo"})
_BROADCAST_HEIGHTS = frozenset({480, 486, 576, 1080})
# Linear light, BT.2020 to BT.709 (ITU-R BT.2087).
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_HLG_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)


def is_ordinary(info: VideoInfo) -> bool:
    """True if ffmpeg alone makes the right RGB."""
    return not (info.hdr or info.has_alpha or deinterlacer(info))


def pixel_format(info: VideoInfo) -> str:
    """The pixel format in which ffmpeg hands over samples."""
    if info.hdr:
        return "rgba64le" if info.has_alpha else "rgb48le"
    return "rgba" if info.has_alpha else "rgb24"


def picture_bytes(info: VideoInfo, height: int, width: int) -> int:
    """How long a picture in `pixel_format` is."""
    return {"rgb24": 3, "rgba": 4, "rgb48le": 6, "rgba64le": 8}[pixel_format(info)] * height * width


def deinterlacer(info: VideoInfo) -> list[tuple[str, dict[str, str]]]:
    """ffmpeg filters for interlaced video: none, bwdif, or idet before it where the stream may be silent about it."""
    only_interlaced = ("bwdif", {"mode": "send_frame", "deint": "interlaced"})
    if info.is_interlaced:
        return [only_interlaced]
    if info.codec in _BROADCAST_CODECS and info.coded_height in _BROADCAST_HEIGHTS:
        return [("idet", {}), only_interlaced]  # idet marks what it finds
    return []


def to_rgb(raw: bytes, info: VideoInfo, height: int, width: int) -> NDArray[np.uint8]:
    """A picture in `pixel_format`, colours multiplied by alpha -> (height, width, 3) RGB."""
    layout = pixel_format(info)
    if layout == "rgb24":
        return np.frombuffer(raw, np.uint8).reshape(height, width, 3)
    dtype = "<u2" if "le" in layout else "u1"
    pixels = np.frombuffer(raw, dtype).reshape(height, width, -1)
    rgb = tone_mapped(pixels[..., :3], info.hdr) if info.hdr else pixels[..., :3]
    if not info.has_alpha:
        return rgb
    full = float(np.iinfo(dtype).max)
    ground = GROUND * (1 - pixels[..., 3:].astype(np.float32) / full)
    return np.clip(rgb.astype(np.float32) + ground + 0.5, 0, 255).astype(np.uint8)


def tone_mapped(signal: NDArray[np.uint16], hdr: str) -> NDArray[np.uint8]:
    """signal (..., 3) BT.2020 of full range, `hdr` "pq" or "hlg" -> (..., 3) BT.709 as for an ordinary screen."""
    light = _linear(hdr)[signal]
    if hdr == "hlg":
        luminance = (light @ _HLG_LUMINANCE)[..., None]
        light = light * np.maximum(luminance, 1e-6) ** 0.2 * (_PEAK_HLG_NITS / _WHITE_NITS)
    light = np.maximum(light @ _TO_709.T, 0.0)  # 1 is SDR white
    peak = light.max(axis=-1, keepdims=True)  # the same factor for all three: hues stay
    light = light * (_bent(peak) / np.maximum(peak, 1e-6))
    return np.asarray(light ** (1 / _GAMMA) * 255 + 0.5, dtype=np.uint8)


def _bent(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light >= 0 -> [0, 1): itself up to the knee, then ever slower."""
    over = np.maximum(light - _KNEE, 0) / (1 - _KNEE)
    return np.where(light <= _KNEE, light, _KNEE + (1 - _KNEE) * over / (1 + over)).astype(np.float32)


@cache
def _linear(hdr: str) -> NDArray[np.float32]:
    """Signal of 16 bits -> linear light: PQ of the display with SDR white at 1, HLG of the scene in [0, 1]."""
    signal = np.linspace(0.0, 1.0, _STEPS)
    if hdr == "pq":  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
        return np.asarray(nits / _WHITE_NITS, dtype=np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # ARIB STD-B67
    return np.asarray(np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12), dtype=np.float32)


def still(frame: Any, info: VideoInfo, width: int, height: int) -> NDArray[np.uint8]:
    """A frame that PyAV decoded, scaled, as `to_rgb` would show it: (height, width, 3) RGB, not turned.

    Transparency that VP8 and VP9 hide is not seen here, and interlaced frames stay woven.
    """
    layout = pixel_format(info)
    pixels = frame.to_ndarray(format=layout, width=width, height=height, interpolation="AREA")
    if layout == "rgb24":
        return np.asarray(pixels)
    if info.has_alpha:
        full = np.float32(np.iinfo(pixels.dtype).max)
        pixels = pixels.copy()
        pixels[..., :3] = pixels[..., :3] * (pixels[..., 3:] / full) + 0.5
    return to_rgb(pixels.tobytes(), info, height, width)


def thumbnail(raw: bytes, hdr: str) -> bytes:
    """A thumbnail of an HDR video (planar YUV 4:4:4) as the cut signal expects it: contrast as in an SDR video."""
    planes = np.frombuffer(raw, np.uint8).reshape(3, -1)
    luma = _thumbnail_luma(hdr)[planes[0]]
    chroma = np.clip((planes[1:].astype(np.float32) - 128) * 1.6 + 128, 0, 255).astype(np.uint8)
    return b"".join((luma.tobytes(), chroma.tobytes()))


@cache
def _thumbnail_luma(hdr: str) -> NDArray[np.uint8]:
    """Luma of 8 bits, limited range -> the same after tone mapping grey."""
    grey = np.clip((np.arange(256) - 16) / 219, 0, 1)
    signal = np.round(grey * (_STEPS - 1)).astype(np.uint16)
    shown = tone_mapped(np.repeat(signal[:, None], 3, axis=1), hdr)[:, 0]
    return np.asarray(shown / 255.0 * 219 + 16, dtype=np.uint8)
