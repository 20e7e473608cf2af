"""Mutated files: the same number always gives the same bytes. Knows the boxes of mp4 and the elements of Matroska."""

from __future__ import annotations

import random

_TELLING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_HEAD_BYTES = 2048
_BOXES = (
    b"moov trak mdia minf stbl stsd stts ctts stsc stsz stco co64 stss tkhd mvhd mdhd hdlr elst edts mdat moof "
    b"traf tfhd tfdt trun trex mvex avcC hvcC av1C ftyp free uuid meta udta cmov dref tref"
).split(b" ")
KINDS = ("bits", "head", "box", "cut", "zeros", "noise", "repeat", "splice", "number", "remove")


def mutated(seeds: list[bytes], case: int, seed: int = 0) -> tuple[int, str, bytes]:
    """Case number `case`: (index of the seed file, what was done to it, the bytes). One to three changes."""
    chance = random.Random(f"{seed}/{case}")
    index = case % len(seeds)
    data = bytearray(seeds[index])
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kind = chance.choice(KINDS)
        data = _CHANGES[kind](data, chance, seeds)
        done.append(kind)
        if not data:
            break
    return index, "+".join(done), bytes(data)


def _bits(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    for _ in range(chance.choice((1, 3, 10, 50))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _head(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    """Bytes of the first or (where mp4 and AVI have their index) the last 2 KiB."""
    from_end = chance.random() < 0.4
    reach = min(_HEAD_BYTES, len(data))
    for _ in range(chance.choice((1, 2, 5, 20))):
        place = chance.randrange(reach)
        data[len(data) - 1 - place if from_end else place] = chance.randrange(256)
    return data


def _box(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    """Another length, name or content for a box of mp4; elsewhere the same as `_head`."""
    found = [place for name in _BOXES if (place := data.find(name)) >= 4]
    if not found:
        return _head(data, chance, seeds)
    place = chance.choice(found)
    part = chance.randrange(3)
    if part == 0:
        data[place - 4 : place] = chance.choice(_TELLING).to_bytes(4, "big")
    elif part == 1:
        data[place : place + 4] = chance.choice(_BOXES)
    else:
        inside = min(place + 4 + 4 * chance.randrange(16), max(0, len(data) - 4))
        data[inside : inside + 4] = chance.choice(_TELLING).to_bytes(4, "big")
    return data


def _number(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    size = chance.choice((1, 2, 4, 8))
    value = chance.choice(_TELLING) & (256**size - 1)
    place = chance.randrange(max(1, len(data) - size))
    data[place : place + size] = value.to_bytes(size, chance.choice(("big", "little")))
    return data


def _stretch(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + chance.choice((1, 8, 64, 512, 4096)))


def _cut(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    return data[: chance.randrange(len(data))]


def _zeros(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    start, end = _stretch(data, chance)
    data[start:end] = bytes(end - start)
    return data


def _noise(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    start, end = _stretch(data, chance)
    data[start:end] = chance.randbytes(end - start)
    return data


def _repeat(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    start, end = _stretch(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 2, 16)) + data[end:]


def _remove(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    start, end = _stretch(data, chance)
    return data[:start] + data[end:]


def _splice(data: bytearray, chance: random.Random, seeds: list[bytes]) -> bytearray:
    """The beginning of one file, the rest of another."""
    other = chance.choice(seeds)
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


_CHANGES = {
    "bits": _bits,
    "head": _head,
    "box": _box,
    "cut": _cut,
    "zeros": _zeros,
    "noise": _noise,
    "repeat": _repeat,
    "splice": _splice,
    "number": _number,
    "remove": _remove,
}
