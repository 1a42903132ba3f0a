"""An update that is called off while threads are being stopped lets them go at once, whoever ended it and how."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import build_pair
from tests.support.process import Program, running, wait_until

LONG = 20.0  # seconds that the update would wait
SOON = 3.0

SOURCE = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *lookup(void *unused) {
  while (system("sleep 30") == 0) continue;
  return unused;
}

int main(void) {
  pthread_t thread;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (pthread_create(&thread, NULL, lookup, NULL) != 0) return 1;
  for (;;) {
    struct timespec time = {0, 10000000};
    nanosleep(&time, NULL);
    printf("VERSION\\n");
  }
}
"""


@pytest.fixture(scope="module")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patch, with the executable ``old/program`` that it is for beside it."""
    return build_pair(SOURCE, tmp_path_factory.mktemp("stop"))[1]


@pytest.fixture
def program(patch: Path) -> Iterator[Program]:
    with running([patch.parent / "old" / "program"]) as target:
        target.expect("old")
        yield target


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_called_off(patch: Path, program: Program, number: signal.Signals) -> None:
    command = [*tool.UPSTARE, "apply", str(patch), "--pid", str(program.pid), "--timeout", str(LONG)]
    applying = subprocess.Popen(command, env=tool.environment(), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: stands_still(program), "the main thread stopped")
    assert applying.poll() is None
    os.kill(applying.pid, number)
    begin = time.monotonic()
    program.drain()
    program.expect("old", len(program.lines), SOON)
    _, errors = applying.communicate(timeout=SOON)
    assert time.monotonic() - begin < SOON
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert "interrupted; the old version runs on" in errors


def test_deadline_names_thread_call_and_caller(patch: Path, program: Program) -> None:
    result = tool.apply(patch, program.pid, timeout=0.5)
    assert (result.exit_code, result.data["outcome"]) == (5, "timed_out")
    assert "is in system(), called from lookup() at program.c:8" in result.data["reason"]
    assert result.data["processes"][0]["outcome"] == "untouched"
    program.drain()
    program.expect("old", len(program.lines), SOON)


def stands_still(program: Program) -> bool:
    """Whether the program, which prints a hundred lines a second, has printed none for a while."""
    program.drain()
    seen = len(program.lines)
    time.sleep(0.15)
    program.drain()
    return len(program.lines) == seen
