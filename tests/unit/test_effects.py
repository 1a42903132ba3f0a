"""What instructions do is kept between builds, for exactly one release and one capstone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from upstare.points import code
from upstare.points.code import Bodies, Decoder, Effect, Effects, Found, Proof
from upstare.points.elf import Elf
from upstare.points.layout import NEXT_RETURN, NEXT_UNKNOWN

SOURCE = r"""
void elsewhere(void);
int adds(int a, int b) { elsewhere(); return a + b; }
int stores(int *a, int b) { elsewhere(); *a = b; return b; }
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def elf(tmp_path: Path) -> Elf:
    target = tmp_path / "a.so"
    words = ["gcc", "-O2", "-shared", "-fPIC", "-x", "c", "-", "-o", str(target)]
    subprocess.run(words, input=SOURCE, text=True, check=True)
    return Elf(target)


def follow(elf: Elf) -> dict[str, Found]:
    """Where the first return address of each function leads."""
    bodies = Bodies(elf.functions())
    decoder = Decoder(elf, bodies, [], [])
    indices = [i for i, body in enumerate(bodies.bodies) if body.source in ("adds", "stores")]
    found = decoder.follow([decoder.calls(i)[0] for i in indices], Proof.FROM_RETURN)
    return {bodies.bodies[i].source: way for i, way in zip(indices, found, strict=True)}


def test_what_is_kept_is_what_capstone_says(elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = follow(elf)
    assert (asked["adds"].target, asked["adds"].intact) == (NEXT_RETURN, 0)
    assert asked["stores"].target == NEXT_UNKNOWN
    assert "leaves the stack frame" in asked["stores"].reason

    def nobody(details: object, code: bytes) -> Effect:
        raise AssertionError("capstone is asked again")

    monkeypatch.setattr(code._Details, "describe", nobody)
    assert follow(elf) == asked


def test_another_release_or_capstone_begins_anew(elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(elf)
    assert Effects().rows
    for name in ("release_digest", "_capstone_installed"):
        with monkeypatch.context() as patch:
            patch.setattr(code, name, lambda: "another")
            assert not Effects().rows, name


@pytest.mark.parametrize("change", ["content", "time", "place"])
def test_capstone_is_known_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    library = tmp_path / "capstone" / "lib" / "libcapstone.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"one")
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "capstone")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    before = code._capstone_installed()
    status = library.stat()
    if change == "content":
        library.write_bytes(b"more")
        os.utime(library, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(library, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    else:
        found.submodule_search_locations = [str((tmp_path / "capstone").rename(tmp_path / "other"))]
    assert code._capstone_installed() != before


def test_what_is_not_known_to_capstone_may_do_anything() -> None:
    assert code._details().describe(b"\x06").may_fault  # no instruction in 64-bit code
