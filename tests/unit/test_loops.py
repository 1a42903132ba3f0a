"""Which loops are bounded by data."""

from __future__ import annotations

import pytest

from upstare.frontend.functions import functions
from upstare.frontend.nodes import Parsed

HEAD = b'# 1 "unit.c"\nstruct item { struct item *next; int value; };\n'


@pytest.mark.parametrize(
    ("loop", "why"),
    [
        ("for (; at; at = at->next) n++;", "walks"),
        ("while (*link && (*link)->value) link = &(*link)->next;", "walks"),
        ("while (*link) link = (struct item **)&((*link)->next);", "walks"),
        ("for (int i = 0; i < n; i++) at->value++;", "counts"),
        ("for (;;) if (at->value) break;", ""),
        ("while (*link && at) link = &at->next;", ""),
        ("for (;;) { at->value++; if (++n == 7) break; }", "counts"),
        ("while (1) { if (!at) { n++; return; } at = at->next; }", "walks"),
        ("for (;;) { if (at->value) continue; if (++n == 7) break; }", ""),
        ("for (;;) { switch (at->value) { default: if (++n == 7) break; } }", ""),
        ("do { if (at) n--; } while (--at->value);", "counts"),
        ("while (--link[0]->value) at++;", "counts"),
        ("int m; while ((m = at[n].value) < 9) n = m;", "walks"),
        ("int m = 0; while (n) { int t = m; m = n; n = t; }", ""),
        ("while (n) { n = at->value; }", ""),
    ],
)
def test_what_bounds_a_loop(loop: str, why: str) -> None:
    text = HEAD + f"void f(struct item *at, struct item **link, int n) {{ {loop} }}\n".encode()
    [tree] = functions(Parsed(text, ("-O2",)))
    assert [found.why for found in tree.loops] == [why]
