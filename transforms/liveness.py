"""Which variables a point must save: those whose value may still be read after it.

Backward dataflow over the structured statements of :mod:`transforms.ir`, repeated until labels and loops are stable.
Objects whose address is known elsewhere (*kept*) are not handled here: they live as long as their scope.
"""

from __future__ import annotations

from collections.abc import Sequence

from transforms import ir

Live = frozenset[int]
_NONE: Live = frozenset()


class Liveness:
    """Annotates every point of one function with the set of live variables."""

    def __init__(self) -> None:
        self.labels: dict[str, Live] = {}
        self.changed = False
        self.points: dict[ir.Point, Live] = {}
        self.after_jumps: Live = _NONE
        self.heads: dict[ir.Loop, Live] = {}  # what is live at the head of each loop, as far as is known

    def run(self, body: Sequence[ir.Statement]) -> dict[ir.Point, Live]:
        """The live variables at each point of a function body.

        From any call, control may come to where a setjmp has returned.
        """
        while True:
            self.changed = False
            self.points.clear()
            self._sequence(body, _NONE, _NONE, _NONE, None)
            if not self.changed:
                return {point: live | self.after_jumps for point, live in self.points.items()}

    def _sequence(
        self, items: Sequence[ir.Statement], out: Live, on_break: Live, on_continue: Live, cases: list[Live] | None
    ) -> Live:
        for item in reversed(items):
            out = self._statement(item, out, on_break, on_continue, cases)
        return out

    @staticmethod
    def _expr(expr: ir.Expr | None, out: Live) -> Live:
        return out if expr is None else (out - expr.defs) | expr.uses

    def _point(self, point: ir.Point, live: Live) -> None:
        self.points[point] = self.points.get(point, _NONE) | live

    def _statement(
        self, s: ir.Statement, out: Live, on_break: Live, on_continue: Live, cases: list[Live] | None
    ) -> Live:
        match s:
            case ir.Simple() | ir.Declare():
                return self._expr(s.expr, out)
            case ir.CallPoint():
                self._point(s.point, out)
                return self._expr(s.call, out - {s.result} if s.result is not None else out)
            case ir.SetJump():
                out -= {s.result}
                self.after_jumps |= out
                return self._expr(s.buffer, self._expr(s.call, out))
            case ir.PointHere():
                self._point(s.point, out)
                return out
            case ir.Block():
                return self._sequence(s.items, out, on_break, on_continue, cases)
            case ir.If():
                then = self._sequence(s.then, out, on_break, on_continue, cases)
                other = self._sequence(s.otherwise or [], out, on_break, on_continue, cases)
                return self._expr(s.cond, then | other)
            case ir.Loop():
                return self._loop(s, out, cases)
            case ir.Switch():
                inner: list[Live] = []
                self._sequence(s.body, out, out, on_continue, inner)
                entry = _NONE.union(*inner, out)
                return self._expr(s.cond, entry)
            case ir.Mark():
                if s.kind == "label":
                    if not out <= self.labels.get(s.name, _NONE):
                        self.labels[s.name] = self.labels.get(s.name, _NONE) | out
                        self.changed = True
                elif cases is not None:
                    cases.append(out)
                return out
            case ir.Jump():
                if s.kind == "goto":
                    return self.labels.get(s.name, _NONE)
                return on_break if s.kind == "break" else on_continue
            case ir.AsmJump():
                return self._expr(s.expr, out.union(*(self.labels.get(name, _NONE) for name in s.labels)))
            case ir.ComputedJump():
                return self._expr(s.expr, _NONE.union(*(self.labels.get(name, _NONE) for name in s.labels)))
            case ir.Return():
                return self._expr(s.expr, _NONE)
        return out

    def _loop(self, s: ir.Loop, out: Live, cases: list[Live] | None) -> Live:
        while True:
            head = self.heads.get(s, _NONE)
            if s.kind == "do":
                test = self._sequence(s.before, self._expr(s.cond, out | head), out, _NONE, cases)
                self._label(s, test)
                now = self._sequence(s.body, test, out, test, cases)
            else:
                step = self._sequence(s.step, self._expr(s.increment, head), out, _NONE, cases)
                self._label(s, step)
                body = self._sequence(s.body, step, out, step, cases)
                now = self._sequence(s.before, self._expr(s.cond, body | (out if s.cond else _NONE)), out, _NONE, cases)
            if now <= head:
                return head
            self.heads[s] = head | now

    def _label(self, s: ir.Loop, live: Live) -> None:
        if s.label is not None and not live <= self.labels.get(s.label, _NONE):
            self.labels[s.label] = self.labels.get(s.label, _NONE) | live
            self.changed = True
