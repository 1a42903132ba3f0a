"""What the whole-program model decides."""

from __future__ import annotations

import pytest

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


DIES = b"""# 1 "unit.c"
void _exit(int status) __attribute__((noreturn));
long read(int, void *, unsigned long);
static int bye;
static void leave(int status) { if (bye) bye = 0; _exit(status); }
static void die(const char *why) { char c; if (*why) read(0, &c, 1); leave(2); }
static void may(int bad) { if (bad) die("may"); }
static void good(void) { leave(0); }
static void either(int n) { if (n) { die("n"); } else { leave(3); } }
static void altered(int status) { status = 0; leave(status); }
static void back(int n) { if (n) return; leave(1); }
static void serve(void) { char c; while (!bye) read(0, &c, 1); }
static void server(void) { serve(); leave(1); }
static int f(int n) { may(n); either(n); good(); altered(n); back(n); die("f"); return n; }
static int g(int n) { may(n); either(n); good(); altered(n); back(n); die("g"); return n; }
static int h(int n) { may(n); either(n); good(); altered(n); back(n); die("h"); return n; }
int main(void) { server(); return f(1) + g(2) + h(3); }
"""


def test_functions_that_give_up_have_no_points_and_no_more_have_their_callers() -> None:
    found = {name for _, name in program(DIES).instrumented}
    assert found == {"serve", "server", "main"}


def test_work_with_an_error_at_its_end_is_no_way_to_give_up() -> None:
    calls = DIES.replace(b"int n) { may(n);", b"int n) { if (n > 9) server(); may(n);")
    assert calls.count(b"server();") == 4  # one is called in many places
    assert {"server", "f", "g", "h"} <= {name for _, name in program(calls).instrumented}


FATAL = b"""# 1 "unit.c"
void exit(int status) __attribute__((noreturn));
long read(int, void *, unsigned long), write(int, const void *, unsigned long);
void fatal(const char *why) __attribute__((noreturn));
static int stop;
static void say(const char *what) { while (!stop) if (write(2, what, 1) > 0) return; }
static void wait_for(int fd) { char c; while (!stop) read(fd, &c, 1); }
static void serve(void) { wait_for(0); }
static void turn(void) { while (!stop); }
void fatal(const char *why) { say(why); exit(1); }
static void one(int n) { if (n) { serve(); fatal("one"); } }
static void two(int n) { if (n) { say("two"); fatal("two"); } }
static void three(int n) { switch (n) { case 3: { say("three"); exit(4); } } }
static void four(int n) { turn(); fatal("four"); }
int main(int argc, char **argv) { one(argc); two(argc); three(argc); four(argc); }
"""


def test_what_a_thread_can_stay_in_counts_even_if_an_error_follows() -> None:
    found = {name for _, name in program(FATAL).instrumented}
    assert found == {"say", "wait_for", "serve", "turn", "one", "four", "main"}
    assert program(FATAL).decisions(0).staying == ["serve"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"leave(2); }", b"leave(0); }"),  # it may end well
        (b"leave(2); }", b"leave(bye); }"),
        (b"leave(2); }", b"if (bye) leave(2); }"),  # or come back
        (b"leave(2); }", b"if (bye) return; leave(2); }"),
        (b"leave(2); }", b"do { if (bye) break; leave(2); } while (0); }"),
        (b"leave(2); }", b"if (bye) goto end; leave(2); end: ; }"),
        (b"leave(2); }", b"while (bye) read(0, &c, 1); leave(2); }"),  # or stay
        (b"leave(2); }", b"(bye ? leave : leave)(2); }"),
        (b"_exit(status); }", b"status = 0; _exit(status); }"),  # as might what it calls
    ],
)
def test_what_is_not_sure_to_give_up(old: bytes, new: bytes) -> None:
    assert old in DIES
    assert {"die", "may", "f"} <= {name for _, name in program(DIES.replace(old, new)).instrumented}
