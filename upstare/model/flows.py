"""What the flows of pointers in a whole program say about its records: which lie in shared memory, and which are sent
to other processes or received from them.

Flows know no order and merge all calls of a function, so this may name a record too many. A buffer whose type says
nothing, and that is filled byte by byte, is not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from upstare.model.description import Message, SharedRecord
from upstare.model.facts import RECEIVED, SENT, Flow
from upstare.model.program import Program

_VECTOR = "f:struct iovec.iov_base"  # writev, readv, sendmsg, recvmsg: it may be either

End = tuple[int, str]
"""An end of a flow in the program: the unit that it belongs to, or -1, and its name."""


class _Edge(NamedTuple):
    end: End
    file: str
    line: int


class Flows:
    """The flows of all units together; ``flows`` are by unit."""

    def __init__(self, program: Program, flows: Sequence[Sequence[Flow]]) -> None:
        self._program = program
        self._static = [{v.name for v in s.variables if v.static and v.function is None} for s in program.summaries]
        self._out: dict[End, list[_Edge]] = defaultdict(list)
        self._in: dict[End, list[_Edge]] = defaultdict(list)
        for unit, own in enumerate(flows):
            names = {name for flow in own for name in (flow.source, flow.target)}
            ends = {name: self._end(unit, name) for name in names}
            for flow in own:
                source, target = ends[flow.source], ends[flow.target]
                self._out[source].append(_Edge(target, flow.file, flow.line))
                self._in[target].append(_Edge(source, flow.file, flow.line))

    def shared_records(self) -> list[SharedRecord]:
        """The records that pointers into shared memory are converted to, with each place where it is mapped."""
        found: dict[SharedRecord, None] = {}
        for start in [end for end in self._out if end[1].startswith("m:")]:
            for first in self._out[start]:
                for end in self._reached(first.end):
                    if end[1].startswith("t:"):
                        found[SharedRecord(end[1][2:], first.file, first.line, start[1][2:])] = None
        return list(found)

    def messages(self) -> list[Message]:
        """The records that are sent and received, with each place where a pointer to one goes in or comes out."""
        found: dict[Message, None] = {}
        for how, calls in (("sent", SENT), ("received", RECEIVED)):
            for call, number in calls.items():
                self._through((-1, f"p:{call}:{number}"), how, call, found)
        self._through((-1, _VECTOR), "sent", "writev or readv", found)
        return list(found)

    def _through(self, sink: End, how: str, call: str, found: dict[Message, None]) -> None:
        """Everything that goes into ``sink``, and what else the same buffers are taken for."""
        buffers, work = {sink}, [sink]
        while work:
            for edge in self._in.get(work.pop(), ()):
                kind, name = edge.end[1][0], edge.end[1][2:]
                if kind == "t":
                    found[Message(name, how, edge.file, edge.line, call)] = None
                elif kind not in "rm" and edge.end not in buffers:
                    buffers.add(edge.end)
                    work.append(edge.end)
        for buffer in buffers:
            if buffer[1][0] in "lgf":
                for edge in self._conversions(buffer):
                    found[Message(edge.end[1][2:], how, edge.file, edge.line, call)] = None

    def _conversions(self, start: End) -> Iterator[_Edge]:
        """Where pointers from here become pointers to records. Not by way of what functions return: one that only
        passes its argument on is used for all kinds of things."""
        seen, work = {start}, [start]
        while work:
            for edge in self._out.get(work.pop(), ()):
                kind = edge.end[1][0]
                if kind == "t":
                    yield edge
                elif kind not in "rm" and edge.end not in seen:
                    seen.add(edge.end)
                    work.append(edge.end)

    def _reached(self, start: End) -> set[End]:
        """Everything that a pointer from here becomes; where it is one to a record, it is followed no further."""
        seen, work = {start}, [start]
        while work:
            end = work.pop()
            for edge in self._out.get(end, ()) if not end[1].startswith("t:") else ():
                if edge.end not in seen:
                    seen.add(edge.end)
                    work.append(edge.end)
        return seen

    def _end(self, unit: int, name: str) -> End:
        kind, rest = name[0], name[2:]
        if kind == "l" or (kind == "g" and rest in self._static[unit]):
            return unit, name
        if kind in "pr":
            function, _, number = rest.partition(":")
            found = self._program.resolve(unit, function)
            if found is not None:
                home, function = found
                return home, f"{kind}:{function}:{number}"
        return -1, name
