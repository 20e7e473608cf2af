"""What a file is, from its first bytes: cheap enough for every file of a folder."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 1024

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg",
    ".mpeg", ".vob", ".flv", ".f4v", ".wmv", ".asf", ".ogv", ".ogm", ".3gp", ".3g2",
    ".mxf", ".rm", ".rmvb", ".nut", ".ivf", ".obu", ".dv", ".divx", ".qt", ".h264",
    ".264", ".h265", ".265", ".hevc", ".y4m", ".wtv", ".gif",
})
# fmt: on

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1a\x45\xdf\xa3", "video"),  # Matroska, WebM
    (0, b"FLV\x01", "video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video"),  # ASF, WMV
    (0, b"OggS", "video"),
    (0, b"\x00\x00\x01\xba", "video"),  # MPEG program stream
    (0, b"\x00\x00\x01\xb3", "video"),  # MPEG-1/2 video
    (0, b"\x06\x0e\x2b\x34", "video"),  # MXF
    (0, b".RMF", "video"),
    (0, b"nut/multimedia container", "video"),
    (0, b"DKIF", "video"),  # IVF
    (0, b"YUV4MPEG2", "video"),
    (0, b"GIF8", "video"),
    (0, b"\x1f\x07\x00", "video"),  # DV
    (0, b"\xb7\xd8\x00\x20", "video"),  # WTV
    (0, b"#EXTM3U", "playlist"),
    (0, b"ffconcat", "playlist"),
    (0, b"[playlist]", "playlist"),
    (0, b"v=0", "playlist"),  # SDP
    (0, b"\xff\xd8\xff", "image"),
    (0, b"\x89PNG", "image"),
    (0, b"ID3", "audio"),
    (0, b"fLaC", "audio"),
    (0, b"\xff\xfb", "audio"),
    (0, b"PK\x03\x04", "archive"),
    (0, b"%PDF", "document"),
)
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")


def sniff(head: bytes, *, known_suffix: bool = True) -> str:
    """One of video, audio, image, playlist, archive, document, text, unknown, from the first HEAD_BYTES bytes.

    "video" means a container that can hold one; whether it does only probing can tell. Without a video's suffix
    (`known_suffix`) formats that mostly hold something else (sound, still pictures, raw streams) are "unknown".
    """
    kind = _kind(head)
    if kind == "video" and not known_suffix:
        brand = head[4:12]
        sound = brand.startswith((b"ftypM4A", b"ftypM4B", b"ftypmif", b"ftyphei", b"ftypavi", b"ftypcrx"))
        strong = head[4:8] == b"ftyp" or head[:4] == b"\x1a\x45\xdf\xa3" or head[8:12] == b"AVI "
        return "video" if strong and not sound else "unknown"
    return kind


def _kind(head: bytes) -> str:
    if head[4:8] in _MOV_ATOMS:
        return "video"
    if head[:4] == b"RIFF":
        return {b"AVI ": "video", b"WAVE": "audio", b"WEBP": "image"}.get(head[8:12], "unknown")
    if _is_transport_stream(head):
        return "video"
    for offset, magic, kind in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if head[:4] == b"\x00\x00\x00\x01" or (head[:3] == b"\x00\x00\x01" and len(head) > 4):
        return "video"  # raw H.264, H.265 or MPEG-4
    return "text" if _is_text(head) else "unknown"


def _is_transport_stream(head: bytes) -> bool:
    """Sync bytes at the distance of plain (188) or timestamped (192, M2TS) packets."""
    return any(
        len(head) > first + 2 * step and all(head[first + k * step] == 0x47 for k in range(3))
        for first, step in ((0, 188), (4, 192))
    )


def _is_text(head: bytes) -> bool:
    if not head or b"\x00" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # only a character cut in two at the end
    return True


def lacks_index(path: Path) -> bool:
    """True for an mp4 or mov without its `moov` atom: a recording that was cut off. Raises OSError."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        place = 0
        names: set[bytes] = set()
        while place + 8 <= end and len(names) < 64:
            file.seek(place)
            head = file.read(16)
            names.add(head[4:8])
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                break  # 0: up to the end of the file; else nonsense
            place += length
    return b"ftyp" in names and b"moov" not in names


def read_head(path: Path) -> bytes:
    """The first HEAD_BYTES bytes. Raises OSError."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
