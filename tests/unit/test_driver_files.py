"""The driver's cache, archives and records of units, with good and bad input."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest

from upstare.driver import elf, embed
from upstare.driver.cache import Cache
from upstare.errors import UpstareError


def test_cache_keeps_bytes_and_files(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.get("abcdef") is None
    assert cache.put("abcdef", b"one").read_bytes() == b"one"
    source = tmp_path / "file"
    source.write_bytes(b"two")
    assert cache.put("abcdef.o", source).read_bytes() == b"two"
    kept = cache.get("abcdef")
    assert kept is not None
    assert kept.read_bytes() == b"one"
    assert not list((tmp_path / "cache").rglob(".*"))


def test_cache_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "named"))
    assert Cache().directory == str(tmp_path / "named")
    monkeypatch.delenv("UPSTARE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Cache().directory == str(tmp_path / "xdg" / "upstare")


def test_cache_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPSTARE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Path(Cache().directory).parent == tmp_path


def test_cache_in_an_impossible_place() -> None:
    with pytest.raises(UpstareError, match="cannot make the cache directory /dev/null/x"):
        Cache(Path("/dev/null/x"))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A small object file."""
    source = tmp_path / "a.c"
    source.write_text("int variable = 1; static int hidden; extern int elsewhere;\nint f(void) { return elsewhere; }\n")
    subprocess.run(["cc", "-c", str(source), "-o", str(tmp_path / "a.o")], check=True)
    return tmp_path / "a.o"


def test_symbols(example: Path) -> None:
    symbols = {s.name: s for s in elf.read(example).symbols()}
    assert symbols["variable"].is_object and symbols["variable"].defined and not symbols["variable"].local
    assert not symbols["f"].is_object
    assert not symbols["elsewhere"].defined
    assert symbols["hidden"].local


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + b"\0" * 100])
def test_what_is_not_elf(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(UpstareError):
        elf.read(path)


def test_cut_short(example: Path) -> None:
    data = example.read_bytes()
    with pytest.raises(UpstareError, match="damaged"):
        elf.Elf(data[: len(data) // 2], "half.o")


def test_hostile_files(tmp_path: Path, example: Path) -> None:
    """Whatever the bytes say, there is an answer or an error of ours: nothing else, and no endless list."""
    elf.write_archive(tmp_path / "x.a", [elf.Member("a_long_name_for_a_member.o", example.read_bytes())])
    chance = random.Random(1)
    damaged = 0
    for original in (example.read_bytes(), (tmp_path / "x.a").read_bytes()):
        for _ in range(400):
            data = bytearray(original)
            for _ in range(chance.choice((1, 4))):
                # Headers and tables are at both ends.
                at = chance.choice((chance.randrange(min(200, len(data))), chance.randrange(len(data))))
                data[at : at + 8] = chance.randbytes(chance.choice((1, 8)))
            path = tmp_path / "hostile"
            path.write_bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])
            try:
                if elf.is_archive(path.read_bytes()):
                    list(elf.members(path))
                else:
                    list(elf.read(path).symbols())
            except UpstareError:
                damaged += 1
    assert 50 < damaged < 800


@pytest.mark.parametrize("field", [(0x28, "<Q"), (0x3A, "<H"), (0x3C, "<H"), (0x3E, "<H")])
@pytest.mark.parametrize("value", [0, 1, 0x7FFF, 0xFFFF, 2**63, 2**64 - 1])
def test_hostile_header(example: Path, field: tuple[int, str], value: int) -> None:
    data = bytearray(example.read_bytes())
    at, form = field
    struct.pack_into(form, data, at, value & (2 ** (8 * struct.calcsize(form)) - 1))
    try:
        list(elf.Elf(bytes(data), "hostile.o").symbols())
    except UpstareError as error:
        assert "damaged" in str(error)


def test_archives(tmp_path: Path, example: Path) -> None:
    contents = [elf.Member("a.o", example.read_bytes()), elf.Member("odd", b"odd")]
    elf.write_archive(tmp_path / "x.a", contents)
    assert [(m.name, m.data) for m in elf.members(tmp_path / "x.a")] == [(m.name, m.data) for m in contents]
    listing = subprocess.run(["ar", "t", str(tmp_path / "x.a")], capture_output=True, text=True, check=True)
    assert listing.stdout.split() == ["a.o", "odd"]


def test_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.a"
    path.write_bytes(b"!<arch>\n" + b"x" * 60)
    with pytest.raises(UpstareError, match="damaged"):
        list(elf.members(path))


def test_damaged_records() -> None:
    record = embed.encode("a.c", ["-O2"], ["cc"], b"int x;")
    assert len(embed.decode(record + b"\0\0" + record, "x")) == 2
    for bad in (record[:-1], record[:20], b"X" + record, record[:50] + b"!" + record[51:]):
        with pytest.raises(UpstareError, match="the units in x are damaged"):
            assert [unit.text for unit in embed.decode(bad, "x")]
    other = embed.encode("a.c", ["-O2"], ["cc"], b"int y;")
    swapped = record[:12] + other[12:44] + record[44:]
    with pytest.raises(UpstareError, match="is not what was compiled"):
        assert [unit.text for unit in embed.decode(swapped, "x")]
