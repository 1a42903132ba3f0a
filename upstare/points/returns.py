"""Where control goes after a call returned, or after a dummy return began: proved on the machine code.

While a stack is taken apart, a frame ends with a dummy result, and the code behind it must lead straight to the next
point, or out of the function: no call, no branch but the check of the stack protector and branches both of whose sides
lead to the same place.

On the way nothing may be done with the dummy result: no store outside of the stack frame, no load through a pointer
that may come from it, no division. This is proved too, but where the code is known to be nothing but the compiler's
form of "return the dummy" (or of that and "go to the point after the inlined call"). Then what looks like harm is
needed: the compiler moves stores out of a loop, to all ways that lead out of it, and the dummy return is one of these.

What cannot be proved is left out, with the reason.

Registers are followed in three states. STACK: an address in the frame. LOOSE: may come from the dummy. FIRM: a value
of the running function that the compiler may use as it likes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from upstare.points.code import (
    N_REGISTERS,
    NONE,
    OTHER,
    RAX,
    RBP,
    RDX,
    RIP,
    RSP,
    XMM0,
    Bodies,
    Body,
    Decoder,
    Effect,
    Kind,
    Memory,
    Step,
)
from upstare.points.elf import Elf
from upstare.points.layout import FLAG_CALL, NEXT_RETURN
from upstare.points.notes import Note

FIRM, LOOSE, STACK = range(3)

MAX_STEPS = 400
MAX_BRANCHES = 6

_EQUAL, _NOT_EQUAL = 4, 5  # condition codes of je and jne
_RESULTS = (RAX, RDX, XMM0, XMM0 + 1)


class Begin(Enum):
    """What is followed."""

    LABEL = 0  # a dummy return begins here
    RETURN = 1  # a call returned here, with a dummy result


@dataclass(frozen=True, slots=True)
class Found:
    """Where a path leads: to the note with this index, or NEXT_RETURN; or nowhere, for a reason."""

    target: int | None
    reason: str = ""
    result_intact: bool = True  # NEXT_RETURN: nothing touched the result on the way


def _address(note: Note) -> int:
    return note.address


class _Stop(Exception):
    """A path that proves nothing."""


class Tracer:
    """Follows paths in one ELF file. ``notes`` must be sorted by address."""

    def __init__(self, elf: Elf, notes: list[Note], bodies: Bodies) -> None:
        self.decoder = Decoder(elf, bodies, [n.address for n in notes], [bool(n.flags & FLAG_CALL) for n in notes])
        self.notes = notes
        self.bodies = bodies
        self.index = {note.address: i for i, note in enumerate(notes)}
        self._frame_pointers: dict[int, bool] = {}

    def from_labels(self, notes: list[Note]) -> list[Found]:
        """Where the dummy returns of the notes lead, whatever is done with their results on the way."""
        return [Found(*found) for found in self.decoder.follow([note.label for note in notes])]

    def harmless_from_label(self, note: Note) -> Found:
        """Where the dummy return of a note leads, if nothing is done with its result."""
        body = self.bodies.at(note.label)
        if body is None:
            return Found(None, "the label of the dummy return is in no function")
        return self._harmless(note.label, body, [LOOSE] * N_REGISTERS, Begin.LABEL)

    def from_returns(self, addresses: Sequence[int], within: Sequence[Body]) -> list[Found]:
        """Where return addresses lead, each in its body, if nothing is done with the results."""
        return [self._from_return(*way) for way in zip(addresses, self.decoder.follow(addresses), within, strict=True)]

    def _from_return(self, address: int, found: tuple[int | None, str], body: Body) -> Found:
        if found[0] is None or address in self.index:  # the usual case: the point is the next instruction
            return Found(*found)
        state = [FIRM] * N_REGISTERS
        for register in _RESULTS:
            state[register] = LOOSE
        return self._harmless(address, body, state, Begin.RETURN)

    def to_chunk(self, address: int, body: Body) -> int | None:
        """The index of the one note that all ways from ``address`` lead to, where nothing in between is a point.

        No dummy is under way here: what the compiler computes on these ways it needs for the next chunk, and may
        compute nowhere else. That can be a call, of a function without effects; and ways may lead to another piece of
        the function, because the compiler sets apart what seldom runs.
        """
        found: int | None = None
        seen: set[int] = set()
        ways = [address]
        while ways:
            address = ways.pop()
            here = self.bodies.at(address)
            if here is None or here.physical != body.physical:
                return None
            if address in seen:
                continue
            seen.add(address)
            index = self.index.get(address)
            if index is not None:
                if found not in (None, index):
                    return None
                found = index
                continue
            step = self.decoder.at(address)
            if step is None or step.kind in (Kind.RETURN, Kind.BARRIER):
                return None
            after = address + step.size
            if step.kind == Kind.CALL and not self._without_points(step, after):
                return None
            if step.kind in (Kind.JUMP, Kind.BRANCH):
                ways.append(after + step.target)
            if step.kind != Kind.JUMP:
                ways.append(after)
        return found

    def _without_points(self, call: Step, after: int) -> bool:
        """Whether a call is of a function by name that has no point itself (or is a library's)."""
        if len(call.code) < 5 or call.code[-5] != 0xE8:
            return False
        callee = self.bodies.at(after + int.from_bytes(call.code[-4:], "little", signed=True))
        return callee is None or all(
            bisect_left(self.notes, piece.begin, key=_address) == bisect_left(self.notes, piece.end, key=_address)
            for piece in self.bodies.pieces[callee.physical]
        )

    def _harmless(self, address: int, body: Body, state: list[int], begin: Begin) -> Found:
        state[RSP] = STACK
        try:
            return _Path(self, body, begin).run(address, state, set(), MAX_BRANCHES)
        except _Stop as stop:
            return Found(None, str(stop))

    def reached(self, index: int) -> Found:
        if not self.notes[index].flags & FLAG_CALL:
            return Found(None, "it leads to a point that is not after a call")
        return Found(index)

    def frame_pointer(self, body: Body) -> bool:
        """Whether %rbp is the frame pointer in the whole function: set from %rsp, else only saved and restored."""
        known = self._frame_pointers.get(body.begin)
        if known is None:
            known = any(self._sets_frame_pointer(b) for b in self.bodies.pieces[body.physical])
            self._frame_pointers[body.begin] = known
        return known

    def _sets_frame_pointer(self, body: Body) -> bool:
        address, found = body.begin, False
        while address < body.end:
            step = self.decoder.at(address)
            if step is None:
                return False
            effect = self.decoder.effect(step.code)
            if effect.copy == (RBP, RSP):
                found = True
            elif RBP in effect.writes and not effect.restores:
                return False
            address += step.size
        return found


class _Path:
    """One walk along the code, for one begin, on which nothing must be done with the dummy result.

    Where such a walk without this condition ends is found out by trace.c, in the same way.
    """

    def __init__(self, tracer: Tracer, body: Body, begin: Begin) -> None:
        self.tracer = tracer
        self.body = body
        self.begin = begin
        self.steps = 0

    def run(self, address: int, state: list[int], seen: set[int], branches: int, spilled: bool = False) -> Found:
        """Follow from ``address`` on. Raises _Stop, with the reason, where the path proves nothing.

        ``spilled``: a loose value has got into the frame, so what is loaded from there is loose.
        """
        intact = True
        guarded = False
        while True:
            index = self.tracer.index.get(address)
            if index is not None:
                return self.tracer.reached(index)
            step = self.tracer.decoder.at(address)
            self.steps += 1
            if step is None or address in seen or self.steps > MAX_STEPS:
                raise _Stop(f"the code at {address:#x} cannot be followed")
            seen.add(address)
            after = address + len(step.code)
            if step.kind is Kind.PLAIN:
                guarded = guarded or step.guard
                effect = self.tracer.decoder.effect(step.code)
                spilled = self._check(effect, address, state, spilled)
                intact = intact and RAX not in effect.writes and XMM0 not in effect.writes
                self._advance(effect, state, spilled)
            elif step.kind is Kind.RETURN:
                return Found(NEXT_RETURN, result_intact=intact)
            elif step.kind in (Kind.CALL, Kind.BARRIER):
                raise _Stop(f"there is a call or trap at {address:#x}")
            elif step.kind is Kind.JUMP:
                after = self._jump(after + step.target, address)
            elif guarded:
                after = self._past_guard(step, after + step.target, after)
                guarded = False
            else:
                sides = (self._jump(after + step.target, address), after)
                return self._both(sides, address, state, seen, branches, spilled, intact)
            address = after

    def _both(
        self,
        sides: tuple[int, int],
        address: int,
        state: list[int],
        seen: set[int],
        branches: int,
        spilled: bool,
        intact: bool,
    ) -> Found:
        """The place to which both sides of a branch lead."""
        if not branches:
            raise _Stop(f"there are too many branches at {address:#x}")
        one, two = (self.run(side, list(state), set(seen), branches - 1, spilled) for side in sides)
        if one.target is None or one.target != two.target:
            raise _Stop(f"a branch at {address:#x} leads to different places")
        return Found(one.target, result_intact=intact and one.result_intact and two.result_intact)

    def _jump(self, target: int, source: int) -> int:
        """``target`` if it is in the same function, but not a call of itself."""
        body = self.tracer.bodies.at(target)
        if body is None or body.physical != self.body.physical:
            raise _Stop(f"a jump at {source:#x} leaves the function")
        if target == body.begin and body.symbol.name == body.physical and target not in self.tracer.index:
            raise _Stop(f"a jump at {source:#x} calls the function again")
        return target

    def _past_guard(self, branch: Step, taken: int, after: int) -> int:
        """The side of the stack protector's branch that is taken if all is well; the other one must end in a call."""
        if branch.condition not in (_EQUAL, _NOT_EQUAL):
            raise _Stop(f"the check of the stack before {after:#x} is not the usual one")
        failing, going_on = (taken, after) if branch.condition == _NOT_EQUAL else (after, taken)
        for _ in range(4):
            step = self.tracer.decoder.at(failing)
            if step is None or step.kind not in (Kind.PLAIN, Kind.JUMP):
                break
            failing += step.size + step.target
        if step is None or step.kind is not Kind.CALL:
            raise _Stop(f"the check of the stack before {after:#x} is not the usual one")
        return self._jump(going_on, after)

    def _check(self, effect: Effect, address: int, state: list[int], spilled: bool) -> bool:
        """Raises _Stop if the instruction may do harm. Returns whether a loose value has got into the frame."""
        if effect.may_fault:
            raise _Stop(f"there is a division at {address:#x}")
        for memory in effect.memory:
            if memory.read and not self._may_read(memory, state):
                raise _Stop(f"a load at {address:#x} may go through the dummy result")
            if memory.write:
                if not self._may_write(memory, state):
                    raise _Stop(f"a store at {address:#x} leaves the stack frame")
                spilled = spilled or any(state[r] == LOOSE for r in effect.reads)
        return spilled

    def _may_read(self, memory: Memory, state: list[int]) -> bool:
        if memory.fs:
            return memory.index == NONE and memory.base == NONE
        return self._is(memory.base, state, (FIRM, STACK)) and self._is(memory.index, state, (FIRM,))

    def _may_write(self, memory: Memory, state: list[int]) -> bool:
        if memory.fs or not self._is(memory.index, state, (FIRM,)):
            return False
        if memory.base in (NONE, RIP):
            return False
        return self._is(memory.base, state, (STACK,))

    def _is(self, register: int, state: list[int], allowed: tuple[int, ...]) -> bool:
        if register in (NONE, RIP):
            return True
        if register == OTHER:
            return False
        if register == RBP and state[RBP] != STACK and self.tracer.frame_pointer(self.body):
            return STACK in allowed
        return state[register] in allowed

    def _advance(self, effect: Effect, state: list[int], spilled: bool) -> None:
        """Change ``state`` by a plain instruction."""
        if effect.copy is not None:
            to, source = effect.copy
            if to < N_REGISTERS and source < N_REGISTERS:
                is_frame = source == RBP and self.tracer.frame_pointer(self.body)
                state[to] = STACK if is_frame else state[source]
        elif effect.address_of is not None and effect.address_of < N_REGISTERS:
            memory = effect.memory[0]
            if memory.index == NONE and memory.base != NONE and self._is(memory.base, state, (STACK,)):
                state[effect.address_of] = STACK
            else:
                used = [r for r in (memory.base, memory.index) if r < N_REGISTERS]
                state[effect.address_of] = LOOSE if any(state[r] == LOOSE for r in used) else FIRM
        elif effect.constant:
            for register in effect.writes:
                state[register] = FIRM
        else:
            loads = any(m.read for m in effect.memory)
            loose = any(state[r] == LOOSE for r in effect.reads)
            loose = loose or (loads and (spilled or self.begin is Begin.LABEL))
            for register in effect.writes:
                if register != RSP:
                    state[register] = LOOSE if loose else FIRM
        state[RSP] = STACK


def holds_note(addresses: list[int], body: Body) -> bool:
    """Whether one of the sorted ``addresses`` is in ``body``."""
    i = bisect_left(addresses, body.begin)
    return i < len(addresses) and addresses[i] < body.end
