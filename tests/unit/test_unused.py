"""Which static functions of a unit nothing can call."""

from __future__ import annotations

import pytest

from upstare.frontend.functions import functions
from upstare.frontend.nodes import Parsed
from upstare.frontend.summary import summarise
from upstare.frontend.types import TypeTable

BODY = "{ for (;;) pause(); }"


def _unused(text: str) -> list[str]:
    parsed = Parsed(("int pause(void); void atend(void (*)(void));\n" + text).encode(), ())
    summary = summarise(parsed, list(functions(parsed)), TypeTable(parsed.source))
    return [f.name for f in summary.functions if f.unused]


def test_functions_of_a_header_that_nothing_calls() -> None:
    text = f"static inline void a(void) {BODY} static void b(void) {{ a(); }} static void c(void) {{ c(); }}\n"
    assert _unused(text + "int main(void) { return 0; }") == ["a", "b", "c"]
    assert _unused(text + "int main(void) { b(); }") == ["c"]


def test_functions_that_others_can_see_are_used() -> None:
    assert _unused(f"static void a(void) {BODY} void b(void) {{ a(); }} inline void c(void) {BODY}") == []


@pytest.mark.parametrize(
    "use",
    [
        "void (*table[])(void) = { f };",
        "void g(void) { atend(f); }",
        "void g(void) { static void (*later)(void) = f; later(); }",
        "void g(void) { struct { int n; } *p; __typeof__(f) *h = &f; h(); }",
        "static void g(void) { f(); } void h(void) { g(); }",
        '__asm__(".globl x\\n x: jmp f");',
        'void g(void) __attribute__((alias("f")));',
        'void g(void) { __asm__ volatile ("call f"); }',
        "static void f(void) __attribute__((__used__));",
        "static void f(void) __attribute__((constructor(101)));",
        "void g(void) { __attribute__((cleanup(f))) int x; }",
    ],
)
def test_uses(use: str) -> None:
    text = f"static void f(void); {use}\nstatic void f(void) {BODY}\n"
    assert _unused(text) == []


def _values(text: str) -> list[str]:
    parsed = Parsed(("int pause(void);\n" + text).encode(), ())
    return summarise(parsed, list(functions(parsed)), TypeTable(parsed.source)).values


def test_addresses_that_only_unused_functions_take() -> None:
    """They need no stable entry, which would keep the function in the text."""
    text = f"static void f(void) {BODY} static void g(void (*h)(void)) {{ h(); }}\n"
    assert _values(text + "static void a(void) { g(f); } int main(void) { return 0; }") == []
    assert _values(text + "static void a(void) { g(f); } int main(void) { a(); }") == ["f"]
    assert _values(text + "static void a(void) { g(f); } int main(void) { g(f); }") == ["f"]
    assert _values(text + "static void a(void) { static void (*last)(void) = f; last(); }") == ["f"]


def test_what_only_looks_like_a_use() -> None:
    text = f"static void f(void) __attribute__((unused)); static __attribute__((__unused__)) void f(void) {BODY}\n"
    assert _unused(text) == ["f"]
