"""The native walk (walk.c), made with the user's C compiler when it is first needed and then kept in the cache.

libclang's package brings only the library; walk.c takes its functions from there, so that must be loaded first.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from upstare.driver.native import compiled
from upstare.errors import UpstareError


class Rows(ctypes.Structure):
    """``struct table``: rows of one kind."""

    _fields_ = [("rows", ctypes.c_void_p), ("count", ctypes.c_int64), ("room", ctypes.c_int64)]


class UnitRows(ctypes.Structure):
    """``struct unit``: all tables of a unit."""

    _fields_ = [
        (name, Rows)
        for name in ("trees", "declarations", "types", "fields", "errors", "top", "lists", "text", "names")
    ]


def source() -> Path:
    """The C source of the walk."""
    return Path(__file__).with_name("walk.c")


@functools.cache
def library() -> ctypes.CDLL:
    """The walk, ready to be called.

    Raises:
        UpstareError: it cannot be compiled or loaded.
    """
    import clang.native

    try:
        # Found by the walk, which is not linked with it: for all libraries that are loaded after it.
        ctypes.CDLL(str(Path(clang.native.__file__).with_name("libclang.so")), mode=ctypes.RTLD_GLOBAL)
        walk = ctypes.CDLL(str(compiled(source())))
    except OSError as error:
        raise UpstareError(f"cannot load the native walk: {error}", hint="install UpStare again") from error
    walk.read_unit.restype = ctypes.POINTER(UnitRows)
    walk.read_unit.argtypes = [
        ctypes.c_char_p, ctypes.c_ulong, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_void_p,
        ctypes.c_char_p, ctypes.c_int32,
    ]  # fmt: skip
    walk.free_unit.restype = None
    walk.free_unit.argtypes = [ctypes.POINTER(UnitRows)]
    return walk
