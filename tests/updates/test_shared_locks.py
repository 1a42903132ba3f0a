"""Locks in shared memory work on when all processes that use them are updated, with somebody who waits for each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import build_pair
from tests.support.process import Program, running, wait_until

SOURCE = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

struct shared {
  pthread_mutex_t mutex, robust;
  sem_t semaphore;
  pthread_mutex_t guard;
  pthread_cond_t freed; /* free has become 1 */
  int free;
  volatile int turns, parent_has_it; /* the locks are not fair: each lets the other have its turn */
};

static struct shared *shared;
static sem_t *named;
static const char *lock;

static void *segment(const char *where) {
  int fd, id;
  void *memory = NULL;
  if (strcmp(where, "anonymous") == 0)
    return mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (strcmp(where, "posix") == 0) {
    char name[64];
    snprintf(name, sizeof name, "/upstare-locks-%d", (int)getpid());
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (ftruncate(fd, sizeof(struct shared)) != 0) exit(2);
    memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shm_unlink(name);
  }
  if (strcmp(where, "sysv") == 0) {
    id = shmget(IPC_PRIVATE, sizeof(struct shared), 0600);
    memory = shmat(id, NULL, 0);
    shmctl(id, IPC_RMID, NULL);
  }
  return memory;
}

static int take(void) {
  if (strcmp(lock, "mutex") == 0) return pthread_mutex_lock(&shared->mutex);
  if (strcmp(lock, "robust") == 0) return pthread_mutex_lock(&shared->robust);
  if (strcmp(lock, "condition") == 0) {
    pthread_mutex_lock(&shared->guard);
    while (!shared->free) pthread_cond_wait(&shared->freed, &shared->guard);
    shared->free = 0;
    return pthread_mutex_unlock(&shared->guard);
  }
  return sem_wait(strcmp(lock, "named") == 0 ? named : &shared->semaphore);
}

static void give(void) {
  if (strcmp(lock, "mutex") == 0) pthread_mutex_unlock(&shared->mutex);
  if (strcmp(lock, "robust") == 0) pthread_mutex_unlock(&shared->robust);
  if (strcmp(lock, "semaphore") == 0) sem_post(&shared->semaphore);
  if (strcmp(lock, "named") == 0) sem_post(named);
  if (strcmp(lock, "condition") == 0) {
    pthread_mutex_lock(&shared->guard);
    shared->free = 1;
    pthread_cond_signal(&shared->freed);
    pthread_mutex_unlock(&shared->guard);
  }
}

/* The child: waits for the lock whenever it has had it. */
static void wait_for_it(int turns) {
  for (;;) {
    printf("child waits VERSION\\n");
    int error = take();
    printf("child has it, %d VERSION\\n", ++turns);
    shared->turns = turns;
    if (error == EOWNERDEAD) printf("child recovers %d VERSION\\n", pthread_mutex_consistent(&shared->robust));
    while (shared->parent_has_it) usleep(1000);
    give();
    while (!shared->parent_has_it) usleep(1000);
  }
}

int main(int argc, char **argv) {
  pthread_mutexattr_t kind;
  pthread_condattr_t condition;
  char line[16], name[64];
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc != 3) return 1;
  shared = segment(argv[1]);
  lock = argv[2];
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &kind);
  pthread_mutex_init(&shared->guard, &kind);
  pthread_condattr_init(&condition);
  pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->freed, &condition);
  shared->free = 1;
  pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->robust, &kind);
  sem_init(&shared->semaphore, 1, 1);
  snprintf(name, sizeof name, "/upstare-named-%d", (int)getpid());
  named = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
  sem_unlink(name);
  take();
  shared->parent_has_it = 1;
  printf("parent has it VERSION\\n");
  if (fork() == 0) wait_for_it(0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (line[0] == 'd') _exit(0); /* with the lock */
    int before = shared->turns;
    shared->parent_has_it = 0;
    give();
    while (shared->turns == before) usleep(1000);
    take();
    shared->parent_has_it = 1;
    printf("parent has it again VERSION\\n");
  }
}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build_pair(SOURCE, tmp_path_factory.mktemp("locks"))


@pytest.fixture
def started(pair: tuple[Path, Path], request: pytest.FixtureRequest) -> Iterator[tuple[Program, int]]:
    """The program, where the parent has the lock and the child waits for it, and the child's number."""
    with running(["setsid", pair[0], *request.param]) as program:
        try:
            program.expect("parent has it old")
            program.expect("child waits old")
            child = int(Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text())
            wait_until(lambda: "futex" in Path(f"/proc/{child}/wchan").read_text(), "a child that waits for the lock")
            yield program, child
        finally:
            os.killpg(program.pid, signal.SIGKILL)


USES = [
    (segment, lock)
    for segment in ("anonymous", "posix", "sysv")
    for lock in ("mutex", "robust", "semaphore", "condition")
]


@pytest.mark.parametrize("started", [*USES, ("anonymous", "named")], ids="-".join, indirect=True)
def test_lock_is_passed_on(pair: tuple[Path, Path], started: tuple[Program, int]) -> None:
    program, child = started
    turns = 0
    for version, command in (("new", ("apply", pair[1])), ("old", ("rollback",)), ("new", ("apply", pair[1]))):
        done = tool.expect(tool.upstare(*command, "--pid", program.pid, "--tree"), outcome="updated")
        assert {each["pid"] for each in done["processes"]} == {program.pid, child}
        program.drain()
        before = len(program.lines)
        assert not [line for line in program.lines if line.startswith(f"child has it, {turns + 1}")], program.log()
        program.send("go\n")
        turns += 1
        program.expect(f"child has it, {turns} {version}", before)
        program.expect(f"parent has it again {version}", before)
        program.expect(f"child waits {version}", before)
        wait_until(lambda: "futex" in Path(f"/proc/{child}/wchan").read_text(), "a child that waits for the lock")


@pytest.mark.parametrize("started", [("posix", "robust"), ("sysv", "robust")], ids="-".join, indirect=True)
def test_owner_dies_after_the_update(pair: tuple[Path, Path], started: tuple[Program, int]) -> None:
    program, _ = started
    tool.expect(tool.upstare("apply", pair[1], "--pid", program.pid, "--tree"), outcome="updated")
    program.send("die\n")
    program.expect("child has it, 1 new")
    program.expect("child recovers 0 new")
