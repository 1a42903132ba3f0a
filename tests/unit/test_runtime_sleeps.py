"""What sleeps is called by the rest of the runtime in a few places only, each of which knows that it is awake: anything
else would run code that is not mapped as text. Seen in the relocations of what a program is linked with, whatever that
program calls."""

from __future__ import annotations

import struct
import tomllib
from bisect import bisect_right
from collections.abc import Collection
from pathlib import Path

import pytest

from upstare.driver import elf, runtime

SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QIIq")
ABSOLUTE = 1  # R_X86_64_64; the others are relative to the end of the instruction, four bytes on

# By the function, why it is awake.
KNOWN = {
    "ups_woken": "ups_wake itself",
    "ups_attended": "on_attention has woken it",
    "ups_first_rest": "ups_first asks, or the call was cut short by the handler that has woken it",
    "ups_first_closed": "ups_first asks",
    "ups_signals_restarted": "ups_action_runs asks",
    "heed": "stopped asks",
    "settle": "ups_call_issue_watched and ups_call_again ask",
    "left": "ups_call_left asks",
    "taken_at_once": "ups_call_run asks",
    "keep_time": "ups_transfer asks",
    "robust_lock": "is_glibcs has woken it",
    "ups_trap_action": "upstare_sigaction asks",
    "ups_trap_install": "upstare_sigaction asks",
    "ups_thread_leave": "thread_end asks",
    "ups_changed": "give_back asks",
    "ups_gate": "ups_thread_runs asks",
    "hold": "fork_prepare asks",
    "let_go": "fork_parent asks what fork_prepare found",
    "ups_stop_child": "begin_process asks",
    "ups_agent_child": "begin_process asks",
    "ups_storm_start": "start_runtime has woken it",
    "ups_save": "the stack comes down",
    "ups_save_kept": "the stack comes down",
    "ups_at_point": "upstare_flag is set",
    "ups_rebuild": "the stack is built up",
}


TABLE = tomllib.loads((runtime.runtime_directory() / "redirects.toml").read_text())
CALLS = [f"upstare_{name}" for name in (*TABLE["blocking"], *TABLE["plain"], *TABLE["opaque"])]
#: What generated code calls besides; a program of the flag scheme all of it.
GENERATED = ["upstare_at_point", "upstare_save", "upstare_save_kept", "upstare_rearm"]


class Object:
    """A linked runtime: who refers to whom."""

    def __init__(self, path: Path) -> None:
        self.file = elf.read(path)
        self.names = [s.name for s in self.file.sections]
        [table] = [s for s in self.file.sections if s.name == ".symtab"]
        self.symbols = list(SYMBOL.iter_unpack(self.bytes_of(table)))
        self.functions: dict[str, list[tuple[int, str]]] = {}
        strings = self.file.sections[table.link].offset
        for name, info, _, home, value, _ in self.symbols:
            if info & 15 == elf.STT_FUNC and 0 < home < len(self.names):
                self.functions.setdefault(self.names[home], []).append((value, self.file.string(strings + name)))
        for functions in self.functions.values():
            functions.sort()

    def bytes_of(self, section: elf.Section) -> bytes:
        return self.file.data[section.offset : section.offset + section.size]

    def references(self, section: str) -> set[tuple[str, int]]:
        """The sections, and the places in them, that the contents of a section refer to."""
        found: set[tuple[str, int]] = set()
        for part in self.file.sections:
            if part.name != f".rela{section}":
                continue
            for _, kind, symbol, addend in RELOCATION.iter_unpack(self.bytes_of(part)):
                _, info, _, home, value, _ = self.symbols[symbol]
                if 0 < home < len(self.names):
                    whole = info & 15 != 3  # not a section's symbol: the symbol says it
                    found.add((self.names[home], value if whole else addend + (0 if kind == ABSOLUTE else 4)))
        return found

    def called_asleep(self) -> set[str]:
        """The functions in what sleeps that what is awake refers to, itself or through data."""
        found: set[str] = set()
        seen: set[str] = set()
        starters = [n for n in self.names if n.startswith((".init_array", ".fini_array", ".preinit_array"))]
        waiting = [runtime.CODE_SECTION, *starters]
        while waiting:
            section = waiting.pop()
            if section in seen:
                continue
            seen.add(section)
            for home, place in self.references(section):
                if home == elf.SECTION_UPDATE:
                    functions = self.functions[home]
                    found.add(functions[bisect_right(functions, (place, "\x7f")) - 1][1])
                else:
                    waiting.append(home)
        return found

    def awake(self) -> set[str]:
        """The names of the functions that are awake."""
        return {name for _, name in self.functions[runtime.CODE_SECTION]}


def linked(names: Collection[str]) -> Object:
    return Object(runtime.runtime_object(["cc"], names))


@pytest.mark.parametrize("name", [*CALLS, *GENERATED, *runtime.JUMPS])
def test_a_program_that_calls_one_function(name: str) -> None:
    made = linked([name])
    assert made.called_asleep() <= set(KNOWN)
    assert name in made.awake()


def test_nothing_else_calls_what_sleeps() -> None:
    assert linked([*CALLS, *GENERATED, *runtime.JUMPS]).called_asleep() == set(KNOWN)
    assert linked([]).called_asleep() <= set(KNOWN)


def test_what_a_program_does_not_call_sleeps() -> None:
    nothing, reads = linked([]).awake(), linked(["upstare_read"]).awake()
    assert {"upstare_read", "upstare_sleep"} & nothing == set()
    assert "upstare_read" in reads
    assert {"run_read", "upstare_write", "upstare_pthread_create"} & reads == set()
