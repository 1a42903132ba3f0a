"""Who shares memory with an updated process takes part in the update, or it is refused."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import build_pair
from tests.support.process import Program, running
from upstare.coordinator.apply import apply
from upstare.coordinator.outcome import UpdateFailed
from upstare.coordinator.protocol import Op, Session

SOURCE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static void *from(int fd, int access) {
  if (ftruncate(fd, 4096) != 0 && access != PROT_READ) exit(2);
  return mmap(NULL, 4096, access, MAP_SHARED, fd, 0);
}

static void *share(const char *how, const char *name) {
  if (strcmp(how, "anonymous") == 0) return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (strcmp(how, "memfd") == 0) return from(memfd_create(name, 0), PROT_READ | PROT_WRITE);
  if (strcmp(how, "posix") == 0) return from(shm_open(name, O_RDWR | O_CREAT, 0600), PROT_READ | PROT_WRITE);
  if (strcmp(how, "file") == 0) return from(open(name, O_RDWR | O_CREAT, 0600), PROT_READ | PROT_WRITE);
  if (strcmp(how, "reader") == 0) return from(shm_open(name, O_RDONLY, 0600), PROT_READ);
  if (strcmp(how, "constants") == 0) return from(open(name, O_RDONLY), PROT_READ);
  if (strcmp(how, "sysv") == 0) {
    int segment = shmget(atoi(name), 4096, IPC_CREAT | 0600);
    void *memory = shmat(segment, NULL, 0);
    shmctl(segment, IPC_RMID, NULL); /* when the last one lets go */
    return memory;
  }
  return NULL;
}

/* Does as it is told: fork (a child that stays), brief (one that soon ends). */
int main(int argc, char **argv) {
  char line[80];
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc != 3 || share(argv[1], argv[2]) == MAP_FAILED) return 1;
  printf("ready\\n");
  while (fgets(line, sizeof line, stdin) != NULL) {
    pid_t child = fork();
    if (child == 0)
      for (;;) {
        usleep(line[0] == 'b' ? 50000 : 1000000);
        if (line[0] == 'b') _exit(0);
      }
    printf("child %d VERSION\\n", child);
  }
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build_pair(SOURCE, tmp_path_factory.mktemp("sharing"))


@pytest.fixture
def name() -> Iterator[str]:
    """Of a segment that nobody else has."""
    chosen = f"/upstare-test-{os.getpid()}"
    yield chosen
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"/dev/shm{chosen}")


@contextlib.contextmanager
def sharing(executable: Path, how: str, name: str) -> Iterator[Program]:
    """The program, in a session of its own: nothing of it is left afterwards."""
    with running(["setsid", executable, how, name]) as program:
        program.expect("ready")
        try:
            yield program
        finally:
            os.killpg(program.pid, signal.SIGKILL)


def fork(program: Program, how: str = "fork") -> int:
    """The child that the program has by now."""
    seen = len(program.lines)
    program.send(f"{how}\n")
    program.expect(r"^child \d+", seen)
    return int(program.lines[-1].split()[1])


SEGMENTS = {
    "anonymous": ("anonymous", "-", "anonymous shared memory"),
    "memfd": ("memfd", "scoreboard", "the memory file scoreboard"),
    "posix": ("posix", "", r"/dev/shm/upstare-test-\d+"),
    "sysv": ("sysv", "4919", "the System V segment of key 0x00001337"),
    "file": ("file", "file", r"/\S+/file"),
}


@pytest.mark.parametrize(("how", "what", "said"), SEGMENTS.values(), ids=list(SEGMENTS))
def test_process_of_the_program(
    pair: tuple[Path, Path], name: str, tmp_path: Path, how: str, what: str, said: str
) -> None:
    what = str(tmp_path / what) if how == "file" else what or name
    with sharing(pair[0], how, what) as program:
        child = fork(program)
        alone = tool.expect(tool.apply(pair[1], program.pid), 3, "refused")
        assert re.fullmatch(
            rf"process {child} \(program\) shares {said} with process {program.pid} \(program\), "
            "and is no part of the update",
            alone["reason"],
        )
        assert alone["hint"] == f"update them together: --tree, --name, or also --pid {child}"
        tool.expect(tool.upstare("apply", pair[1], "--pid", program.pid, "--tree"), outcome="updated")
        assert "shares" in tool.expect(tool.rollback(program.pid), 3, "refused")["reason"]
        tool.expect(tool.upstare("rollback", "--pid", program.pid, "--pid", child), outcome="updated")


def test_process_of_another_program(pair: tuple[Path, Path], name: str) -> None:
    with sharing(pair[0], "posix", name) as program, open(f"/dev/shm{name}", "rb") as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
            refused = tool.expect(tool.apply(pair[1], program.pid), 3, "refused")
        assert refused["reason"].startswith(f"process {os.getpid()} (")
        assert f"shares /dev/shm{name} with process {program.pid} (program)" in refused["reason"]
        assert "a process of another program cannot take part: end it" in refused["hint"]
        tool.expect(tool.apply(pair[1], program.pid), outcome="updated")


def test_reader_of_what_another_writes(pair: tuple[Path, Path], name: str) -> None:
    with open(f"/dev/shm{name}", "w+b") as file:
        file.truncate(4096)
        with sharing(pair[0], "reader", name) as program:
            with mmap.mmap(file.fileno(), 0):
                assert "shares" in tool.expect(tool.apply(pair[1], program.pid), 3, "refused")["reason"]
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):  # nobody writes: nothing is shared
                tool.expect(tool.apply(pair[1], program.pid), outcome="updated")


def test_files_have_a_format_of_their_own(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A file that another program maps, and one that processes of the program only read."""
    path = tmp_path / "data"
    path.write_bytes(bytes(4096))
    with sharing(pair[0], "file", str(path)) as program, open(path, "r+b") as file, mmap.mmap(file.fileno(), 0):
        tool.expect(tool.apply(pair[1], program.pid), outcome="updated")
    with sharing(pair[0], "constants", str(path)) as program:
        fork(program)
        tool.expect(tool.apply(pair[1], program.pid), outcome="updated")


