"""Title cards of a reel, drawn here: many builds of ffmpeg can't write text."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

_BACKGROUND, _INK, _FAINT = (18, 18, 22), (240, 240, 240), (160, 160, 168)
_MOST_LINES = 4
# Found by Pillow in the system's font folders. The last resort is the font inside Pillow, which knows Latin only.
_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf",
    "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "msyh.ttc", "YuGothM.ttc", "PingFang.ttc",
    "Hiragino Sans GB.ttc", "malgun.ttf", "Arial Unicode.ttf", "NotoSansArabic-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf", "NotoSansHebrew-Regular.ttf", "NotoSansThai-Regular.ttf",
)  # fmt: skip
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def card(title: str, note: str, width: int, height: int) -> Image.Image:
    """`title` large and `note` small below it, centred; RGB of the size asked for, whatever the texts are."""
    image = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    size = max(8, min(height // 10, width // 18))
    large, small = _font_for(title, size), _font_for(note, max(7, size * 5 // 9))
    lines = [(line, large, _INK) for line in _wrapped(draw, _shown(title), large, int(width * 0.86))]
    lines += [(line, small, _FAINT) for line in _wrapped(draw, _shown(note), small, int(width * 0.86))[:1]]
    heights = [_height(draw, font) for _, font, _ in lines]
    y = (height - sum(heights)) / 2
    for (line, font, ink), line_height in zip(lines, heights, strict=True):
        draw.text(((width - draw.textlength(line, font=font)) / 2, y), line, font=font, fill=ink)
        y += line_height
    return image


def can_write(text: str) -> bool:
    """True if some font here has all signs of `text`."""
    return _covers(_font_for(text, 16), text)


def _shown(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: _Font, width: int) -> list[str]:
    """Lines no wider than `width`; what is beyond a few of them ends in an ellipsis. Long words are broken."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        for piece in _broken(draw, word, font, width):
            longer = f"{line} {piece}".strip()
            if line and draw.textlength(longer, font=font) > width:
                lines.append(line)
                line = piece
            else:
                line = longer
    lines.append(line)
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1][:-1]}…"]


def _broken(draw: ImageDraw.ImageDraw, word: str, font: _Font, width: int) -> list[str]:
    pieces = [""]
    for sign in word:
        if pieces[-1] and draw.textlength(pieces[-1] + sign, font=font) > width:
            pieces.append("")
        pieces[-1] += sign
    return pieces


def _height(draw: ImageDraw.ImageDraw, font: _Font) -> float:
    top, bottom = draw.textbbox((0, 0), "Ég", font=font)[1::2]
    return float(bottom - top) * 1.5


def _font_for(text: str, size: int) -> _Font:
    """The first font that has all signs of `text`, else the first there is."""
    fonts = [font for name in _FONTS if (font := _font(name, size)) is not None]
    fonts.append(ImageFont.load_default(size))
    return next((font for font in fonts if _covers(font, text)), fonts[0])


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> _Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _covers(font: _Font, text: str) -> bool:
    missing = bytes(font.getmask("\U0010ffff"))
    signs = {sign for sign in text if not sign.isspace() and sign.isprintable()}
    return all(bytes(font.getmask(sign)) != missing for sign in signs)
