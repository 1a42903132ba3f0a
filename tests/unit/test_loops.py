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
    ],
)
def test_what_bounds_a_loop(loop: str, why: str) -> None:
    text = HEAD + f"void f(struct item *at, struct item **link, int n) {{ {loop} }}\n".encode()
    [tree] = functions(Parsed(text, ("-O2",)))
    assert [found.why for found in tree.loops] == [why]
