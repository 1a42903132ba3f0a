"""Normal form: every call that may unroll stands alone.

C before::

    while (n > 0 && (k = next(s, n)) > 0) use(k);

C after (``next`` may unroll, ``use`` may not)::

    for (;;) { t1 = n > 0; if (t1) { t2 = next(s, n); POINT; t1 = (k = t2) > 0; } if (!t1) break; use(k); }

Requires: ``hot`` marks on the tree. Guarantees: the order of evaluation is one that C allows, and for operands that can
be changed by the call it is the one that gcc uses (operators from the left, arguments from the right). Expressions
without such calls keep their text. Refuses (``Pin``): constructs in which a call cannot be taken out of its expression.
"""

from __future__ import annotations

import re
from functools import cached_property

from clang.cindex import TypeKind

from transforms import ir
from transforms.arrays import Arrays
from transforms.cleanups import without_attribute
from transforms.expressions import strip
from transforms.labels import LABEL_INDEX, LABEL_INDEX_END, asm_labels
from transforms.temporaries import Pin, Temporary, c_type, has_constant_member, spelling
from upstare.frontend.functions import Local, own_table
from upstare.frontend.nodes import Node
from upstare.frontend.types import is_array, is_const


class NormalForm(Arrays):
    """Brings one function into normal form."""

    def run(self) -> list[ir.Statement]:
        """The statements of the body in normal form."""
        items: list[ir.Statement] = []
        if self.tree.name in self.decisions.entry_points:
            items.append(ir.PointHere(self.tree.body.start, self._point("entry", self.tree.body)))
        return [*items, *self._body(self.tree.body)]

    def statement(self, node: Node) -> list[ir.Statement]:
        """A statement in normal form."""
        handler = getattr(self, f"_s_{node.kind}", None)
        if handler is not None:
            result: list[ir.Statement] = handler(node)
            return result
        return self._expression(node)

    def _s_compound(self, node: Node) -> list[ir.Statement]:
        return [ir.Block(node.start, self._body(node))]

    def _body(self, node: Node | None) -> list[ir.Statement]:
        if node is None:
            return []
        if node.kind == "compound":
            items: list[ir.Statement] = []
            for child in node.children:
                items += self.statement(child)
            return [*items, *self.leave_block(node)]
        return self.statement(node)

    def _expression(self, node: Node) -> list[ir.Statement]:
        plain = node
        while plain.kind == "paren" or (plain.kind == "cast" and plain.type.get_canonical().kind == TypeKind.VOID):
            plain = plain.children[-1]
        if plain.hot_call and plain not in self.jumps:
            return self._discarded(plain)
        direct = self._direct_assignment(plain)
        if direct is not None:
            return direct
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(node, done)
        rest = self.expr(node, done)
        if before and rest.segments == ["((void)0)"]:
            return before
        return [*before, ir.Simple(node.start, rest)]

    def _discarded(self, node: Node) -> list[ir.Statement]:
        done: dict[int, list[ir.Segment]] = {}
        before = self._operands(node, done)
        point = self._call_point(node)
        if node.type.get_canonical().kind != TypeKind.VOID:
            point.returns = c_type(node.type)
        return [*before, ir.CallPoint(node.start, None, self.expr(node, done), point)]

    def _direct_assignment(self, node: Node) -> list[ir.Statement] | None:
        """``x = f()`` for a local that nothing else can see: the dummy value may land in it."""
        if node.kind != "binary" or node.op != "=" or not node.children[-1].hot_call:
            return None
        if node.children[-1] in self.jumps:
            return None
        left, call = strip(node.children[0]), node.children[-1]
        local = self.tree.locals.get(left.target) if left.kind == "ref" and left.target_kind == "local" else None
        if local is None or local.kept or local.ctype.get_canonical().is_const_qualified():
            return None
        if spelling(local.ctype.get_canonical()) != spelling(call.type.get_canonical()):
            return None
        done: dict[int, list[ir.Segment]] = {}
        before = self._operands(call, done)
        point = self._call_point(call)
        point.returns = c_type(call.type)
        point.result = local.target
        return [*before, ir.CallPoint(node.start, local.target, self.expr(call, done), point)]

    def _s_null(self, node: Node) -> list[ir.Statement]:
        return []

    def _s_asm(self, node: Node) -> list[ir.Statement]:
        labels = asm_labels(self.source, node)
        if labels:
            return [ir.AsmJump(node.start, self.expr(node), labels)]
        return [ir.Simple(node.start, self.expr(node))]

    def _s_decl(self, node: Node) -> list[ir.Statement]:
        variables = [c for c in node.children if c.kind == "var"]
        sized = [v for v in variables if self._is_sized(v)]
        if sized:
            return self._sized_declaration(node, variables, sized)
        hot = [v for v in variables if v.hot]
        if not hot:
            expr = without_attribute(self._declaration(node))
            if not expr.segments:
                return []
            targets = [v.target for v in variables if v.target_kind == "local"]
            return [ir.Declare(node.start, expr, targets)]
        done: dict[int, list[ir.Segment]] = {}
        before: list[ir.Statement] = []
        late: list[ir.Statement] = []
        dropped: set[int] = set()
        names: set[int] = set()
        for variable in variables:
            names.add(variable.target)
            init = variable.parts["init"]
            if init is None or (not variable.hot and not dropped):
                continue
            steps = self._lower(init, done)
            others = [v.parts["init"] for v in variables if v.target in names and v is not variable]
            if not dropped and not any(map(_does_something, others)) and not _mentions(steps, names):
                before += steps
                continue
            dropped.add(variable.target)
            late += [*steps, self._initialise(variable, init, done)]
        # Points that come before the declaration must not see its variables; those after it must.
        begin = node.start if hot[0].target in dropped else hot[0].end
        for variable in variables:
            local = self.tree.locals[variable.target]
            local.scope = (begin, local.scope[1])
        expr = without_attribute(self._declaration(node, done, dropped))
        return [*before, ir.Declare(node.start, expr, [v.target for v in variables]), *late]

    def _initialise(self, variable: Node, init: Node, done: dict[int, list[ir.Segment]]) -> ir.Statement:
        """The initialiser of a variable as a statement after its declaration."""
        value = self.expr(init, done)
        hole = ir.Ref(variable.target)
        segments: list[ir.Segment] = [hole, " = ", *value.segments]
        if is_array(variable.type):
            braced = value.segments if init.kind == "list" else ["{", *value.segments, "}"]
            segments = self._copied(hole, ["&(__typeof__(", hole, "))", *braced])
        elif init.kind == "list" or is_const(variable.type) or has_constant_member(variable.type):
            segments = self._copied(hole, ["(__typeof__(", hole, ")[]){", *value.segments, "}"])
        return ir.Simple(init.start, ir.Expr(segments, value.uses, value.defs | {variable.target}))

    @staticmethod
    def _copied(hole: ir.Ref, value: list[ir.Segment]) -> list[ir.Segment]:
        return ["__builtin_memcpy((void *)&", hole, ", (const void *)", *value, ", sizeof ", hole, ")"]

    def _s_if(self, node: Node) -> list[ir.Statement]:
        cond, then, other = node.parts["cond"], node.parts["then"], node.parts["else"]
        assert cond is not None
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(cond, done)
        test = self.expr(cond, done)
        text = f"if({self.source.words(cond.start, cond.end)})"
        yes = self._under(text, then)
        no = self._under(text + " else", other) if other is not None else None
        return [*before, ir.If(node.start, test, yes, no)]

    def _under(self, text: str, node: Node | None) -> list[ir.Statement]:
        self._path.append(text)
        result = self._body(node)
        self._path.pop()
        return result

    def _loop_body(self, node: Node, text: str, label: str | None) -> tuple[list[ir.Statement], bool]:
        self._continues.append([label, None])
        self._path.append(text)
        items: list[ir.Statement] = []
        if id(node) in self._loop_points:
            point = self._point("loop", node)
            point.text, point.line_offset = text, node.start
            body = node.parts["body"]
            point.offset = body.start if body is not None else node.start  # inside the scope of a for's own variables
            items.append(ir.PointHere(node.start, point))
        items += self._body(node.parts["body"])
        self._path.pop()
        return items, self._continues.pop()[1] is not None

    def _new_label(self) -> str:
        self._labels += 1
        return f"__upstare_k{self._labels}"

    def _s_while(self, node: Node) -> list[ir.Statement]:
        cond = node.parts["cond"]
        assert cond is not None
        done: dict[int, list[ir.Segment]] = {}
        text = f"while({self.source.words(cond.start, cond.end)})"
        self._path.append(text)
        before = self._lower(cond, done)
        self._path.pop()
        test = self.expr(cond, done)
        body, _ = self._loop_body(node, text, None)
        return [ir.Loop(node.start, "while", before, test, [], None, body)]

    def _s_do(self, node: Node) -> list[ir.Statement]:
        cond = node.parts["cond"]
        assert cond is not None
        text = f"do while({self.source.words(cond.start, cond.end)})"
        label = self._new_label() if cond.hot else None
        body, used = self._loop_body(node, text, label)
        done: dict[int, list[ir.Segment]] = {}
        self._path.append(text)
        before = self._lower(cond, done)
        self._path.pop()
        test = self.expr(cond, done)
        return [ir.Loop(node.start, "do", before, test, [], None, body, label if used else None)]

    def _s_for(self, node: Node) -> list[ir.Statement]:
        init, cond, inc = node.parts["init"], node.parts["cond"], node.parts["inc"]
        items: list[ir.Statement] = self.statement(init) if init is not None else []
        header = self.source.words(node.start, node.parts["body"].start) if node.parts["body"] is not None else "for"
        done: dict[int, list[ir.Segment]] = {}
        self._path.append(header)
        before = self._lower(cond, done) if cond is not None else []
        self._path.pop()
        test = self.expr(cond, done) if cond is not None else None
        label = self._new_label() if inc is not None and inc.hot else None
        body, used = self._loop_body(node, header, label)
        stepped: dict[int, list[ir.Segment]] = {}
        self._path.append(header)
        step = self._lower(inc, stepped) if inc is not None else []
        self._path.pop()
        increment = self.expr(inc, stepped) if inc is not None else None
        loop = ir.Loop(node.start, "while", before, test, step, increment, body, label if used else None)
        return [ir.Block(node.start, [*items, loop, *self.leave_block(node)])] if items else [loop]

    def _s_switch(self, node: Node) -> list[ir.Statement]:
        cond = node.parts["cond"]
        assert cond is not None
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(cond, done)
        test = self.expr(cond, done)
        body = self._under(f"switch({self.source.words(cond.start, cond.end)})", node.parts["body"])
        return [*before, ir.Switch(node.start, test, body)]

    def mark_of(self, node: Node) -> list[ir.Statement]:
        """The label of a labelled statement, alone."""
        if node.kind == "default":
            return [ir.Mark(node.start, "default", ir.Expr(["default:"]))]
        if node.kind == "label":
            return [ir.Mark(node.start, "label", ir.Expr([f"{node.name}:"]), node.name)]
        segments: list[ir.Segment] = ["case "]
        for index, value in enumerate(node.children[:-1]):
            segments += [" ... "] if index else []
            segments += self._segments(value, {})
        segments.append(":")
        return [ir.Mark(node.start, "case", ir.Expr(segments))]

    def _labelled(self, node: Node) -> list[ir.Statement]:
        return [*self.mark_of(node), *(self.statement(node.children[-1]) if node.children else [])]

    _s_case = _s_default = _s_label = _labelled

    def types_spelled(self) -> set[str]:
        """The names of types that the clones spell out, tags apart. Pin: one of them is the name of a parameter."""
        spelled = [t.c_type for t in self.temporaries.values()] + [p.returns for p in self.points if p.returns]
        words = set(re.findall(r"\w+", re.sub(r"\b(struct|union|enum) \w+", "", " ".join(spelled))))
        for local in self.tree.locals.values():
            if local.parameter and local.name in words:
                where = self.source.where(self.tree.start)
                raise Pin(f"{where}: {self.tree.name}: the parameter {local.name} hides a type of this name")
        return words

    @cached_property
    def _jumps(self) -> list[Node]:
        return [n for n in self.tree.body.walk() if n.kind in ("goto", "igoto", "switch")]

    def jumps_to(self, mark: ir.Mark) -> list[int]:
        """Where jumps to a label or case come from (offsets)."""
        nodes = self._jumps
        if mark.kind == "label":
            return [n.start for n in nodes if self._may_jump(n, mark.name)]
        around = [n.start for n in nodes if n.kind == "switch" and n.start <= mark.offset < n.end]
        return [max(around)] if around else []

    def _may_jump(self, node: Node, label: str) -> bool:
        if node.kind == "asm":
            return label in asm_labels(self.source, node)
        return node.kind == "igoto" or (node.kind == "goto" and node.name == label)

    def _s_goto(self, node: Node) -> list[ir.Statement]:
        return [*self.leave_to(node.start, node.name), ir.Jump(node.start, "goto", node.name)]

    def _s_igoto(self, node: Node) -> list[ir.Statement]:
        target = node.children[0]
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(target, done)
        value = self.expr(target, done)
        if not own_table(self.tree, node):
            value.segments = [LABEL_INDEX, *value.segments, LABEL_INDEX_END]
        labels = sorted({n.name for n in self.tree.body.walk() if n.kind == "addrlabel"})
        return [*before, ir.ComputedJump(node.start, value, labels)]

    def _s_break(self, node: Node) -> list[ir.Statement]:
        leave = self.leave_inner(node, ("for", "while", "do", "switch"))
        return [*leave, ir.Jump(node.start, "break")]

    def _s_continue(self, node: Node) -> list[ir.Statement]:
        leave = self.leave_inner(node, ("for", "while", "do"))
        if self._continues and self._continues[-1][0] is not None:
            self._continues[-1][1] = "used"
            return [*leave, ir.Jump(node.start, "goto", self._continues[-1][0])]
        return [*leave, ir.Jump(node.start, "continue")]

    def _s_return(self, node: Node) -> list[ir.Statement]:
        leave = self.leave_all(node.start)
        if not node.children:
            return [*leave, ir.Return(node.start, None)]
        value = node.children[0]
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(value, done)
        result = self.expr(value, done)
        if not leave:
            return [*before, ir.Return(node.start, result)]
        if value.type.get_canonical().kind == TypeKind.VOID:
            return [*before, ir.Simple(node.start, result), *leave, ir.Return(node.start, None)]
        temporary = self._temporary(self.tree.cursor.result_type, node)
        last = ir.Expr([ir.Ref(temporary.target)], {temporary.target})
        return [*before, self._assign(temporary, result, node), *leave, ir.Return(node.start, last)]

    def variable(self, target: int) -> Local | Temporary:
        """The variable behind a hole."""
        return self.tree.locals[target] if target >= 0 else self.temporaries[target]


def _does_something(init: Node | None) -> bool:
    """Whether it matters when an initialiser is evaluated."""
    return init is not None and any(n.kind not in ("number", "string", "list", "sizeof", "paren") for n in init.walk())


def _mentions(steps: list[ir.Statement], names: set[int]) -> bool:
    """Whether statements read or assign some of the variables, or only name them."""
    return any(isinstance(hole, ir.Ref) and hole.target in names for hole in ir.segments(steps))
