"""A tree of real processes, updated together while children come and go."""

from __future__ import annotations

from pathlib import Path

from tests.support import tool
from tests.support.build import build_pair
from tests.support.process import running

WORKERS = 3
TIMES = 5

SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void rest(long microseconds) {
  struct timespec time = {0, microseconds * 1000};
  nanosleep(&time, NULL);
}

static int work(int number) {
  for (;;) {
    rest(20000);
    printf("worker %d VERSION\\n", number);
  }
}

/* Three workers that stay, one of them made behind libc's back, and a child every few milliseconds that does not. */
int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int number = 0; number < 3; number++)
    if ((number == 2 ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork()) == 0) return work(number);
  for (;;) {
    if (fork() == 0) {
      rest(15000);
      exit(0);
    }
    rest(5000);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    printf("parent VERSION\\n");
  }
}
"""


def test_tree_of_processes(tmp_path: Path) -> None:
    built, patch = build_pair(SOURCE, tmp_path)
    everybody = ["parent", *(f"worker {number}" for number in range(WORKERS))]
    with running([built]) as program:
        for who in everybody:
            program.expect(f"{who} old")
        for _ in range(TIMES):
            for command, now, before in ((("apply", patch), "new", "old"), (("rollback",), "old", "new")):
                done = tool.expect(tool.upstare(*command, "--pid", program.pid, "--tree"), outcome="updated")
                assert len(done["processes"]) > WORKERS
                program.drain()
                seen = len(program.lines)
                for who in everybody:
                    program.expect(f"{who} {now}", seen)
                assert not [line for line in program.lines[seen:] if line.endswith(before)]
        for worker in tool.status(program.pid).data["processes"]:
            assert [entry["outcome"] for entry in worker["history"]] == ["updated", "rolled_back"] * TIMES
