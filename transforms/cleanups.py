"""The cleanup attribute, made into calls.

The compiler would call the function on the way of the dummy return too. So the attribute is taken away, and the calls
are made where control leaves the scope of the variable: at its end, at jumps out of it, and at returns, which first
evaluate their value. As the compiler does, a computed goto and longjmp leave without them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clang.cindex import TypeKind

from transforms import ir
from transforms.lowering import Lowering
from transforms.temporaries import c_type
from upstare.frontend.functions import CLEANUP, Local
from upstare.frontend.nodes import Node

_WORD = re.compile(rf"\b{CLEANUP}")


def without_attribute(expr: ir.Expr) -> ir.Expr:
    """A declaration without its cleanup attributes."""
    segments: list[ir.Segment] = []
    for segment in expr.segments:
        if isinstance(segment, str) and segments and isinstance(segments[-1], str):
            segments[-1] += segment
        else:
            segments.append(segment)
    segments = [_WORD.sub("", s) if isinstance(s, str) else s for s in segments]
    return ir.Expr(segments, expr.uses, expr.defs)


class Cleanups(Lowering):
    """The calls that cleanup attributes stand for."""

    def _leaving(self, offset: int, stays: Callable[[Local], bool]) -> list[ir.Statement]:
        """The calls for the variables in scope at ``offset``, but for those whose scope control stays in."""
        found = [v for v in self.tree.locals.values() if v.cleanup and v.scope[0] <= offset < v.scope[1]]
        leave = [v for v in sorted(found, key=lambda v: -v.target) if not stays(v)]
        return [s for v in leave for s in self._clean(v, offset)]

    def leave_all(self, offset: int) -> list[ir.Statement]:
        """What a return has to do."""
        return self._leaving(offset, lambda v: False)

    def leave_block(self, block: Node) -> list[ir.Statement]:
        """What has to be done where control runs off the end of a block or loop."""
        last = block.children[-1].kind if block.children and block.kind == "compound" else ""
        if last in ("return", "goto", "break", "continue"):
            return []
        body = block.parts.get("body")
        at = block.end - 1 if body is None else body.start  # for a loop: where only its own variables are in scope
        return self._leaving(at, lambda v: self._home(v) is not block)

    def leave_to(self, offset: int, label: str) -> list[ir.Statement]:
        """What a goto has to do."""
        targets = [n.start for n in self.tree.body.walk() if n.kind == "label" and n.name == label]
        return self._leaving(offset, lambda v: any(v.scope[0] <= t < v.scope[1] for t in targets))

    def leave_inner(self, node: Node, kinds: tuple[str, ...]) -> list[ir.Statement]:
        """What a break or continue has to do: it leaves all that is inside the statement that it belongs to."""
        outer = next(n for n in self._above(node) if n.kind in kinds)
        return self._leaving(node.start, lambda v: all(n is not outer for n in self._homes(v)))

    def _above(self, node: Node) -> Iterator[Node]:
        parent = self.tree.parent(node)
        while parent is not None:
            yield parent
            parent = self.tree.parent(parent)

    def _home(self, local: Local) -> Node | None:
        """The block, or the for, that a variable is declared in."""
        assert local.node is not None
        return next((n for n in self._above(local.node) if n.kind in ("compound", "for")), None)

    def _homes(self, local: Local) -> Iterator[Node]:
        """The statements around the one that a variable is declared in."""
        home = self._home(local)
        return self._above(home) if home is not None else iter(())

    def _clean(self, local: Local, offset: int) -> list[ir.Statement]:
        name = local.cleanup
        assert name is not None
        call = ir.Expr([f"{name}(&", ir.Ref(local.target), ")"], {local.target})
        if name not in self.hot_names:
            return [ir.Simple(offset, call)]
        point = ir.Point(0, "call", offset, name, path=list(self._path), text=f"{name}(&{local.name})")
        self.points.append(point)
        declared = self.parsed.declarations(name)
        if declared and declared[0].result_type.get_canonical().kind != TypeKind.VOID:
            point.returns = c_type(declared[0].result_type)
        return [ir.CallPoint(offset, None, call, point)]
