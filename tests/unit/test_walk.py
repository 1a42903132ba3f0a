"""The native walk sees what libclang's own Python bindings see, on a file full of odd constructs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clang.cindex
import pytest

from upstare.driver.native import compiled
from upstare.errors import UpstareError
from upstare.frontend import native
from upstare.frontend.nodes import Parsed
from upstare.frontend.tables import Cursor, Type

ODD = r"""
# 1 "/usr/include/system.h" 1 3
extern int puts(const char *);
static inline int of_the_system(int x) { return x + 1; }
# 4 "odd.c" 2
typedef struct { int a : 3, b : 5; union { float f; long l; }; const char *names[4]; } Odd;
struct tree { struct tree *left, *right; Odd odd; enum colour { RED, GREEN = 7 } colour; int rest[]; };
_Thread_local int mine = 3; extern volatile int seen;
static int (*table[])(const char *) = { puts, [2] = puts }, other = sizeof(struct tree);
int forward(int, Odd *, ...), old();
_Noreturn void leave(int *);
int missing();
int old(a, b) int a; const char *b; { return a + *b; }
static long walk(struct tree *t, int n, int vla[n], int (*f)(int)) {
  __label__ inside; static struct local { int deep; } kept = { 5 };
  register int r = 1; int i = 0, *p = &i, grid[3][n];
  void *labels[] = { &&inside, &&out };
  long sum = ({ int z = n; z++; z; }) ?: -1L;
  for (int k = 0, e = n; k < e; k++, sum += k) { if (k == 3) continue; else if (k > 'a') break; }
  for (;;) goto out;
  while (i --> 0) do { sum <<= 2; } while (0);
inside: switch (n) { case 1: case 2 ... 5: sum = f ? f(n) : (*f)(n); break; default:; }
  t->odd = (Odd){ .a = 1, .names = { [1 ... 2] = "x" "y" } };
  sum += _Generic(sum, long: 1, default: 2) + sizeof n + _Alignof(Odd) + __builtin_offsetof(struct tree, odd.names);
  sum += __builtin_expect(!!t->left, 0) + (t->left && !t->right || ~n) + (n, sum);
  __builtin_va_list list; __asm__ volatile ("" : "+r"(sum) : "m"(t->colour) : "memory");
  int nested(int); typedef int number; number last = ((number)3.5e0);
  { __attribute__((cleanup(leave))) int cleaned; } __typeof__(last) same = last + r;
  struct { int x; } anonymous = { kept.deep };
  goto *labels[0];
out: return walk(t->left, RED, p, f) + missing(3) + anonymous.x + vla[0] + grid[0][0] + same;
}
int main(void) { return (int)walk(0, 0, 0, 0) + of_the_system(other) + table[0]("x") + mine + seen; }
"""


def _bindings(text: bytes, arguments: list[str]) -> Any:
    return clang.cindex.Index.create().parse("unit.c", args=arguments, unsaved_files=[("unit.c", text)])


@pytest.fixture(scope="module")
def both() -> tuple[Any, Parsed]:
    parsed = Parsed(ODD.encode(), ())
    assert parsed.errors == []
    # What Parsed adds to these arguments means nothing for this text.
    return _bindings(ODD.encode(), ["-x", "c", "-w", "-std=gnu17"]), parsed


def _type_facts(one: Any, two: Type, seen: set[str]) -> None:
    """Compare a type and all that it leads to."""
    assert (one.kind, one.spelling) == (two.kind, two.spelling)
    if one.kind == clang.cindex.TypeKind.INVALID or f"{one.kind} {one.spelling}" in seen:
        return
    seen.add(f"{one.kind} {one.spelling}")
    for name in ("const", "volatile", "restrict"):
        assert getattr(one, f"is_{name}_qualified")() == getattr(two, f"is_{name}_qualified")(), (name, one.spelling)
    canonical, plain = one.get_canonical(), two.get_canonical()
    _type_facts(canonical, plain, seen)
    if canonical.kind != clang.cindex.TypeKind.UNEXPOSED:  # the bindings end the process for a builtin's
        assert (one.get_size(), one.get_align()) == (two.get_size(), two.get_align()), one.spelling
    _type_facts(one.get_pointee(), two.get_pointee(), seen)
    _type_facts(one.get_result(), two.get_result(), seen)
    if canonical.kind == clang.cindex.TypeKind.FUNCTIONPROTO:
        assert canonical.is_function_variadic() == plain.is_function_variadic()
        for a, b in zip(canonical.argument_types(), plain.argument_types(), strict=True):
            _type_facts(a, b, seen)
    if canonical.kind in (clang.cindex.TypeKind.CONSTANTARRAY, clang.cindex.TypeKind.VARIABLEARRAY):
        _type_facts(canonical.element_type, plain.element_type, seen)
    if canonical.kind == clang.cindex.TypeKind.CONSTANTARRAY:
        assert canonical.element_count == plain.element_count
    declaration = two.get_declaration()
    assert one.get_declaration().kind == declaration.kind
    assert one.get_declaration().location.offset == declaration.location.offset
    if canonical.kind == clang.cindex.TypeKind.RECORD:
        for there, here in zip(canonical.get_fields(), plain.get_fields(), strict=True):
            assert (there.spelling, there.is_bitfield()) == (here.spelling, here.is_bitfield())
            assert there.get_field_offsetof() == here.get_field_offsetof()
            assert not there.is_bitfield() or there.get_bitfield_width() == here.get_bitfield_width()
            _type_facts(there.type, here.type, seen)
    if canonical.kind == clang.cindex.TypeKind.ENUM:
        _type_facts(canonical.get_declaration().enum_type, plain.get_declaration().enum_type, seen)


def _facts(cursor: Any, declares: bool) -> list[object]:
    facts = [cursor.kind, cursor.extent.start.offset, cursor.extent.end.offset]
    if declares:
        facts += [
            cursor.spelling, cursor.location.offset, cursor.storage_class.name, cursor.tls_kind.name,
            cursor.is_definition(), [a.location.offset for a in cursor.get_arguments()],
        ]  # fmt: skip
    return facts


def _compare(one: Any, two: Cursor, seen: set[str]) -> int:
    """Compare two trees; the number of nodes."""
    kinds = clang.cindex.CursorKind
    declares = one.kind.is_declaration()
    assert _facts(one, declares) == _facts(two, declares)
    if declares or one.kind.is_expression():
        _type_facts(one.type, two.type, seen)
    if one.kind in (kinds.DECL_REF_EXPR, kinds.TYPE_REF):
        assert one.referenced is not None and two.referenced is not None
        assert (one.referenced.kind, one.referenced.location.offset, one.referenced.spelling) == (
            two.referenced.kind, two.referenced.location.offset, two.referenced.spelling,
        )  # fmt: skip
    if one.kind in (kinds.DECL_REF_EXPR, kinds.MEMBER_REF_EXPR, kinds.LABEL_STMT):
        assert one.spelling == two.spelling
    if one.kind == kinds.FUNCTION_DECL:
        _type_facts(one.result_type, two.result_type, seen)
    return 1 + sum(_compare(a, b, seen) for a, b in zip(one.get_children(), two.get_children(), strict=True))


def test_walk_sees_what_the_bindings_see(both: tuple[Any, Parsed]) -> None:
    unit, parsed = both
    tops = list(unit.cursor.get_children())
    seen: set[str] = set()
    walked = []
    nodes = 0
    for one, two in zip(tops, parsed.top, strict=True):
        declares = one.kind.is_declaration()
        assert _facts(one, declares) == _facts(two, declares)
        if declares:
            _type_facts(one.type, two.type, seen)
        if two.tree >= 0:
            walked.append(two.spelling)
            nodes += _compare(one, two, seen)
    assert walked == ["mine", "table", "other", "old", "walk", "main"]  # not what the system header brings
    assert nodes > 300 and len(seen) > 40


def test_operators_and_initialisers(both: tuple[Any, Parsed]) -> None:
    _, parsed = both
    walk = next(c for c in parsed.top if c.spelling == "walk")
    tree = parsed.node(next(c for c in walk.get_children() if c.kind.name == "COMPOUND_STMT"))
    kinds = {n.kind for n in tree.walk()}
    assert {"elvis", "igoto", "addrlabel", "stmtexpr", "generic", "literal", "asm", "sizeof"} <= kinds
    assert {n.op for n in tree.walk()} >= {"&&", "||", "<<=", "x--", "x++", "~", ",", "&", "!", "=", "=="}
    loop = next(n for n in tree.walk() if n.kind == "for")
    assert all(loop.parts[name] is not None for name in ("init", "cond", "inc", "body"))
    names = {n.name: n for n in tree.walk() if n.kind == "var"}
    initial = names["i"].parts["init"]
    assert initial is not None and initial.name == "0" and names["cleaned"].parts["init"] is None
    assert [n.target_kind for n in (names["kept"], names["i"])] == ["static", "local"]
    table = next(c for c in parsed.top if c.spelling == "table")
    init = parsed.initialiser(table)
    assert init is not None and [n.name for n in init.walk() if n.kind == "ref"] == ["puts", "puts"]
    for node in tree.walk():  # the order of text, and back up
        assert node.parent is None or node in node.parent.children
        assert list(node.walk())[0] is node and len(list(node.walk())) == node.last - node.first


def test_enumerators_have_values() -> None:
    text = b"enum e { A = -5, B, C = 0x80000000, D = 1ull << 63 }; long sum(void) { return A + B + C + D; }"
    parsed = Parsed(text, ())
    body = next(c for c in parsed.top[-1].get_children() if c.kind.name == "COMPOUND_STMT")
    found = [n.cursor.referenced for n in parsed.node(body).walk() if n.kind == "ref"]
    assert [c.enum_value for c in found if c is not None] == ["-5", "-4", str(1 << 31), str(-1 << 63)]


def test_errors_have_their_places() -> None:
    text = b"int f(void) { return @; }\nint g(void) { return 0; }\n"
    parsed = Parsed(text, ())
    assert parsed.error_in(0, 25) is not None and parsed.error_in(25, len(text)) is None


def test_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path))
    monkeypatch.setenv("UPSTARE_CC", "false")
    native.library.cache_clear()
    try:
        with pytest.raises(UpstareError, match="cannot compile UpStare.s own walk.c"):
            native.library()
    finally:
        native.library.cache_clear()


def test_a_library_is_made_anew_for_another_header(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))
    source, header = tmp_path / "a.c", tmp_path / "b.h"
    source.write_text('#include "b.h"\nint number(void) { return NUMBER; }\n')
    header.write_text("#define NUMBER 1\n")
    first = compiled(source)
    header.write_text("#define NUMBER 2\n")
    assert compiled(source) != first


def test_walk_is_kept_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path))
    first = compiled(native.source())
    monkeypatch.setattr("upstare.driver.process.check", None)
    assert compiled(native.source()) == first
