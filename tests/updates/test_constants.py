"""Constants of several units and of opaque code, on the way back, and what the patch maker says of them: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import C_FLAGS, build_file, run_build
from tests.support.process import running, storms
from tests.support.tool import UPSTARE

HEADER = """\
struct protocol { const char *name; int number; };
extern const struct protocol protocols[], nil;
const struct protocol *find(int number);
"""
TABLE = """\
#include <stddef.h>
#include "table.h"
const struct protocol nil = {"nil", 0}, protocols[] = {{"tcp", 6}, {"udp", 17}, {NULL, 0}};
const struct protocol *find(int number) {
  for (const struct protocol *p = protocols; p->name != NULL; p++) if (p->number == number) return p;
  return &nil;
}
"""
MAIN = """\
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
#include "table.h"
int main(void) {
  const struct protocol *udp = find(17), *none = find(1), *(*theirs)(void) = NULL;
  void *plugin = dlopen("./plugin.so", RTLD_NOW);
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (plugin != NULL) *(void **)&theirs = dlsym(plugin, "theirs");
  for (;;) {
    const char *fits = udp == protocols + 1 && none == &nil ? "same" : "different";
    if (find(1) != none || find(17) != udp) fits = "different";
    if (theirs != NULL && theirs() != protocols) fits = "different";
    printf("VERSION %s %d %s %s\\n", udp->name, (int)(udp - protocols), fits, theirs != NULL ? "with" : "without");
    usleep(5000);
  }
}
"""
PLUGIN = """\
#include "table.h"
const struct protocol *theirs(void) { return protocols; }
"""


def build_units(folder: Path, version: str, *more: str, table: str = TABLE) -> Path:
    """The program of two units, with a plug-in beside it."""
    there = folder / version
    there.mkdir()
    for name, text in {"table.h": HEADER, "table.c": table, "main.c": MAIN, "plugin.c": PLUGIN}.items():
        (there / name).write_text(text.replace("VERSION", version))
    command = [*UPSTARE, "cc", *C_FLAGS, *more, "main.c", "table.c", "-ldl", "-o", "program"]
    run_build(command, there, UPSTARE_VERSION=version)
    if "-rdynamic" in more:
        run_build(["cc", "-fPIC", "-shared", "plugin.c", "-o", "plugin.so"], there)
    return there / "program"


@pytest.mark.parametrize("plugin", [False, True])
def test_two_units_and_a_plugin(tmp_path: Path, plugin: bool) -> None:
    more = ["-rdynamic"] if plugin else []
    old, new = (build_units(tmp_path, version, *more) for version in ("old", "new"))
    made = tool.expect(tool.patch(old, new, tmp_path / "x.upatch"))
    assert made["changed"] == ["main.c:main"]
    assert not made["notes"] and not made["warnings"] and not made["added_variables"] and not made["removed_variables"]
    with running([old], cwd=old.parent) as program:
        program.expect(f"^old udp 1 same {'with' if plugin else 'without'}$")
        for step in ("new", "old", "new"):
            before = len(program.lines)
            done = tool.apply(tmp_path / "x.upatch", program.pid) if step == "new" else tool.rollback(program.pid)
            tool.expect(done)
            program.expect(f"^{step} udp 1 same", program.expect(f"^{step} udp 1 same", before))
        assert not [line for line in program.lines if "different" in line]


def test_what_changes_is_no_finding_either(tmp_path: Path) -> None:
    old = build_units(tmp_path, "old")
    new = build_units(tmp_path, "new", table=TABLE.replace('{"udp", 17}', '{"udp", 17}, {"sctp", 132}'))
    made = tool.expect(tool.patch(old, new, tmp_path / "x.upatch"))
    assert not made["notes"] and not made["warnings"] and not made["added_variables"] and not made["removed_variables"]
    with running([old], cwd=old.parent) as program:
        program.expect("^old udp 1 same")
        refused = tool.expect(tool.apply(tmp_path / "x.upatch", program.pid, 0.3), 3, "refused")
        assert "the constant protocols (table.c:3) is not the same in version new" in str(refused["reason"])
        before = len(program.lines)
        program.expect("^old udp 1 same", program.expect("^old udp 1 same", before))


HELD = """\
#include <stdio.h>
#include <unistd.h>
static const int steps[] = {STEPS};
static volatile int hold = HOLD;
int main(void) {
  const int *at = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    printf("VERSION %d\\n", at != NULL ? *at : 0);
    if (hold || HOLD) at = steps + 1;
    usleep(5000);
  }
}
"""


def test_the_way_back_is_refused_as_well(tmp_path: Path) -> None:
    built = []
    for version, steps, hold in (("old", "1, 2", "0"), ("new", "3, 4", "1")):
        (tmp_path / f"{version}.c").write_text(HELD.replace("STEPS", steps).replace("HOLD", hold))
        text = (tmp_path / f"{version}.c").read_text().replace("VERSION", version)
        (tmp_path / f"{version}.c").write_text(text)
        built.append(build_file(tmp_path / f"{version}.c", tmp_path / version / "program"))
    tool.expect(tool.patch(*built, tmp_path / "x.upatch"))
    with running([built[0]]) as program:
        program.expect("^old 0$")
        tool.expect(tool.apply(tmp_path / "x.upatch", program.pid))
        program.expect("^new 4$")
        refused = tool.expect(tool.rollback(program.pid, 0.3), 3, "refused")
        reason = "the constant steps (program.c:3) is not the same in version old, and variable at of main(), line "
        assert reason in str(refused["reason"])
        program.expect("^new 4$", len(program.lines))
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[constants]\n"program.c:steps" = "compatible"\n')
    tool.expect(tool.patch(*built, tmp_path / "y.upatch", "--mapping", mapping))
    with running([built[0]]) as program:
        program.expect("^old 0$")
        tool.expect(tool.apply(tmp_path / "y.upatch", program.pid))
        program.expect("^new 4$")
        tool.expect(tool.rollback(program.pid, 0.3))
        program.expect("^old 4$")  # the old constant of the other version
    mapping.write_text('[constants]\n"program.c:stairs" = "compatible"\n')
    said = tool.patch(*built, tmp_path / "z.upatch", "--mapping", mapping)
    assert said.exit_code == 2 and "no constant program.c:stairs whose address is used" in said.err, said


def test_the_storm_does_not_mind(tmp_path: Path) -> None:
    old = build_file(Path(__file__).parent / "constants" / "old.c", tmp_path / "program")
    log = tmp_path / "storm.log"
    with running([old], env={"UPSTARE_STORM": "1", "UPSTARE_STORM_LOG": str(log)}) as program:
        program.expect("^old c 36 .* same$", program.expect("^old c 36 .* same$"))
        assert not [line for line in program.lines if "different" in line]
    assert storms(log) > 0
