"""Processes under seccomp filters: updated if the filter allows it, else left alone with the call named."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import build_pair
from tests.support.process import running
from upstare.coordinator.seccomp import NEEDED, TRIED, Instruction, actions, forbidden_calls

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050001
LOAD_NUMBER: Instruction = (0x20, 0, 0, 0)


def equal(number: int, if_true: int, if_false: int) -> Instruction:
    return (0x15, if_true, if_false, number)


def say(action: int) -> Instruction:
    return (0x06, 0, 0, action)


def only_forbidding(number: int, action: int = KILL) -> list[Instruction]:
    return [LOAD_NUMBER, equal(number, 0, 1), say(action), say(ALLOW)]


def test_call_is_named() -> None:
    assert forbidden_calls([only_forbidding(9999)]) == []
    assert forbidden_calls([only_forbidding(NEEDED["socket"])]) == ["socket"]
    assert forbidden_calls([only_forbidding(NEEDED["mmap"]), only_forbidding(NEEDED["futex"])]) == ["futex", "mmap"]


def test_error_is_harmless_where_it_is_expected() -> None:
    assert forbidden_calls([only_forbidding(TRIED["clone3"], ERRNO)]) == []
    assert forbidden_calls([only_forbidding(TRIED["clone3"])]) == ["clone3"]
    assert forbidden_calls([only_forbidding(NEEDED["connect"], ERRNO)]) == ["connect"]


def test_arguments_are_not_known() -> None:
    first_argument: Instruction = (0x20, 0, 0, 16)
    program = [LOAD_NUMBER, equal(41, 0, 3), first_argument, equal(1, 1, 0), say(KILL), say(ALLOW)]
    assert actions(program, 41) == {KILL, ALLOW}
    assert actions(program, 42) == {ALLOW}


def test_arithmetic_and_memory() -> None:
    program: list[Instruction] = [
        LOAD_NUMBER, (0x04, 0, 0, 5), (0x02, 0, 0, 3), (0x00, 0, 0, 7), (0x61, 0, 0, 3), (0x87, 0, 0, 0),
        equal(46, 0, 1), say(KILL), say(ALLOW),
    ]  # fmt: skip
    assert actions(program, 41) == {KILL}
    assert actions(program, 40) == {ALLOW}


SOURCE = """
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("begun\\n");
  for (int i = 1; i < count; i++) {
    struct sock_filter filter[] = {{0x20, 0, 0, 0}, {0x15, 0, 1, (unsigned)atoi(words[i])},
                                   {0x06, 0, 0, SECCOMP_RET_KILL_PROCESS}, {0x06, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog program = {4, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
  }
  for (;;) {
    struct timespec time = {0, 20000000};
    nanosleep(&time, NULL);
    printf("VERSION\\n");
  }
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seccomp")
    build_pair(SOURCE, folder)
    return folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the filters of another process")
@pytest.mark.parametrize("name", ["futex", "socket", "pwrite64", "exit", "clone3"])
def test_process_that_would_be_killed_is_left_alone(folder: Path, name: str) -> None:
    number = {**NEEDED, **TRIED}[name]
    with running([folder / "old" / "program", str(number)]) as program:
        program.expect("old")
        refused = tool.expect(tool.apply(folder / "x.upatch", program.pid), 3, "refused")
        assert f"under a seccomp filter that does not allow the system call {name}" in refused["reason"]
        program.expect("old", len(program.lines))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read the filters of another process")
def test_filter_that_allows_an_update(folder: Path) -> None:
    """Everything that is not in the list is forbidden, with death: the list is complete."""
    others = sorted(set(range(460)) - {*NEEDED.values(), *TRIED.values(), 1, 35, 230, 157, 317, 56, 231})
    with running([folder / "old" / "program", *map(str, others)]) as program:
        program.expect("old")
        tool.expect(tool.apply(folder / "x.upatch", program.pid), outcome="updated")
        program.expect("new", len(program.lines))
        assert tool.status(program.pid).data["processes"][0]["version"] == "new"
        tool.expect(tool.rollback(program.pid), outcome="updated")
        program.expect("old", len(program.lines))


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_only_root_can_read_filters(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's folders are root's alone
        os.chmod(open_to_all, 0o755)
        program = shutil.copy(folder / "old" / "program", open_to_all)
        with running([program, "9999"], user=65534) as child:
            child.expect("old")
            done = tool.upstare_as(65534, "apply", folder / "x.upatch", "--pid", child.pid)
            assert done.exit_code == 3 and "which only root can read" in done.err, done


def test_structure_of_an_instruction() -> None:
    assert list(struct.iter_unpack("<HBBI", bytes.fromhex("2000000004000000"))) == [(0x20, 0, 0, 4)]
