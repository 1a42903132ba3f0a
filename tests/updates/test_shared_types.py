"""A type that changes and lies in shared memory is refused by name, with where it is mapped and its definitions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import build_file

HEAD = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>
EXTRA
struct board {
  int requests;
  MEMBER
};

"""
TAIL = """
int main(void) {
  struct board *board = make();
  for (;;) {
    printf("VERSION %d\\n", board->requests++);
    usleep(5000);
  }
}
"""
MAP = "mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, {}, {}, 0)"
ANONYMOUS = MAP.format("MAP_SHARED | MAP_ANONYMOUS", "-1")
FIRST_LINE = 14  # of what is between HEAD and TAIL, in the old version

#: What makes the segment, the line of it that maps, and what is said of that line.
PROGRAMS = {
    "anonymous": (f"static struct board *make(void) {{\n  return {ANONYMOUS};\n}}", 1, "mmap"),
    "posix": (
        "static struct board *make(void) {\n"
        '  int fd = shm_open("/board", O_RDWR | O_CREAT, 0600);\n'
        "  if (ftruncate(fd, 4096) != 0) return NULL;\n"
        f"  struct board *made = {MAP.format('MAP_SHARED', 'fd')};\n  return made;\n}}",
        3,
        "mmap",
    ),
    "sysv": (
        "static struct board *make(void) {\n  int id = shmget(IPC_PRIVATE, 4096, 0600);\n"
        "  return (struct board *)shmat(id, NULL, 0);\n}",
        2,
        "shmat",
    ),
    "flags-that-nobody-knows": (
        f"static int flags;\nstatic struct board *make(void) {{\n  return {MAP.format('flags', '-1')};\n}}", 2, "mmap"
    ),
    "by-way-of-a-variable": (
        f"static void *memory;\nstatic struct board *make(void) {{\n  memory = {ANONYMOUS};\n"
        "  return (struct board *)((char *)memory + 64);\n}",
        2,
        "mapped by mmap",
    ),
    "by-way-of-a-function": (
        f"static void *allocate(void) {{\n  void *memory = {ANONYMOUS};\n  return memory;\n}}\n"
        "static struct board *make(void) {\n  return allocate();\n}",
        1,
        "mapped by mmap",
    ),
    "by-way-of-an-argument": (
        "static struct board *take(struct board *board) {\n  return board;\n}\n"
        f"static struct board *make(void) {{\n  return take({ANONYMOUS});\n}}",
        4,
        "mmap",
    ),
    "by-way-of-a-member": (
        f"static struct {{ char *memory; }} all;\nstatic struct board *make(void) {{\n  all.memory = {ANONYMOUS};\n"
        "  return (struct board *)all.memory;\n}",
        2,
        "mapped by mmap",
    ),
}


def make_patch(program: str, folder: Path) -> tuple[tool.Result, Path]:
    built = []
    for version, extra, member in (("old", "", "int failures;"), ("new", "#include <time.h>\n", "long failures;")):
        text = (HEAD + program + TAIL).replace("VERSION", version).replace("EXTRA", extra).replace("MEMBER", member)
        (folder / f"{version}.c").write_text(text)
        built.append(build_file(folder / f"{version}.c", folder / version / "program"))
    return tool.patch(*built, folder / "x.upatch"), folder / "x.upatch"


@pytest.mark.parametrize(("program", "line", "said"), PROGRAMS.values(), ids=list(PROGRAMS))
def test_named_with_its_places(program: str, line: int, said: str, tmp_path: Path) -> None:
    made, patch = make_patch(program, tmp_path)
    tool.expect(made, 3, "refused")
    assert not patch.exists()
    (refusal,) = made.data["refusals"]
    assert refusal["subject"] == "struct board"
    assert refusal["text"] == (
        "its layout changes (8 -> 16 bytes), and objects of it are in shared memory, which cannot be transformed yet"
    )
    assert (refusal["old"], refusal["new"]) == ("program.c:9", "program.c:10")
    places = [place for place in refusal["details"] if place.startswith(f"program.c:{FIRST_LINE + line}: {said}")]
    assert len(places) == 1, refusal["details"]


ON_THE_HEAP = [
    (
        "static struct board *take(struct board *board) {\n  return board;\n}\n"
        "static struct board *make(void) {\n  return take(malloc(sizeof(struct board)));\n}",
        5, "malloc(sizeof(struct board))",
    ),
    (
        "static struct board *make(void) {\n  struct board *made = NULL;\n"
        "  return posix_memalign((void **)&made, 64, sizeof *made) == 0 ? made : NULL;\n}",
        3, "&made",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "line", "said"), ON_THE_HEAP, ids=["argument", "address"])
def test_memory_may_be_on_the_heap(make: str, line: int, said: str, tmp_path: Path) -> None:
    made, _ = make_patch(f"#include <stdlib.h>\n{make}", tmp_path)
    (refusal,) = tool.expect(made, 3, "refused")["refusals"]
    assert "objects of it may be on the heap" in refusal["text"]
    assert refusal["details"] == [f"program.c:{FIRST_LINE + line}: {said}"]


def test_private_memory_is_the_heap(tmp_path: Path) -> None:
    private = MAP.format("MAP_PRIVATE | MAP_ANONYMOUS", "-1")
    made, _ = make_patch(f"static struct board *make(void) {{\n  return {private};\n}}", tmp_path)
    (refusal,) = tool.expect(made, 3, "refused")["refusals"]
    assert "objects of it may be on the heap" in refusal["text"]