def test_who_runs_the_new_version_already(pair: tuple[Path, Path], name: str) -> None:
    new = pair[0].parent.parent / "new" / "program"
    with sharing(pair[0], "posix", name) as before, sharing(new, "posix", name) as after:
        assert "shares" in tool.expect(tool.apply(pair[1], before.pid), 3, "refused")["reason"]
        both = tool.upstare("apply", pair[1], "--pid", before.pid, "--pid", after.pid)
        assert [each["pid"] for each in tool.expect(both, outcome="updated")["processes"]] == [before.pid]


@pytest.mark.parametrize("how", ["fork", "brief"])
def test_child_that_comes_late(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Forked right before the stop, when all processes have been looked at: refused, unless it soon ends."""
    send = Session.send
    children: list[int] = []
    with sharing(pair[0], "anonymous", "-") as program:

        def fork_first(session: Session, op: Op, *rest: int, **more: int) -> None:
            if op is Op.STOP:
                children.append(fork(program, how))
            send(session, op, *rest, **more)

        monkeypatch.setattr(Session, "send", fork_first)
        if how == "fork":
            with pytest.raises(UpdateFailed, match=r"shares anonymous shared memory with") as refused:
                apply(pair[1], [program.pid])
            assert f"process {children[0]} (program)" in str(refused.value)
        else:
            monkeypatch.setattr("upstare.coordinator.apply.SHARING_PATIENCE", 10.0)
            assert apply(pair[1], [program.pid]).outcome == "updated"
        monkeypatch.undo()
        fork(program)
        program.expect(rf"child \d+ {'old' if how == 'fork' else 'new'}", len(program.lines) - 1)


BORROWER = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static char stack[1 << 16] __attribute__((aligned(16)));

static int wait_for_ever(void *unused) {
  for (;;) syscall(SYS_pause);
  return unused != NULL;
}

int main(void) {
  char line[80];
  setvbuf(stdout, NULL, _IOLBF, 0);
  pid_t child = clone(wait_for_ever, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
  printf("child %d VERSION\\n", child);
  while (fgets(line, sizeof line, stdin) != NULL) printf("VERSION\\n");
  kill(child, SIGKILL);
  return 0;
}
"""


def test_process_that_works_in_the_memory_of_another(tmp_path: Path) -> None:
    """What the C library does for posix_spawn, without an end to it."""
    built, patch = build_pair(BORROWER, tmp_path)
    with running([built]) as program:
        program.expect(r"^child \d+ old")
        child = int(program.lines[-1].split()[1])
        whole = tool.expect(tool.upstare("apply", patch, "--pid", program.pid, "--tree"), 3, "refused")
        expected = f"process {child} (program) works in the memory of process {program.pid} (program)"
        assert whole["reason"] == f"{expected} and cannot be stopped"
        alone = tool.expect(tool.apply(patch, child), 3, "refused")
        expected = f"process {child} (program) works in the memory of process {program.pid}"
        assert alone["reason"] == f"{expected} until it executes a program (vfork)"
        assert alone["hint"] == f"update process {program.pid}"
        program.send("\n")
        program.expect("^old")
        os.kill(child, signal.SIGKILL)
        tool.expect(tool.upstare("apply", patch, "--pid", program.pid, "--tree"), outcome="updated")
