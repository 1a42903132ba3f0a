"""A directory of files by the digest of what they were made from: what was compiled once is not compiled again.

The directory is UPSTARE_CACHE, else $XDG_CACHE_HOME/upstare, else ~/.cache/upstare; where none can be written (builds
without a home), one in the temporary directory that belongs to the user. It may be deleted at any time.

Every compile looks into the cache, so what is slow to import is imported where it is needed.
"""

from __future__ import annotations

import os

from upstare.errors import UpstareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class Cache:
    """Files by key. Safe for any number of processes at once: a file appears whole or not at all.

    Args:
        directory: where to keep the files; None for the user's own.

    Raises:
        UpstareError: there is no place for it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = os.fspath(directory) if directory is not None else _default_directory()
        try:
            os.makedirs(self.directory, exist_ok=True)
        except OSError as error:
            raise UpstareError(
                f"cannot make the cache directory {self.directory}: {error.strerror}",
                hint="name another one in UPSTARE_CACHE",
            ) from error

    def get(self, key: str) -> Path | None:
        """The file kept under ``key`` (hex digits, with a suffix if one is wanted), or None."""
        from pathlib import Path

        path = Path(self.path(key))
        return path if path.is_file() else None

    def read(self, key: str) -> bytes | None:
        """The bytes of what is kept under ``key``, or None."""
        try:
            with open(self.path(key), "rb") as file:
                return file.read()
        except OSError:
            return None

    def put(self, key: str, content: bytes | Path) -> Path:
        """Keep the bytes, or a copy of the file, under ``key``; the path of what is kept.

        Raises:
            UpstareError: it cannot be written.
        """
        from pathlib import Path

        path = Path(self.path(key))
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                from shutil import copyfile

                copyfile(content, temporary)
            else:
                temporary.write_bytes(content)
            temporary.replace(path)
        except BaseException as error:  # an end from outside, too
            temporary.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise UpstareError(f"cannot write to the cache {self.directory}: {error.strerror}") from error
        return path

    def count(self, key: str) -> int:
        """How often this was called for ``key`` since :meth:`forget`; 0 if nothing can be written."""
        try:
            path = self.path(key)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, b".")
                return os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        except OSError:
            return 0

    def counted(self, key: str) -> int:
        """How often :meth:`count` was called for ``key``, without counting."""
        try:
            return os.stat(self.path(key)).st_size
        except OSError:
            return 0

    def forget(self, key: str) -> None:
        """Nothing is kept under ``key``."""
        try:
            os.unlink(self.path(key))
        except OSError:
            pass

    def path(self, key: str) -> str:
        """Where the file kept under ``key`` is, or would be."""
        return os.path.join(self.directory, inside(key))


def inside(key: str) -> str:
    """Where the file kept under ``key`` is in the directory."""
    return os.path.join(key[:2], key[2:])


def _default_directory() -> str:
    named = os.environ.get("UPSTARE_CACHE")
    if named:
        return named
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    directory = os.path.join(base, "upstare")
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError:
        return _temporary_directory()
    return directory if os.access(directory, os.W_OK) else _temporary_directory()


def _temporary_directory() -> str:
    """A directory of this user's in the temporary directory; one that somebody else put there is not used."""
    from tempfile import gettempdir

    directory = os.path.join(gettempdir(), f"upstare-cache-{os.getuid()}")
    try:
        os.mkdir(directory, mode=0o700)
    except FileExistsError:
        pass
    status = os.lstat(directory)
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UpstareError(
            f"the cache directory {directory} belongs to somebody else", hint="name another one in UPSTARE_CACHE"
        )
    return directory
