"""The programs whose cost is measured: built plainly, updateable, and with points placed as in 2009."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.build import EXAMPLES, run_build
from tests.support.source import unpack_or_skip
from tests.support.tool import UPSTARE_CC

PLAIN, UPDATEABLE, AS_IN_2009 = "plain", "updateable", "2009"
KINDS = (PLAIN, UPDATEABLE, AS_IN_2009)
HERE = Path(__file__).resolve().parent

_FLAGS = "-O2 -g"


@dataclass(frozen=True)
class Recipe:
    """How a program is built: where its source comes from, and what makes the executable out of it.

    ``make`` gets the directory with the source and the compiler; it returns the executable.
    """

    name: str
    fetch: Callable[[Path], Path]
    make: Callable[[Path, str, dict[str, str]], Path]

    def build(self, kind: str, directory: Path) -> Path:
        """The executable of one kind. Skips the test if the source is not to be had."""
        place = self.fetch(directory / f"{self.name}-{kind}")
        env = {"UPSTARE_POINTS": "2009"} if kind == AS_IN_2009 else {}
        return self.make(place, "cc" if kind == PLAIN else UPSTARE_CC, env)


def _package(name: str, suite: str = "bookworm") -> Callable[[Path], Path]:
    return lambda directory: unpack_or_skip(name, suite, directory)


def _example(directory: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "kvserver" / "v2", directory))


def _make_kvserver(place: Path, compiler: str, env: dict[str, str]) -> Path:
    run_build(["make", f"CC={compiler}", f"CFLAGS={_FLAGS} -pthread"], place, **env)
    return place / "kvserver"


def _make_kissfft(place: Path, compiler: str, env: dict[str, str]) -> Path:
    sources = ["test/benchkiss.c", "test/pstats.c", "kiss_fft.c", "kiss_fftr.c", "kiss_fftnd.c", "kiss_fftndr.c"]
    run_build([*compiler.split(), *_FLAGS.split(), "-I.", *sources, "-lm", "-o", "benchkiss"], place, **env)
    return place / "benchkiss"


def _make_lua(place: Path, compiler: str, env: dict[str, str]) -> Path:
    flags = f"{_FLAGS} -DLUA_COMPAT_5_3 -DLUA_USE_POSIX"
    run_build(["make", "-C", "src", "lua", f"CC={compiler}", f"CFLAGS={flags}"], place, **env)
    return place / "src" / "lua"


def _make_sqlite3(place: Path, compiler: str, env: dict[str, str]) -> Path:
    run_build(["./configure"], place)
    run_build(["make", "sqlite3.c", "shell.c"], place)
    flags = [*_FLAGS.split(), "-DSQLITE_THREADSAFE=1", "-DSQLITE_OMIT_LOAD_EXTENSION"]
    run_build([*compiler.split(), *flags, "shell.c", "sqlite3.c", "-lm", "-pthread", "-o", "sql"], place, **env)
    return place / "sql"


def _make_memcached(place: Path, compiler: str, env: dict[str, str]) -> Path:
    run_build(["./configure", f"CC={compiler}", f"CFLAGS={_FLAGS}"], place, **env)
    run_build(["make", "-j2", "memcached"], place, **env)
    return place / "memcached"


def _make_redis(place: Path, compiler: str, env: dict[str, str]) -> Path:
    options = [f"CC={compiler}", "MALLOC=libc", "OPTIMIZATION=-O2", "USE_SYSTEMD=no"]
    run_build(["make", "-j2", *options], place, **env)
    return place / "src" / "redis-server"


def _make_vsftpd(place: Path, compiler: str, env: dict[str, str]) -> Path:
    run_build(["make", "-j2", f"CC={compiler}", "LIBS=-lcrypt -lpam -lcap"], place, **env)
    return place / "vsftpd"


KVSERVER_RECIPE = Recipe("kvserver", _example, _make_kvserver)
KISSFFT = Recipe("kissfft", _package("kissfft"), _make_kissfft)
LUA = Recipe("lua", _package("lua5.4"), _make_lua)
SQLITE3 = Recipe("sqlite3", _package("sqlite3"), _make_sqlite3)
MEMCACHED = Recipe("memcached", _package("memcached"), _make_memcached)
REDIS = Recipe("redis", _package("redis"), _make_redis)
VSFTPD = Recipe("vsftpd", _package("vsftpd", "sid"), _make_vsftpd)
