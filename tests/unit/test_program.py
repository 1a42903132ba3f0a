"""What the whole-program model decides."""

from __future__ import annotations

from upstare.frontend.functions import functions
from upstare.frontend.nodes import Parsed
from upstare.frontend.summary import summarise
from upstare.frontend.types import TypeTable
from upstare.model.program import Program
from upstare.model.unit import Options, Unit

TAIL_CYCLE = b"""# 1 "unit.c"
static int total;
static void second(int n);
static void first(int n) { if (n & 1) { second(n); return; } total += n; }
static void second(int n) { total--; first(n - 1); }
int main(void) { first(1); first(2); first(3); return total; }
"""


def program(text: bytes) -> Program:
    unit = Unit("/unit.c", text, ("-O2",), ("gcc",), "0" * 64)
    parsed = Parsed(unit.text, unit.flags)
    summary = summarise(parsed, list(functions(parsed)), TypeTable(parsed.source))
    return Program([unit], [summary], Options(), ["read"], [])


def test_the_point_of_a_tail_cycle_is_where_the_fewest_calls_lead() -> None:
    found = program(TAIL_CYCLE)
    assert {name for _, name in found.entry_points} == {"second"}
    assert {name for _, name in found.instrumented} == {"main", "first", "second"}
