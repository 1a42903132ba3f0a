"""A directory of files by the digest of what they were made from: what was compiled once is not compiled again.

The directory is UPSTARE_CACHE, else $XDG_CACHE_HOME/upstare, else ~/.cache/upstare; where none can be written (builds
without a home), one in the temporary directory that belongs to the user. It may be deleted at any time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from upstare.errors import UpstareError


class Cache:
    """Files by key. Safe for any number of processes at once: a file appears whole or not at all.

    Args:
        directory: where to keep the files; None for the user's own.

    Raises:
        UpstareError: there is no place for it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory if directory is not None else _default_directory()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UpstareError(
                f"cannot make the cache directory {self.directory}: {error.strerror}",
                hint="name another one in UPSTARE_CACHE",
            ) from error

    def get(self, key: str) -> Path | None:
        """The file kept under ``key`` (hex digits, with a suffix if one is wanted), or None."""
        path = self._path(key)
        return path if path.is_file() else None

    def put(self, key: str, content: bytes | Path) -> Path:
        """Keep the bytes, or a copy of the file, under ``key``; the path of what is kept.

        Raises:
            UpstareError: it cannot be written.
        """
        path = self._path(key)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, temporary)
            else:
                temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UpstareError(f"cannot write to the cache {self.directory}: {error.strerror}") from error
        return path

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / key[2:]


def _default_directory() -> Path:
    named = os.environ.get("UPSTARE_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    directory = Path(base) / "upstare" if base else Path(os.path.expanduser("~")) / ".cache" / "upstare"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return _temporary_directory()
    return directory if os.access(directory, os.W_OK) else _temporary_directory()


def _temporary_directory() -> Path:
    """A directory of this user's in the temporary directory; one that somebody else put there is not used."""
    directory = Path(tempfile.gettempdir()) / f"upstare-cache-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UpstareError(
            f"the cache directory {directory} belongs to somebody else", hint="name another one in UPSTARE_CACHE"
        )
    return directory
