"""Messages between processes whose format changes: asked about, and waited for until none is on its way."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import build_file
from tests.support.process import Program, running

SOURCE = """\
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>
EXTRA
struct job {
  int number;
  MEMBER
  int check;
};

static int ends[2];

int bytes_on_their_way(void) {
  int count = 0;
  ioctl(ends[0], FIONREAD, &count);
  return count;
}

static void put(const void *data, size_t size) {
  if (write(ends[1], data, size) != (ssize_t)size) exit(1);
}

static void send_job(int number) {
  struct job job = {.number = number};
  job.check = number ^ (int)sizeof job;
  put(&job, sizeof job);
}

static void receive_job(void) {
  struct job job;
  if (read(ends[0], &job, sizeof job) != sizeof job) exit(2);
  printf("VERSION %s %d\\n", job.check == (job.number ^ (int)sizeof job) ? "job" : "MIXED", job.number);
}

/* The parent sends bursts of jobs; the child reads them a little slower: "steady", never: "stuck", or late: "late". */
int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc != 2 || pipe(ends) != 0) return 1;
  const char *how = argv[1];
  if (fork() == 0) {
    struct pollfd ready = {ends[0], POLLIN, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      usleep(strcmp(how, "stuck") == 0 ? 100000 : 2000);
      if (strcmp(how, "stuck") == 0) continue;
      if (strcmp(how, "late") == 0 && bytes_on_their_way() < 20 * (int)sizeof(struct job)) continue;
      if (poll(&ready, 1, 1000) == 1) receive_job();
    }
  }
  for (int number = 0;; number++) {
    if (strcmp(how, "stuck") != 0 || number < 10) send_job(number);
    usleep(strcmp(how, "late") == 0 ? 2000 : number % 10 == 9 ? 60000 : 200);
  }
}
"""
HOOK = """
extern int bytes_on_their_way(void);

int upstare_in_flight_job(struct upstare_context *context) {
  (void)context;
  return bytes_on_their_way();
}
"""
COMPATIBLE = '[messages]\n"struct job" = "compatible"\n'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("messages")
    result = []
    for version, extra, member in (("old", "", ""), ("new", "#include <stdint.h>\n", "int64_t sent;")):
        text = SOURCE.replace("VERSION", version).replace("EXTRA", extra).replace("MEMBER", member)
        (folder / f"{version}.c").write_text(text)
        result.append(build_file(folder / f"{version}.c", folder / version / "program"))
    return result[0], result[1]


@pytest.fixture(scope="module")
def patches(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The patch that waits, and the one that does not."""
    folder = tmp_path_factory.mktemp("patches")
    (folder / "hook.c").write_text(HOOK)
    (folder / "compatible.toml").write_text(COMPATIBLE)
    tool.expect(tool.patch(*built, folder / "waits", "--transformers", folder / "hook.c"))
    tool.expect(tool.patch(*built, folder / "goes", "--mapping", folder / "compatible.toml"))
    return {"waits": folder / "waits", "goes": folder / "goes"}


@pytest.fixture
def program(built: tuple[Path, Path], request: pytest.FixtureRequest) -> Iterator[Program]:
    with running([built[0], request.param]) as started:
        if request.param != "stuck":
            started.expect("old job 30")
        yield started


def update(program: Program, *command: str | Path, timeout: float = 20.0) -> tool.Result:
    return tool.upstare(*command, "--pid", program.pid, "--tree", "--timeout", timeout)


def test_question(built: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "x.upatch"
    made = tool.patch(*built, out)
    (question,) = tool.expect(made, 3, "undecided")["decisions"]
    line = SOURCE.splitlines().index("struct job {") + 1
    sent = SOURCE.splitlines().index("  put(&job, sizeof job);") + 1
    received = SOURCE.splitlines().index("  if (read(ends[0], &job, sizeof job) != sizeof job) exit(2);") + 1
    assert question["subject"] == "struct job"
    assert question["text"] == (
        f"messages of this type are sent by write (program.c:{sent}), received by read (program.c:{received}); "
        "its layout changes (8 -> 24 bytes), and some may be on their way when the update happens"
    )
    assert (question["old"], question["new"]) == (f"program.c:{line}", f"program.c:{line + 1}")
    assert question["hint"] == (
        "write upstare_in_flight_job, which counts them (see --transformers)\n"
        'or, if both versions understand both formats: [messages] "struct job" = "compatible"'
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ('[messages]\n"struct job" = "drain"', 'the only answer is "compatible", not "drain"'),
        (f'{COMPATIBLE}"struct jbo" = "compatible"', "struct jbo: .* speaks of messages of this type, but none are"),
    ],
    ids=["another-answer", "another-type"],
)
def test_mapping_says_something_else(built: tuple[Path, Path], tmp_path: Path, mapping: str, said: str) -> None:
    (tmp_path / "m.toml").write_text(mapping)
    made = tool.upstare("patch", *built, "-o", tmp_path / "x", "--mapping", tmp_path / "m.toml", as_json=False)
    assert re.search(said, made.out + made.err), made
    assert made.exit_code == (2 if "drain" in mapping else 0)


def test_hook_of_another_form(built: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "hook.c").write_text("\nvoid upstare_in_flight_job(void) {\n}\n")
    made = tool.patch(*built, tmp_path / "x", "--transformers", tmp_path / "hook.c")
    assert "hook.c:2: error: upstare_in_flight_job is no transformer" in tool.expect(made, 2)["reason"]
    assert "int upstare_in_flight_job(struct upstare_context *context)" in made.data["hint"]


@pytest.mark.parametrize("program", ["stuck"], indirect=True)
def test_always_something_in_flight(patches: dict[str, Path], program: Program) -> None:
    begun = time.monotonic()
    refused = tool.expect(update(program, "apply", patches["waits"], timeout=1.0), 3, "refused")
    assert time.monotonic() - begun > 0.8
    assert re.fullmatch(
        r"process \d+ \(program\): messages of type job are still on their way: upstare_in_flight_job\(\) says 80",
        refused["reason"],
    )
    assert refused["hint"].startswith("the old version runs on; try again when less is on its way")
    assert {process["outcome"] for process in refused["processes"]} == {"untouched"}
    (process,) = tool.status(program.pid).data["processes"]
    assert len(process["history"]) < 4  # however often it was tried
    assert {entry["outcome"] for entry in process["history"]} == {"refused"}
    assert any("upstare_in_flight_job() says 80" in entry["reason"] for entry in process["history"])
    tool.expect(update(program, "apply", patches["goes"]), outcome="updated")


@pytest.mark.parametrize("program", ["steady"], indirect=True)
def test_waits_until_nothing_is_in_flight(patches: dict[str, Path], program: Program) -> None:
    """There and back over and over: a receiver never reads a message of the other version."""
    for _ in range(8):
        for command, version in ((("apply", patches["waits"]), "new"), (("rollback",), "old")):
            tool.expect(update(program, *command), outcome="updated")
            program.drain()
            program.expect(f"{version} job", len(program.lines))
    numbers = [int(line.split()[2]) for line in program.lines]
    assert numbers == list(range(len(numbers)))
    assert not [line for line in program.lines if "MIXED" in line]


@pytest.mark.parametrize("program", ["late"], indirect=True)
def test_formats_mix_without_it(patches: dict[str, Path], program: Program) -> None:
    """What the other test looks for is found where nobody waits."""
    tool.expect(update(program, "apply", patches["goes"]), outcome="updated")
    program.expect("new MIXED")
    assert tool.expect(update(program, "rollback"), outcome="updated")["to_version"] == "old"
