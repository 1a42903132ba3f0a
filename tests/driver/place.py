"""What the tests of the driver share: a place to compile in, and questions about the files that come out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from upstare.driver import elf, embed
from upstare.model.unit import Unit

ROOT = Path(__file__).resolve().parents[2]
CC = [sys.executable, str(Path(__file__).with_name("simple_cc.py"))]


class Place:
    """A directory with sources, and the two compilers to compare."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("UPSTARE_")}
        self.env |= {"UPSTARE_CACHE": str(directory / "cache"), "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
        self.env["UPSTARE_TEST_REPORT"] = str(directory / "report.json")

    def write(self, name: str, text: str) -> Path:
        """The file ``name`` with this text."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def __truediv__(self, name: str) -> Path:
        return self.directory / name

    def run(self, words: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in the directory."""
        return subprocess.run(
            list(words), cwd=self.directory, env=self.env, input=text, capture_output=True, text=True, timeout=120
        )

    def cc(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """``upstare cc`` with the simple transform."""
        return self.run([*CC, *arguments], text)

    def good_cc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same, and it must succeed in silence."""
        result = self.cc(*arguments)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", ""), result
        return result

    def plain(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """The real compiler."""
        return self.run(["cc", *arguments], text)

    def units(self, name: str) -> list[Unit]:
        """The units in an object."""
        data = elf.read_section(self / name, elf.SECTION_UNIT)
        return embed.decode(data, name) if data else []

    def transformed(self, name: str) -> int:
        """How many transformed units a program is made of; asserts that it is updateable if that is not 0."""
        file = elf.read(self / name)
        count = sum(s.name == "upstare_transformed" for s in file.symbols())
        names = {s.name for s in file.sections}
        assert (elf.SECTION_POINTS in names) == (elf.SECTION_DESCRIPTION in names) == (count > 0)
        assert elf.SECTION_UNIT not in names or count == 0
        return count
