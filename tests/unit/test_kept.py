"""Which locals must keep their address."""

from __future__ import annotations

import pytest

from upstare.frontend.functions import functions
from upstare.frontend.nodes import Parsed

HEAD = b'# 1 "unit.c"\nstruct pair { int one, many[2]; };\nextern void use(void *);\n'


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("use(&x);", True),
        ("y = *&x;", False),
        ("y = *(int *)&x;", False),
        ("y = (*((int *)(void *)&x));", False),
        ("*(int *)&x = y;", False),
        ("y = (*(struct pair *)&x).one;", False),
        ("use((*(struct pair *)&x).many);", True),
        ("use(&*(int *)&x);", True),
        ("use(&(*(struct pair *)&x).one);", True),
        ("y = *(volatile int *)&x;", True),
        ('__asm__("" : "=m"(*(int *)&x));', True),
        ("y = *((int *)&x + 1);", True),
        ("y = ((struct pair *)&x)->one;", True),
    ],
)
def test_whose_address_is_taken(statement: str, kept: bool) -> None:
    text = HEAD + f"void f(void) {{ long x = 1; int y = 2; {statement} use((void *)(x + y)); }}\n".encode()
    [tree] = functions(Parsed(text, ("-O2",)))
    assert {local.name: local.kept for local in tree.locals.values()} == {"x": kept, "y": False}
