"""The point tables against reality: hand-written notes, compiled in all ways, checked by a harness that sets traps."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from upstare.errors import UpstareError
from upstare.model.outline import FunctionOutline, Outline
from upstare.points.code import Bodies
from upstare.points.elf import Elf
from upstare.points.keep import keep_source, references
from upstare.points.layout import (
    FLAG_PREFIX,
    NEXT_RETURN,
    NEXT_UNKNOWN,
    BindingRow,
    FunctionRow,
    OperandRow,
    PointRow,
    RangeRow,
    ReturnRow,
    Table,
    read_table,
    write_table,
)
from upstare.points.table import build_table, tabulate
from upstare.release import ABI

HERE = Path(__file__).parent / "points"
INCLUDE = Path(__file__).parents[2] / "c_runtime" / "include"
CC = (
    "gcc",
    "-std=gnu11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
    f"-I{INCLUDE}",
)

LINKS = {
    "fixed": ("-fno-pie", "-no-pie"),
    "pie": ("-fpie", "-pie"),
    "pic": ("-fPIC", "-pie"),
    "shared": ("-fPIC", "-shared"),
}
WAYS = {
    "plain": (),
    "protected": ("-fstack-protector-all",),
    "apart": ("-fno-inline",),
    "framed": ("-fno-omit-frame-pointer",),
    "native": ("-march=haswell",),
}
SCENARIO = (
    "leaf middle recursive many with_frame_pointer large_result large_outer pair_result floating_result "
    "extended_result called_back top sinks"
).split()
CALLEES: dict[str, list[str | None]] = {
    "middle": ["leaf"],
    "large_outer": ["large_result"],
    "recursive": [None, "recursive"],
    "sinks": [None],
}
CALLEES["top"] = ["middle", "recursive", "many", "with_frame_pointer", "tail", "large_outer", "pair_result"]
CALLEES["top"] += ["floating_result", "extended_result", "sinks"]
BUILD = "ab" * 32
TRAPS = 47  # points that one run of the scenario reaches


def function(number: int, name: str, returns: str = "int", pinned: bool = False) -> FunctionOutline:
    return FunctionOutline(number, name, "", returns, 0, pinned, tuple(enumerate(CALLEES.get(name, []), 1)))


def outline(functions: list[FunctionOutline], scheme: str = "trap") -> Outline:
    return Outline(scheme, "", [], functions)


def scenario() -> Outline:
    known = [function(i + 1, name, "long") for i, name in enumerate(SCENARIO)]
    return outline([*known, function(100, "tail", "long"), function(101, "scenario", "long")])


def compile_c(target: Path, *words: str | Path) -> Path:
    subprocess.run([*CC, *map(str, words), "-o", str(target)], check=True)
    return target


@pytest.mark.parametrize(
    ("level", "link", "way"), list(itertools.product(("-O0", "-O1", "-O2", "-O3", "-Os", "-Og"), LINKS, WAYS))
)
def test_table_foretells_what_traps_do(tmp_path: Path, level: str, link: str, way: str) -> None:
    flags = (level, *WAYS[way], *LINKS[link])
    program = tmp_path / "program"
    image = program
    if way == "native" and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no AVX2 here")
    objects: list[str | Path] = [compile_c(tmp_path / "scenario.o", "-c", *flags, HERE / "scenario.c")]
    kept = keep_source([references(Path(o)) for o in objects])
    if kept is not None:
        (tmp_path / "keep.s").write_text(kept)
        objects.append(tmp_path / "keep.s")
    if link == "shared":
        image = compile_c(tmp_path / "image.so", *flags, *objects)
        compile_c(program, "-rdynamic", HERE / "harness.c", image, f"-Wl,-rpath,{tmp_path}")
    else:
        compile_c(program, *flags, HERE / "harness.c", *objects)
    table, problems = tabulate(image, scenario(), BUILD)
    assert [p.reason for p in problems] == []
    file = tmp_path / "table"
    file.write_bytes(build_table(image, scenario(), BUILD))
    assert any(point.flags & FLAG_PREFIX for point in table.points)
    done = subprocess.run([program, file], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == (f"ok {TRAPS} 1\n", 0)  # refused once: in the library's callback


def negative(tmp_path: Path, *flags: str) -> Elf:
    return Elf(
        compile_c(
            tmp_path / "negative.so", "-fPIC", "-shared", "-fno-optimize-sibling-calls", *flags, HERE / "negative.c"
        )
    )


def returns_by_function(elf: Elf, table: Table) -> dict[str, list[int]]:
    bodies = Bodies(elf.functions())
    found: dict[str, list[int]] = {}
    for row in table.returns:
        body = bodies.at(row.address)
        assert body is not None
        found.setdefault(body.source, []).append(row.point)
    return found


NEGATIVE = "unrolls before_loop mistyped stores stores_by_address converts dereferences divides passes_on use".split()


@pytest.mark.parametrize("level", ["-O1", "-O2", "-O3", "-Os"])
def test_calls_without_a_point_after_them_are_not_in_returns(tmp_path: Path, level: str) -> None:
    elf = negative(tmp_path, level)
    table, problems = tabulate(elf.path, outline([function(i + 1, name) for i, name in enumerate(NEGATIVE)]), BUILD)
    assert returns_by_function(elf, table) == {"passes_on": [NEXT_RETURN]}
    assert [p.reason for p in problems] == []


def test_calls_in_pinned_functions_are_not_in_returns(tmp_path: Path) -> None:
    elf = negative(tmp_path, "-O2")
    functions = [function(i + 1, n, pinned=n == "passes_on") for i, n in enumerate(NEGATIVE)]
    table, _ = tabulate(elf.path, outline(functions), BUILD)
    assert returns_by_function(elf, table) == {}


def test_point_inlined_into_a_pinned_function_is_not_unrolled(tmp_path: Path) -> None:
    source = tmp_path / "inlined.c"
    source.write_text("""
        #include "notes.h"
        RESUME(0000000000000001)
        volatile int condition;
        static int inner(int n) {
          while (condition) POINT("0000000000000001", 1, 2, 1, V(0, 1, 4), "nor"(n));
          return n;
          DUMMY(int)
        }
        int pinned(int n) { return inner(n) + 1; }
        int tail(int n) { return inner(n); }
        int global;
        int stores(int n) { global = inner(n); return n; }
    """)
    image = compile_c(tmp_path / "inlined.so", "-O2", "-fPIC", "-shared", f"-I{HERE}", source)
    known = outline([function(1, "inner"), function(2, "pinned", pinned=True), function(3, "tail")])
    _, problems = tabulate(image, known, BUILD)
    reasons = {p.physical: p.reason for p in problems}
    assert reasons.keys() == {"pinned", "stores"}
    assert reasons["pinned"] == "it is inlined into pinned, which must not be on the stack"
    assert "leaves the stack frame" in reasons["stores"]


def test_ranges_hold_own_text_and_no_other(tmp_path: Path) -> None:
    program = compile_c(tmp_path / "program", "-O2", HERE / "harness.c", HERE / "scenario.c")
    table, _ = tabulate(program, scenario(), BUILD)
    bodies = Bodies(Elf(program).functions())

    def inside(name: str) -> bool:
        body = next(b for b in bodies.bodies if b.source == name)
        return any(r.begin <= body.begin and body.end <= r.end for r in table.ranges)

    assert inside("top") and inside("tail") and inside("recursive")
    assert not inside("main") and not inside("_start") and not inside("run")


def test_missing_symbols_are_an_error(tmp_path: Path) -> None:
    program = compile_c(tmp_path / "program", "-O2", "-s", HERE / "harness.c", HERE / "scenario.c")
    with pytest.raises(UpstareError, match="has no symbol table"):
        build_table(program, scenario(), BUILD)


def test_function_unknown_to_the_description_is_an_error(tmp_path: Path) -> None:
    program = compile_c(tmp_path / "program", "-O2", HERE / "harness.c", HERE / "scenario.c")
    with pytest.raises(UpstareError, match="which the description does not have"):
        build_table(program, outline([function(1, "leaf")]), BUILD)


@pytest.mark.parametrize("turned", [False, True])
def test_a_function_of_the_programs_has_a_name_of_the_runtimes(tmp_path: Path, turned: bool) -> None:
    runtime = '__attribute__((section("upstare_rt"), visibility("hidden"), used)) void upstare_thing(void) {}\n'
    user = "__attribute__((noinline, used)) static int upstare_thing(int x) { return x + 1; }\n"
    (tmp_path / "runtime.c").write_text(runtime)
    (tmp_path / "user.c").write_text(user + "int main(int n, char **v) { (void)v; return upstare_thing(n) != 2; }\n")
    files = [tmp_path / "runtime.c", tmp_path / "user.c"]
    program = compile_c(tmp_path / "program", *(files[::-1] if turned else files))
    table, _ = tabulate(program, outline([]), BUILD)
    [binding] = [b for b in table.bindings if table.name(b) == "upstare_thing"]
    home = Elf(program).by_name["upstare_rt"]
    assert home.address <= binding.address < home.address + home.size


def test_image_without_points_has_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    program = compile_c(tmp_path / "program", tmp_path / "main.c")
    table = read_table(build_table(program, outline([]), BUILD))
    assert not table.points and not table.functions and not table.returns


def test_points_of_the_flag_scheme_have_returns_but_no_next(tmp_path: Path) -> None:
    source = tmp_path / "flag.c"
    source.write_text("""
        #include "notes.h"
        RESUME(0000000000000001)
        int upstare_flag;
        #define FLAG(identity, point) \\
          __asm__ volatile("1:\\n\\t.pushsection .upstare_notes,\\"\\",@progbits\\n\\t.quad 1b,0,upstare$r$" identity \\
                           ",0x" identity "\\n\\t.long " #point ",7\\n\\t.word 0\\n\\t.byte 1,0\\n\\t.popsection"); \\
          if (__builtin_expect(upstare_flag, 0)) return 0
        int opaque(int);
        int f(int n) { int r = opaque(n); FLAG("0000000000000001", 1); return r + n; }
    """)
    image = compile_c(tmp_path / "flag.so", "-O2", "-fPIC", "-shared", f"-I{HERE}", source)
    known = outline([function(1, "f")], "flag")
    table, problems = tabulate(image, known, BUILD)
    assert (table.scheme, problems) == ("flag", [])
    assert [(p.label, p.next, p.line) for p in table.points] == [(0, NEXT_UNKNOWN, 7)]
    assert [r.point for r in table.returns] == [0]


# ---- The linker and the notes ---------------------------------------------------------------------------------------


def test_operands_in_the_global_offset_table_are_kept(tmp_path: Path) -> None:
    """A slot that only a note refers to makes ld fail; keep_source() makes the slot."""
    source = tmp_path / "got.c"
    source.write_text("""
        #include "notes.h"
        #include <stdio.h>
        RESUME(0000000000000001)
        int opaque(int x) { return x; }
        int got(int n) {
          __asm__ volatile inline goto(NOTE("0000000000000001", 1, 1, 0, "%l[upstare_ret]", 3)
              OPERAND(0, 1, 8, "movq opaque@GOTPCREL(%%rip),%%rax")
              OPERAND(0, 2, 8, "movq puts@GOTPCREL(%%rip),%%rax")
              OPERAND(0, 3, 8, "movq stdout@GOTPCREL(%%rip),%%rax")
              ".popsection" : : : : upstare_ret);
          return n;
          DUMMY(int)
        }
        int main(void) { return got(0); }
    """)
    obj = compile_c(tmp_path / "got.o", "-O2", "-fPIC", "-c", f"-I{HERE}", source)
    text = keep_source([references(obj)])
    assert text is not None
    (tmp_path / "keep.s").write_text(text)
    for link in (("-pie",), ("-no-pie",), ("-shared", "-Wl,-Bsymbolic-functions")):
        image = compile_c(tmp_path / "image", *link, obj, tmp_path / "keep.s")
        table, _ = tabulate(image, outline([function(1, "got")]), BUILD)
        elf = Elf(image)
        got = elf.by_name[".got"]
        assert all(got.address <= o.value < got.address + got.size for o in table.operands_of(table.points[0]))


def test_ordinary_objects_need_nothing_kept(tmp_path: Path) -> None:
    obj = compile_c(tmp_path / "scenario.o", "-O2", "-fpie", "-c", HERE / "scenario.c")
    assert keep_source([references(obj)]) is None


# ---- The bytes ------------------------------------------------------------------------------------------------------


def sample() -> Table:
    return Table(
        "trap",
        bytes(range(32)),
        [FunctionRow(1, 0x1000, 64, 1), FunctionRow(2, 0x1100, 0, 3)],
        [PointRow(0x2000, 0x2010, 1, 1, 10, 0, 2, 1, 1, 0), PointRow(0x2100, 0x2110, 2, 1, 20, 2, 0, 2, -1, 0)],
        [ReturnRow(0x2000, 0), ReturnRow(0x2090, -1)],
        [OperandRow(0, 3, 4, 0xFF, 1, 0, 0, 0, 8, -16), OperandRow(1, 4, 0xFF, 0xFF, 1, 0, 3, 16, 24, 0x4000)],
        [RangeRow(0x1000, 0x3000)],
        [BindingRow(0x4000, 5), BindingRow(0x4008, 12)],
        b"\0f\0g\0up$1$a\0ups$slot$f\0",
    )


def test_table_reads_back_as_written() -> None:
    table = sample()
    again = read_table(write_table(table))
    assert again == table
    assert [again.name(f) for f in again.functions] == ["f", "g"]
    assert [again.name(b) for b in again.bindings] == ["up$1$a", "ups$slot$f"]
    assert again.operands_of(again.points[0])[1].value == 0x4000


def test_damaged_table_is_an_error_or_still_a_table() -> None:
    data = write_table(sample())
    for length in range(0, len(data), 3):
        with pytest.raises(UpstareError):
            read_table(data[:length])
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        try:
            read_table(bytes(broken))
        except UpstareError:
            continue


def test_layout_is_that_of_the_header(tmp_path: Path) -> None:
    """C reads each field of a table that Python wrote."""
    (tmp_path / "table").write_bytes(write_table(sample()))
    source = tmp_path / "read.c"
    source.write_text("""
        #include <stdio.h>
        #include <upstare_abi.h>
        static _Alignas(8) char b[4096];
        int main(int c, char **v) {
          FILE *f = fopen(v[c - 1], "rb");
          if (!f || !fread(b, 1, sizeof b, f)) return 1;
          struct upstare_table *t = (void *)b;
          struct upstare_function *n = (void *)(b + t->functions);
          struct upstare_point *p = (void *)(b + t->points);
          struct upstare_return *r = (void *)(b + t->returns);
          struct upstare_operand *o = (void *)(b + t->operands);
          struct upstare_range *g = (void *)(b + t->ranges);
          struct upstare_binding *w = (void *)(b + t->bindings);
          printf("%x %u %u %u %u %u %u %u %u %u\\n", t->magic, t->abi, t->scheme, t->build[31], t->n_functions,
                 t->n_points, t->n_returns, t->n_operands, t->n_ranges, t->n_names);
          printf("%lu %lx %u %s\\n", n[0].id, n[0].resume, n[0].frame_size, b + t->names + n[1].name);
          printf("%lx %lx %lu %u %u %u %u %u %d %u %d\\n", p[0].address,
                 p[0].label, p[1].function, p[0].point, p[0].line,
                 p[1].operand, p[0].n_operands, p[1].flags, p[0].next, p[0].part, p[1].next);
          printf("%lx %d %lx %lx\\n", r[1].address, r[1].point, g[0].begin, g[0].end);
          printf("%u %u %u %u %x %u %u %u %ld %lx\\n", o[1].kind, o[1].sort, o[0].place, o[0].base,
                 o[0].index, o[0].scale, o[1].offset, o[1].size, o[0].value, o[1].value);
          printf("%u %lx %s\\n", t->n_bindings, w[1].address, b + t->names + w[1].name);
          return 0;
        }
    """)
    program = compile_c(tmp_path / "read", source)
    done = subprocess.run([program, tmp_path / "table"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"31545055 {ABI} 0 31 2 2 2 2 1 23",
        "1 1000 64 g",
        "2000 2010 2 1 10 2 2 2 1 0 -1",
        "2090 -1 1000 3000",
        "1 3 3 4 ff 1 16 24 -16 4000",
        "2 4008 ups$slot$f",
    ]
