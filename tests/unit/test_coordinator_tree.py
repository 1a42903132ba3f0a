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


EVERY_KIND = """
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void rest(long microseconds) {
  struct timespec time = {0, microseconds * 1000};
  nanosleep(&time, NULL);
}

static pid_t spawned(char **arguments) {
  pid_t child;
  return posix_spawn(&child, arguments[0], NULL, NULL, arguments, environ) == 0 ? child : -1;
}

static pid_t forked(char **arguments) {
  pid_t child = fork();
  if (child != 0) return child;
  if (arguments == NULL) exit(7);
  execv(arguments[0], arguments);
  _exit(9);
}

static pid_t vforked(char **arguments) {
  pid_t child = vfork();
  if (child == 0) {
    execv(arguments[0], arguments);
    _exit(9);
  }
  return child;
}

/* Children of every kind, of this program and of another one, each of which has to be there, and ends with 7. */
int main(int count, char **arguments) {
  char *again[] = {"/proc/self/exe", "guest", NULL}, *other[] = {"/bin/sh", "-c", "exit 7", NULL};
  if (count > 1) {
    rest(10000);
    return 7;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  again[0] = arguments[0];
  for (unsigned long number = 0;; number++) {
    pid_t child = -1;
    switch (number % 6) {
      case 0: child = forked(NULL); break;
      case 1: child = forked(again); break;
      case 2: child = forked(other); break;
      case 3: child = vforked(again); break;
      case 4: child = vforked(other); break;
      case 5: child = spawned(number % 12 == 5 ? again : other); break;
    }
    int status = 0;
    if (child < 0) printf("no child of kind %lu\\n", number % 6);
    while (number % 3 != 0 && waitpid(-1, &status, WNOHANG) > 0)
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) printf("lost: %x\\n", status);
    printf("%lu VERSION\\n", number);
    rest(2000);
  }
}
"""


def test_children_of_every_kind(tmp_path: Path) -> None:
    built, patch = build_pair(EVERY_KIND, tmp_path)
    with running([built]) as program:
        program.expect("^60 old")
        for _ in range(TIMES):
            for command, now in ((("apply", patch), "new"), (("rollback",), "old")):
                tool.expect(tool.upstare(*command, "--pid", program.pid, "--tree"), outcome="updated")
                program.drain()
                seen = len(program.lines)
                program.expect(f"[0-9]+ {now}$", seen + 24)
                said = program.lines[seen:]
                assert all(line.endswith(now) for line in said), said
        numbers = [int(line.split()[0]) for line in program.lines if line.split()[0].isdecimal()]
        assert numbers == list(range(len(numbers)))
        assert [line for line in program.lines if not line.split()[0].isdecimal()] == []


EXECUTES = """
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  int status = -1;
  if (fork() == 0) {
    execl("/bin/sh", "sh", "-c", "kill -63 $$; exit 7", (char *)NULL);
    _exit(9);
  }
  wait(&status);
  printf("%x VERSION\\n", status);
  return 0;
}
"""


def test_program_that_is_executed_survives_the_signal(tmp_path: Path) -> None:
    """It comes for the program that the process had a moment ago."""
    built, _ = build_pair(EXECUTES, tmp_path)
    with running([built]) as program:
        program.expect("^700 old")
