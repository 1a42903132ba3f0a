"""Which records are sent, received, or lie in shared memory, by where pointers go."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import pytest

from upstare.frontend.functions import functions
from upstare.frontend.nodes import Parsed
from upstare.frontend.summary import summarise
from upstare.frontend.types import TypeTable
from upstare.model.flows import Flows
from upstare.model.program import Program
from upstare.model.unit import Options, Unit

HEAD = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
struct head { int kind; };
struct job { struct head head; int number; };
struct other { int number; };
"""


def flows_of(*texts: str) -> Flows:
    """The flows of a program with these units."""
    units, summaries = [], []
    for number, text in enumerate(texts):
        source = (HEAD + "#line 1\n" + text).encode()
        done = subprocess.run(["gcc", "-E", "-"], input=source, capture_output=True, check=True)
        unit = Unit(f"/unit{number}.c", done.stdout, ("-O2",), ("gcc",), "0" * 64)
        parsed = Parsed(unit.text, unit.flags)
        assert not parsed.errors
        units.append(unit)
        summaries.append(summarise(parsed, list(functions(parsed)), TypeTable(parsed.source)))
    return Flows(Program(units, summaries, Options(), ["read"], []), [s.details.flows for s in summaries])


def messages(*texts: str) -> set[tuple[str, str, int, str]]:
    return {(m.record, m.how, m.line, m.call) for m in flows_of(*texts).messages()}


MESSAGES = {
    "object": ("void f(struct job *j) { struct job own = *j;\nwrite(1, &own, sizeof own); }", "sent", 2, "write"),
    "pointer": ("void f(struct job *j) {\nread(0, (char *)j, sizeof *j); }", "received", 2, "read"),
    "array": ("void f(void) { struct job j[4];\nfwrite(j, sizeof *j, 4, stdout); }", "sent", 2, "fwrite"),
    "element": ("void f(struct job *j) {\nsend(1, &j[2], sizeof *j, 0); }", "sent", 2, "send"),
    "cursor": (
        "void f(struct job *j) {\nconst char *p = (const char *)j; while (p) p += write(1, p, 1); }", "sent", 2, "write"
    ),
    "wrapper": (
        "static void all(int fd, const void *data, size_t n) { const char *p = data; write(fd, p, n); }\n"
        "void f(struct job *j) {\nall(1, j, sizeof *j); }", "sent", 3, "write"
    ),
    "head": (
        "void all(int fd, struct head *h, size_t n) { send(fd, h, n, 0); }\n"
        "void f(struct job *j) {\nall(1, &j->head, 4); all(1, (struct head *)j, sizeof *j); }", "sent", 3, "send"
    ),
    "buffer": (
        "void f(void) { char b[64]; recv(0, b, sizeof b, 0);\nstruct job *j = (struct job *)b; exit(j->number); }",
        "received", 2, "recv",
    ),
    "buffer-handed-on": (
        "static void use(void *data) {\nstruct job *j = data; printf(\"%d\", j->number); }\n"
        "void f(void) { static char b[64]; read(0, b, sizeof b); use(b); }", "received", 2, "read",
    ),
    "member": (
        "static struct { char *next; } at;\nvoid f(struct job *j) {\nat.next = (char *)j; write(1, at.next, 4); }",
        "sent", 3, "write",
    ),
    "vector": (
        "void f(struct job *j) {\nstruct iovec v[] = {{j, sizeof *j}}; writev(1, v, 1); }", "sent", 2, "writev or readv"
    ),
    "vector-by-member": (
        "void f(struct job *j) { struct iovec v;\nv.iov_base = j; readv(0, &v, 1); }", "sent", 2, "writev or readv"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "how", "line", "call"), MESSAGES.values(), ids=list(MESSAGES))
def test_message(text: str, how: str, line: int, call: str) -> None:
    assert ("struct job", how, line, call) in messages(text)


NO_MESSAGES = {
    "a-number": "void f(struct job *j) { write(1, &j->number, sizeof j->number); }",
    "a-copy": "void f(struct job *j) { struct job k; memcpy(&k, j, sizeof k); }",
    "from-the-heap": (
        "static void *make(void) { return malloc(64); }\n"
        "void f(void) { struct job *j = make(); struct other *o = make(); write(1, o, sizeof *o); j->number = 1; }"
    ),
    "a-function-that-only-looks": "static int look(void *p) { return !p; }\nint f(struct job *j) { return look(j); }",
}


@pytest.mark.parametrize("text", NO_MESSAGES.values(), ids=list(NO_MESSAGES))
def test_no_message(text: str) -> None:
    assert not [found for found in messages(text) if found[0] == "struct job"]


def test_functions_and_variables_of_other_units() -> None:
    """A name means what its own unit has; what is not static is the same everywhere."""
    use = "void g(void) { struct job *j = (struct job *)b; j->number = 1; }"
    first = "char b[64];\nstatic void take(void *p) { read(0, p, 4); }\nvoid f(void) { take(b); }"
    assert {found[0] for found in messages(first, f"extern char b[64];\n{use}")} == {"struct job"}
    assert messages(first, f"static char b[64];\n{use}") == set()
    assert messages(first, "static void take(struct job *j) { j->number = 1; }\nvoid g(void *p) { take(p); }") == set()


SHARED: dict[str, Sequence[str]] = {
    "by-two-units": (
        "void *share(void) {\nreturn mmap(0, 64, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }",
        "void *share(void); void f(void) { struct job *j = share(); j->number = 1; }",
    ),
    "validated": ("void f(void) {\nstruct job *j = mmap(0, 64, 3, MAP_SHARED_VALIDATE, 3, 0); j->number = 1; }",),
}


@pytest.mark.parametrize("texts", SHARED.values(), ids=list(SHARED))
def test_shared(texts: Sequence[str]) -> None:
    (found,) = flows_of(*texts).shared_records()
    assert (found.record, found.line, found.text) == ("struct job", 2, "mmap")


def test_not_shared() -> None:
    text = (
        "static void *heap(void) { return mmap(0, 64, 3, 0x22, -1, 0); }\n"
        "void f(void) { struct job *j = heap(); struct other *o = malloc(8); j->number = o->number; }"
    )
    assert flows_of(text).shared_records() == []
