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

from upstare.points.code import Bodies, Body, Decoder, Found, Kind, Proof, Step
from upstare.points.elf import Elf
from upstare.points.layout import FLAG_CALL, NEXT_UNKNOWN
from upstare.points.notes import Note


def _address(note: Note) -> int:
    return note.address


class Tracer:
    """Follows paths in one ELF file. ``notes`` must be sorted by address."""

    def __init__(self, elf: Elf, notes: list[Note], bodies: Bodies) -> None:
        self.decoder = Decoder(elf, bodies, [n.address for n in notes], [bool(n.flags & FLAG_CALL) for n in notes])
        self.notes = notes
        self.bodies = bodies
        self.index = {note.address: i for i, note in enumerate(notes)}

    def from_labels(self, notes: list[Note]) -> list[Found]:
        """Where the dummy returns of the notes lead, whatever is done with their results on the way."""
        return self.decoder.follow([note.label for note in notes], Proof.WAY_ONLY)

    def harmless_from_labels(self, notes: list[Note]) -> list[Found]:
        """Where the dummy returns of the notes lead, if nothing is done with their results."""
        return self.decoder.follow([note.label for note in notes], Proof.FROM_LABEL)

    def from_returns(self, addresses: Sequence[int]) -> list[Found]:
        """Where return addresses lead, if nothing is done with the results."""
        ways = self.decoder.follow(addresses, Proof.WAY_ONLY)
        # The usual case is that the point is the next instruction.
        long = [i for i, way in enumerate(ways) if way.target != NEXT_UNKNOWN and addresses[i] not in self.index]
        proved = self.decoder.follow([addresses[i] for i in long], Proof.FROM_RETURN)
        for i, way in zip(long, proved, strict=True):
            ways[i] = way
        return ways

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


def holds_note(addresses: list[int], body: Body) -> bool:
    """Whether one of the sorted ``addresses`` is in ``body``."""
    i = bisect_left(addresses, body.begin)
    return i < len(addresses) and addresses[i] < body.end
