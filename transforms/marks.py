"""Where points go in one function: the calls that may unroll, and the loops that get a point of their own."""

from __future__ import annotations

from transforms import ir
from transforms.decisions import Decisions
from transforms.temporaries import Temporary
from upstare.frontend.functions import Call, FunctionTree, set_jumps
from upstare.frontend.nodes import Node, Parsed
from upstare.frontend.statics import movable
from upstare.frontend.types import TypeTable


class Marks:
    """Marks the tree of one function."""

    def __init__(self, parsed: Parsed, tree: FunctionTree, decisions: Decisions, types: TypeTable) -> None:
        self.parsed, self.tree, self.decisions, self.types = parsed, tree, decisions, types
        self.source = parsed.source
        self.temporaries: dict[int, Temporary] = {}
        self.sized: dict[int, list[int | str]] = {}  # arrays of variable length: the lengths, or variables with them
        self.points: list[ir.Point] = []
        self.externs: dict[str, str] = {}  # C name -> declaration to put at the start of the body
        self.uses_name = False
        self.copied: set[str] = set()  # functions of the unit that resume clones call copies of
        self.called_copies: set[str] = set()  # those that this function calls
        self.jumps = set_jumps(tree)
        self.records: list[Temporary] = []  # of the calls of setjmp
        self._path: list[str] = []
        self._continues: list[list[str | None]] = []
        self._labels = 0
        self.hot_names = {*decisions.hot, *decisions.blocking}
        self._hot_types = set(decisions.hot_types)
        self._lasting, self._staying = set(decisions.lasting), set(decisions.staying)
        self._blocking = set(decisions.blocking)
        self._redirects = set(decisions.redirects)
        self.moved, self.shared = self._statics()
        self._loop_points = {id(loop) for loop in self._loops_with_points()}

    def _statics(self) -> tuple[dict[int, str], dict[int, str]]:
        """The static locals that move to file scope (their new names), and those that stay (names for them).

        What moves: those that versions share, the constants of a function with two clones, which must agree on the
        address, and those that are declared together with what is shared.
        """
        moved: dict[int, str] = {}
        shared: dict[int, str] = {}
        instrumented = self.tree.name in self.decisions.instrumented
        for local in self.tree.locals.values():
            if not local.static or local.node is None or local.target in self.tree.label_tables:
                continue
            decision = self.decisions.statics.get(f"{self.tree.name}:{local.key}")
            suffix = f"{self.tree.name}_{local.key.replace('#', '_')}"
            if decision is not None and decision.c_name is not None:
                moved[local.target] = decision.c_name
            elif movable(self.tree, local.node):
                if instrumented or self._beside(local.node):
                    moved[local.target] = f"__upstare_s_{suffix}"
            elif instrumented or local.node.cursor.tls_kind.name == "NONE":
                shared[local.target] = suffix
        return moved, shared

    def _beside(self, node: Node) -> bool:
        parent = self.tree.parent(node)
        declared = [self.tree.locals.get(c.target) for c in parent.children] if parent is not None else []
        return any(v is not None and f"{self.tree.name}:{v.key}" in self.decisions.statics for v in declared)

    def mark(self) -> None:
        """Set ``hot`` and ``hot_call`` on the tree."""
        for call in self.tree.calls:
            if self.decisions.placement == "default" and self._doomed(call):
                continue
            if call.callee is not None:
                hot = call.callee in self.hot_names
            else:
                hot = self.types.key(call.ctype) in self._hot_types
            hot |= call.node in self.jumps
            if hot and not self._unevaluated(call.node):
                call.node.hot_call = True
                self._heat(call.node)
        for local in self.tree.locals.values():
            if local.cleanup in self.hot_names and local.node is not None:
                self._heat(self.tree.parent(local.node))
        for node in self.tree.body.walk():
            if id(node) in self._loop_points:
                self._heat(node)

    def _heat(self, node: Node | None) -> None:
        while node is not None and not node.hot:
            node.hot = True
            node = self.tree.parent(node)

    def _unevaluated(self, node: Node) -> bool:
        parent = self.tree.parent(node)
        while parent is not None:
            if parent.kind == "sizeof":
                return True
            parent = self.tree.parent(parent)
        return False

    def _loops_with_points(self) -> list[Node]:
        result = []
        for loop in self.tree.loops:
            if self.decisions.placement != "default":
                result.append(loop.node)
                continue
            hot = (c for c in self.tree.calls if self._would_be_hot(c) and not self.is_tail(c))
            calls = [c for c in hot if _inside(c.node, loop.node)]
            if loop.why and (not loop.inner or calls):
                continue
            if any(self._always_runs(c.node, loop.node) for c in calls):
                continue
            result.append(loop.node)
        return result

    def _doomed(self, call: Call) -> bool:
        return call.callee not in self._staying and not call.doom <= self._lasting

    def _would_be_hot(self, call: Call) -> bool:
        if self._doomed(call):
            return False
        if call.callee is not None:
            return call.callee in self.hot_names
        return self.types.key(call.ctype) in self._hot_types

    def is_tail(self, call: Call) -> bool:
        """Whether a call that may unroll needs no point, because the function leaves no frame behind."""
        return call.tail and self.decisions.tail_calls and call.callee not in self._blocking

    def _always_runs(self, node: Node, loop: Node) -> bool:
        """Whether each turn of the loop surely evaluates ``node``: nothing conditional between them."""
        cond = loop.parts.get("cond")
        child, parent = node, self.tree.parent(node)
        while parent is not None and parent is not loop:
            if parent.kind in ("if", "switch", "for", "while", "do", "cond", "elvis") and child is not parent.parts.get(
                "cond"
            ):
                return False
            if parent.kind == "binary" and parent.op in ("&&", "||") and child is not parent.children[0]:
                return False
            if parent.kind == "compound":
                for before in parent.children:
                    if before is child:
                        break
                    if any(n.kind in ("continue", "goto") for n in before.walk()):
                        return False
            child, parent = parent, self.tree.parent(parent)
        return parent is loop and (
            cond is None or child is cond or loop.kind == "do" or child is loop.parts.get("body")
        )


def _inside(node: Node, outer: Node) -> bool:
    return outer.start <= node.start and node.end <= outer.end
