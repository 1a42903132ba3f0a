"""The patch file: what is written is read, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from upstare.errors import UpstareError
from upstare.patch.file import read_patch, write_patch
from upstare.release import ABI

HEADER = {"abi": ABI, "from_build": "a" * 64, "to_build": "b" * 64, "program": "prog", "report": {}}


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    """A whole patch."""
    path = tmp_path / "prog.upatch"
    assert write_patch(path, HEADER, b"\x7fELF" + bytes(1000)) == path.stat().st_size
    return path


def test_read_back(patch: Path) -> None:
    found = read_patch(patch)
    assert found.header == {**HEADER, "twin_size": 0}
    assert found.payload == b"\x7fELF" + bytes(1000)
    assert found.twin == b""
    assert [p.name for p in patch.parent.iterdir()] == ["prog.upatch"]


def test_twin(tmp_path: Path) -> None:
    path = tmp_path / "prog.upatch"
    write_patch(path, HEADER, b"the image", b"the twin")
    found = read_patch(path)
    assert (found.payload, found.twin) == (b"the image", b"the twin")


@pytest.mark.parametrize("size", [-1, 10])
def test_twin_that_has_no_place(tmp_path: Path, size: int) -> None:
    path = tmp_path / "prog.upatch"
    write_patch(path, {**HEADER, "twin_size": size}, b"the image")
    with pytest.raises(UpstareError, match="damaged: its twin has no place in it"):
        read_patch(path)


def test_cut_short_anywhere(patch: Path) -> None:
    content = patch.read_bytes()
    for length in range(1, len(content)):
        patch.write_bytes(content[:length])
        with pytest.raises(UpstareError, match="cut short"):
            read_patch(patch)


def test_altered_anywhere(patch: Path) -> None:
    content = patch.read_bytes()
    for place in range(16, len(content), 7):
        patch.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(UpstareError, match="altered|cut short"):
            read_patch(patch)
    patch.write_bytes(content + b"x")
    with pytest.raises(UpstareError, match="altered"):
        read_patch(patch)


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(500), b"hello"])
def test_no_patch(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UpstareError, match="is not an UpStare patch"):
        read_patch(path)


def test_missing_and_foreign(tmp_path: Path) -> None:
    with pytest.raises(UpstareError, match="cannot read .*No such file"):
        read_patch(tmp_path / "none")
    path = tmp_path / "other"
    write_patch(path, {**HEADER, "abi": ABI + 1}, b"")
    with pytest.raises(UpstareError, match=f"ABI {ABI + 1}"):
        read_patch(path)


def test_unwritable_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UpstareError, match="cannot write"):
        write_patch(tmp_path / "no" / "such" / "place", HEADER, b"")
    (tmp_path / "taken").mkdir()
    with pytest.raises(UpstareError, match="cannot write"):
        write_patch(tmp_path / "taken", HEADER, b"")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
