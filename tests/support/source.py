"""Sources of real programs, as Debian source packages: fetched once, kept, unpacked where a test wants them.

``UPSTARE_TEST_SOURCES`` names a directory to use instead of the network: it holds, for each package and suite, a
directory ``PACKAGE-SUITE`` with the files of the source package (``.orig.tar.*`` and ``.debian.tar.*``).

The packages come through apt with a state of its own (lists and settings in our cache), so the system's suites are not
touched; the mirror is the one that the system is set to.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

SUITES = ("bookworm", "sid")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LISTS_GROW_OLD = 7 * 24 * 3600.0


class SourceUnavailable(Exception):
    """Why a source package is not to be had here, as a sentence."""


def cache_directory() -> Path:
    """Where fetched packages and apt's state are kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "upstare-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def package_files(package: str, suite: str) -> Path:
    """The directory that holds the files of a source package. Raises SourceUnavailable."""
    given = os.environ.get("UPSTARE_TEST_SOURCES")
    if given:
        place = Path(given) / f"{package}-{suite}"
        if not any(place.glob("*.orig.tar.*")):
            raise SourceUnavailable(f"UPSTARE_TEST_SOURCES is set, but {place} holds no source package")
        return place
    place = cache_directory() / "packages" / f"{package}-{suite}"
    if not place.is_dir():
        with open(cache_directory() / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                _fetch(package, suite, place)
    return place


def _fetch(package: str, suite: str, place: Path) -> None:
    options = _apt_options()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        fetch = ["apt-get", *options, "-qq", "source", "--only-source", "--download-only", "-t", suite, package]
        try:
            _run(fetch, Path(scratch))
        except SourceUnavailable:  # some mirrors lack a package's description, but have the upstream tarball
            if not any(Path(scratch).glob("*.orig.tar.*")):
                raise
        if not any(Path(scratch).glob("*.orig.tar.*")):
            raise SourceUnavailable(f"apt brought no upstream tarball for {package} of {suite}")
        shutil.copytree(scratch, place)


@functools.cache
def _apt_options() -> tuple[str, ...]:
    """Options that give apt a state of its own, with fresh lists. Raises SourceUnavailable."""
    for tool in ("apt-get", "dpkg-source"):
        if not shutil.which(tool):
            raise SourceUnavailable(f"source packages need {tool} (Debian packages apt, dpkg-dev)")
    state = cache_directory() / "apt"
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    sources = state / "sources.list"
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    text = "".join(f"deb-src {signed}{_mirror()} {suite} main\n" for suite in SUITES)
    options = (
        f"-oDir::Etc::sourcelist={sources}",
        "-oDir::Etc::sourceparts=/dev/null",
        f"-oDir::State::Lists={state}/lists",
        f"-oDir::Cache={state}",
        f"-oDir::Cache::archives={state}/archives",
        "-oAPT::Sandbox::User=root",
        "-oAcquire::Retries=2",
        "-oAcquire::http::Timeout=30",
    )
    fresh = sources.exists() and sources.read_text() == text and time.time() - sources.stat().st_mtime < LISTS_GROW_OLD
    if not fresh:
        sources.unlink(missing_ok=True)
        written = state / "sources.list.new"
        written.write_text(text)
        _run(["apt-get", options[0].replace(str(sources), str(written)), *options[1:], "-qq", "update"], state)
        written.rename(sources)
    return options


def _mirror() -> str:
    """The site that the system's own apt takes Debian from, security updates apart."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Origin: Debian"],
        capture_output=True,
        text=True,
        check=False,
    )
    candidates = listed.stdout.split()
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        words = path.read_text(errors="replace").split() if path.is_file() else []
        candidates += [word for word in words if "://" in word and "debian" in word]
    for site in candidates:
        if "security" not in site and "snapshot" not in site:
            return site
    raise SourceUnavailable("this system's apt has no Debian mirror to fetch source packages from")


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise SourceUnavailable(f"{' '.join(command[:1])} could not fetch a source package: {last}")


def unpack(package: str, suite: str, directory: Path, debian_patches: bool = False) -> Path:
    """The upstream source in ``directory``, as released, or with the patches that Debian ships for it applied.

    Raises SourceUnavailable.
    """
    files = package_files(package, suite)
    directory.mkdir(parents=True, exist_ok=True)
    [upstream] = [path for path in files.glob("*.orig.tar.*") if path.suffix != ".asc"]
    _checked(["tar", "-C", directory, "--strip-components=1", "-xf", upstream])
    if debian_patches:
        [packaging] = files.glob("*.debian.tar.*")
        _checked(["tar", "-C", directory, "-xf", packaging, "debian/patches"])
        for line in (directory / "debian/patches/series").read_text().splitlines():
            name = line.split("#")[0].strip()
            if name:
                _checked(["patch", "-d", directory, "-p1", "-s", "-i", directory / "debian/patches" / name])
    return directory


def _checked(command: list[str | Path]) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def unpack_or_skip(package: str, suite: str, directory: Path, debian_patches: bool = False) -> Path:
    """Like :func:`unpack`; skips the test, with the reason, where the package is not to be had."""
    try:
        return unpack(package, suite, directory, debian_patches)
    except SourceUnavailable as reason:
        pytest.skip(f"{package} of Debian {suite} is not here: {reason}")
