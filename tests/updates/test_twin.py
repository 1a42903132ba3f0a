"""An executable has no resume clones: what puts its stacks up again is its twin, which a patch or the storm brings."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.runtime.client import ABORT, COMMIT, LOAD, STOP, Client
from tests.support import tool
from tests.support.build import build_file, build_pair, run_build
from tests.support.process import running, storms
from upstare.driver import elf
from upstare.patch.file import read_patch

SOURCE = """
#include <stdio.h>
#include <unistd.h>

static int all;

static int turns(int level, int *total) {
  char line[8];
  int here = 0;
  if (level > 0) return turns(level - 1, total) + 1;
  while (read(0, line, 2) == 2) printf("VERSION %d %d %d\\n", ++here, *total += 1, ++all), fflush(stdout);
  return here;
}

int main(void) {
  int total = 0;
  int sum = turns(3, &total);
  printf("end %d %d\\n", sum, total);
  return 0;
}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build_pair(SOURCE, tmp_path_factory.mktemp("pair"))


def resume_clones(file: Path) -> list[str]:
    return [s.name for s in elf.read(file).symbols() if s.name.startswith("upstare$r$")]


def test_who_has_resume_clones(pair: tuple[Path, Path], tmp_path: Path) -> None:
    program, patch = pair
    assert not resume_clones(program)
    parts = read_patch(patch)
    for number, part in enumerate((parts.payload, parts.twin)):
        file = tmp_path / f"part{number}"
        file.write_bytes(part)
        assert len(resume_clones(file)) == 2
    (tmp_path / "old.c").write_text(SOURCE.replace("VERSION", "older"))
    inside = build_file(tmp_path / "old.c", tmp_path / "inside", env={"UPSTARE_CLONES": "inside"})
    assert len(resume_clones(inside)) == 2
    tool.expect(tool.patch(inside, program, tmp_path / "other.upatch"))
    assert not read_patch(tmp_path / "other.upatch").twin


def test_called_off_after_the_stacks_came_down(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Back on the old version in its twin, from there to the new one, back, and so on."""
    program, patch = pair
    parts = read_patch(patch)
    files = {name: tmp_path / name for name in ("twin", "image")}
    files["twin"].write_bytes(parts.twin)
    files["image"].write_bytes(parts.payload)
    count = 0
    with running([program]) as child:

        def turn(version: str) -> None:
            nonlocal count
            count += 1
            child.send("x\n")
            child.expect(f"^{version} {count} {count} {count}$")

        turn("old")
        for _ in range(3):
            client = Client(child.pid)
            if not client.hello["resumes"]:
                assert client.request(LOAD, 1, files["twin"])["ok"]
            assert client.request(LOAD, 0, files["image"])["ok"]
            assert client.request(STOP, 2_000_000)["ok"]
            assert client.request(ABORT)["ok"]
            client.close()
            turn("old")
        for _ in range(2):
            tool.expect(tool.apply(patch, child.pid), outcome="updated")
            turn("new")
            tool.expect(tool.rollback(child.pid), outcome="updated")
            turn("old")
        child.close_input()
        child.expect(f"^end {count + 3} {count}$")


def test_image_without_its_twin(pair: tuple[Path, Path], tmp_path: Path) -> None:
    program, patch = pair
    image, twin = tmp_path / "image", tmp_path / "twin"
    image.write_bytes(read_patch(patch).payload)
    twin.write_bytes(read_patch(patch).twin)
    with running([program]) as child:
        child.send("x\n")
        child.expect("^old 1 1 1$")
        client = Client(child.pid)
        assert client.hello["resumes"] is False
        reply = client.request(LOAD, 0, image)
        assert "did not bring the resume clones" in reply["reason"]
        assert not client.request(STOP, 1_000_000)["ok"]
        assert not client.request(LOAD, 1, image)["ok"], "a new image is no twin"
        assert client.request(LOAD, 1, twin)["ok"]
        assert client.request(LOAD, 1, twin)["ok"], "it is there already"
        assert "no patch" in client.request(LOAD, 0, twin)["reason"]
        assert client.request(LOAD, 0, image)["ok"]
        assert client.request(STOP, 2_000_000)["ok"]
        assert client.request(COMMIT)["ok"]
        client.close()
        child.send("x\n")
        child.expect("^new 2 2 2$")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a program to others that runs as root")
def test_no_storm_in_a_program_with_more_rights_than_its_user(pair: tuple[Path, Path]) -> None:
    """It would execute, with these rights, what the user's environment leads to."""
    with tempfile.TemporaryDirectory() as name:
        place, program = Path(name), Path(name, "program")
        place.chmod(0o777)
        shutil.copy(pair[0], program)
        program.chmod(0o4755)
        env = {"UPSTARE_STORM": "1", "UPSTARE_STORM_LOG": str(place / "log")}
        done = subprocess.run([program], input="x\n", capture_output=True, text=True, env=env, user=65534, check=True)
        assert (done.stdout, done.stderr) == ("old 1 1 1\nend 4 1\n", "")
        assert not (place / "log").exists()


def test_storm_has_the_twin_made(pair: tuple[Path, Path], tmp_path: Path) -> None:
    program, _ = pair
    log, bare = tmp_path / "storms", tmp_path / "bare"
    env = {**os.environ, "UPSTARE_STORM": "1", "UPSTARE_STORM_LOG": str(log)}
    done = subprocess.run([program], input="x\nx\n", capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "old 1 1 1\nold 2 2 2\nend 5 2\n" and done.stderr == ""
    assert storms(log) > 0
    run_build(["objcopy", "--remove-section", elf.SECTION_MAKER, program, bare], tmp_path)
    done = subprocess.run([bare], input="x\n", capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "old 1 1 1\nend 4 1\n"
    assert "upstare: no storm: the command that makes its resume clones is not in the executable" in done.stderr
