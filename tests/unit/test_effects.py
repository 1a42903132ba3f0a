"""What instructions do is kept between builds, for exactly one release and one capstone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
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
    found = decoder.follow([decoder.calls([i])[0][0] for i in indices], Proof.FROM_RETURN)
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


LARGE = r"""
.globl large
.type large, @function
large: push %rbp
mov %rsp, %rbp
call elsewhere@plt
mov -8(%rbp), %edx
jmp 1f
.set number, 0
.rept 3000
.set number, number + 1
mov $number, %ecx
.endr
1: pop %rbp
ret
.size large, . - large
.section .note.GNU-stack, "", @progbits
"""


def test_many_instructions_are_learned_while_one_is_looked_at(tmp_path: Path) -> None:
    """Whether %rbp is the frame pointer is found out in the middle of a proof: the table of effects grows under it."""
    target = tmp_path / "large.so"
    words = ["gcc", "-shared", "-x", "assembler", "-", "-o", str(target)]
    subprocess.run(words, input=LARGE, text=True, check=True)
    prove = (
        "import os, sys; from pathlib import Path; from upstare.driver import native\n"
        "os.RTLD_DEEPBIND = 0\n"  # of capstone; the sanitizer does not take it
        "from upstare.points.code import Bodies, Decoder, Proof; from upstare.points.elf import Elf\n"
        "native.FLAGS.append('-fsanitize=address')\n"
        "elf = Elf(Path(sys.argv[1])); bodies = Bodies(elf.functions()); decoder = Decoder(elf, bodies, [], [])\n"
        "[large] = [i for i, body in enumerate(bodies.bodies) if body.source == 'large']\n"
        "print(decoder.follow([decoder.calls([large])[0][0]], Proof.FROM_RETURN)[0].target)"
    )
    sanitizer = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    env = {**os.environ, "LD_PRELOAD": sanitizer.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([sys.executable, "-c", prove, target], env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{NEXT_RETURN}\n"), done.stderr
