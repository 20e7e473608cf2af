"""Small arrays in the cache: an ordinary .npy file with the SHA-256 of its name and content behind it.

What is hashed is the file's own name, not the name that the caller knows: so a file can be checked by itself.
"""

from __future__ import annotations

import hashlib
import io
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGEST_SIZE = 32


def file_name(name: str) -> str:
    """The file of any name; hashed, so that a name can't be a path."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.npy"


def pack_array(name: str, array: NDArray[Any]) -> bytes:
    """The file's content. Raises ValueError for Python objects: those would need pickle."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    content = stream.getvalue()
    return content + _digest(name, content)


def unpack_array(name: str, data: bytes) -> NDArray[Any] | None:
    """The array, or None if the bytes are not a complete file of this name."""
    content = data[:-_DIGEST_SIZE]
    if len(data) <= _DIGEST_SIZE or data[-_DIGEST_SIZE:] != _digest(name, content):
        return None
    stream = io.BytesIO(content)
    try:
        # Not np.load: it would reserve whatever memory the header asks for, before it looks at the content.
        if np.lib.format.read_magic(stream) != (1, 0):
            return None
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.hasobject or prod(shape) * dtype.itemsize != len(content) - stream.tell():
            return None
        values = np.frombuffer(content, dtype=dtype, offset=stream.tell())
        return values.reshape(shape, order="F" if is_fortran else "C").copy()
    except Exception:  # numpy hands the header to Python's own parser, which has errors of many kinds
        return None


def is_whole(file: str, data: bytes) -> bool:
    """Are these bytes what was written under the file name `file`?"""
    return len(data) > _DIGEST_SIZE and data[-_DIGEST_SIZE:] == _seal(file, data[:-_DIGEST_SIZE])


def _digest(name: str, content: bytes) -> bytes:
    return _seal(file_name(name), content)


def _seal(file: str, content: bytes) -> bytes:
    return hashlib.sha256(file.encode("utf-8", "surrogateescape") + b"\x00" + content).digest()
