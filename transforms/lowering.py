"""Expressions with calls that unroll: the calls are taken out, into statements that run first."""

from __future__ import annotations

from clang.cindex import TypeKind

from transforms import ir
from transforms.expressions import Expressions
from transforms.temporaries import Pin, Temporary, copy_of
from upstare.frontend.functions import is_arrow
from upstare.frontend.nodes import STATEMENTS, Node
from upstare.frontend.types import is_array


class Lowering(Expressions):
    """Lowers expressions."""

    def statement(self, node: Node) -> list[ir.Statement]:
        """A statement in normal form."""
        raise NotImplementedError

    def mark_of(self, node: Node) -> list[ir.Statement]:
        """The label of a labelled statement, alone."""
        raise NotImplementedError

    def leave_block(self, block: Node) -> list[ir.Statement]:
        """What has to be done where control runs off the end of a block."""
        raise NotImplementedError

    def lower(self, node: Node) -> tuple[list[ir.Statement], list[ir.Segment]]:
        """Statements to run first, and the text of the expression after them."""
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(node, done)
        return before, self._segments(node, done)

    def _take(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        """Evaluate ``node`` into a temporary now, and let the temporary stand for it."""
        inner = self._lower(node, done)
        value = self.expr(node, done)
        temporary = self._temporary(node.type, node)
        done[id(node)] = [ir.Ref(temporary.target)]
        return [*inner, self._assign(temporary, value, node)]

    @staticmethod
    def _assign(temporary: Temporary, value: ir.Expr, node: Node) -> ir.Statement:
        hole = ir.Ref(temporary.target)
        inner = ["(", *value.segments, ")"]  # there may be a comma
        segments: list[ir.Segment] = [hole, " = ", *inner]
        if temporary.by_copy:
            segments = [f"{{ {temporary.c_type} __upstare_v = ", *inner, "; ", *copy_of(hole), " }"]
        return ir.Simple(node.start, ir.Expr(segments, set(value.uses), value.defs | {temporary.target}))

    def _lower(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        if not node.hot or id(node) in done or node.kind == "sizeof":
            return []
        if node.kind == "binary" and node.op in ("&&", "||"):
            return self._logical(node, done)
        if node.kind in ("cond", "elvis"):
            return self._conditional(node, done)
        if node.kind == "binary" and node.op == "," and node.children[-1].hot:
            return self._comma(node, done)
        if node.kind == "stmtexpr":
            return self._statement_expression(node, done)
        if node.kind == "generic":
            raise Pin(f"{self.source.where(node.start)}: a call that can be interrupted stands inside _Generic")
        designated = self.source.text[node.start : node.start + 1] in b"[."  # [2] = f()
        if node.kind == "other" and len(node.children) > 1 and not self._atomic(node) and not designated:
            raise Pin(f"{self.source.where(node.start)}: a call that can be interrupted stands inside a builtin")
        before = self._operands(node, done)
        if node.hot_call:
            before += self._call(node, done)
        return before

    def _operands(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        if node.kind == "call":
            order = list(node.children)
            if not self.decisions.arguments_forward:
                order = [*reversed(node.children[1:]), node.children[0]]
        elif node.kind == "binary" and node.op.endswith("=") and node.op not in ("==", "!=", "<=", ">="):
            order = [node.children[-1], node.children[0]]
        else:
            order = list(node.children)
        last = max((i for i, n in enumerate(order) if n.hot), default=-1)
        before: list[ir.Statement] = []
        for index, operand in enumerate(order):
            if operand.hot:
                before += self._lower(operand, done)
            elif index < last and node.kind in ("binary", "call", "index", "other") and self._changeable(operand):
                before += self._take(operand, done)
        return before

    def _atomic(self, node: Node) -> bool:
        """Whether this is an atomic operation of the compiler, whose operands are those of a call."""
        return self.source.text.startswith((b"__atomic_", b"__c11_atomic_"), node.start)

    def _changeable(self, node: Node) -> bool:
        """Whether the value of an operand can be changed by a call, or evaluating it does something."""
        if is_array(node.type) or node.type.get_canonical().kind in (TypeKind.VOID, TypeKind.FUNCTIONPROTO):
            return False
        for n in node.evaluated():
            if n.kind in ("call", "stmtexpr", "index") or (
                n.kind == "unary" and n.op in ("*", "x++", "x--", "++x", "--x")
            ):
                return True
            if n.kind == "member" and is_arrow(self.parsed, n):
                return True
            if n.kind == "binary" and n.op.endswith("=") and n.op not in ("==", "!=", "<=", ">="):
                return True
            if n.kind == "ref" and n.target_kind in ("global", "static"):
                return True
            if n.kind == "ref" and n.target_kind == "local":
                local = self.tree.locals.get(n.target)
                if local is None or local.kept:
                    return True
        return False

    def _set_jump(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        argument = node.children[1]
        buffer = self.expr(argument, done)
        words = self.source.words(argument.start, argument.end)
        text = f"setjmp({words})"
        count = sum(1 for r in self.records if r.jump is not None and r.jump.split("#")[0] == text)
        number = len(self.temporaries) + 1
        record = Temporary(-number, f"__upstare_t{number}", None, "volatile __upstare_jump", kept=True)
        record.jump = text if count == 0 else f"{text}#{count + 1}"
        self.temporaries[-number] = record
        self.records.append(record)
        inner = dict(done)
        inner[id(argument)] = ["((__typeof__(&*(", *buffer.segments, ")))", ir.Ref(record.target), "[0])"]
        call = ir.Expr(self._segments(node, inner), {record.target})
        result = self._integer()
        done[id(node)] = [ir.Ref(result.target)]
        return [ir.SetJump(node.start, result.target, call, buffer, record.target, _is_jump_buffer(argument))]

    def _call(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        if node in self.jumps:
            return self._set_jump(node, done)
        call = self.expr(node, done)
        point = self._call_point(node)
        kind = node.type.get_canonical().kind
        if kind == TypeKind.VOID:
            done[id(node)] = ["((void)0)"]
            return [ir.CallPoint(node.start, None, call, point)]
        temporary = self._temporary(node.type, node)
        point.returns = temporary.c_type
        point.result = temporary.target
        done[id(node)] = [ir.Ref(temporary.target)]
        return [ir.CallPoint(node.start, temporary.target, call, point)]

    def _call_point(self, node: Node) -> ir.Point:
        point = self._point("call", node)
        info = next(c for c in self.tree.calls if c.node is node)
        point.callee = info.callee if info.callee is not None else "*" + self.types.key(info.ctype)
        point.blocking = info.callee in self._blocking
        point.tail = self.is_tail(info)
        statement: Node = node
        parent = self.tree.parent(statement)
        while parent is not None and parent.kind not in STATEMENTS:
            statement, parent = parent, self.tree.parent(parent)
        if parent is not None and parent.kind in ("compound", "label", "case", "default", "decl", "return"):
            whole = parent if parent.kind in ("decl", "return") else statement
            point.text = self.source.words(whole.start, whole.end)[:400]
        return point

    def _truth(self, node: Node, target: Temporary, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        before = self._lower(node, done)
        value = self.expr(node, done)
        value.segments = ["!!(", *value.segments, ")"]
        return [*before, self._assign(target, value, node)]

    def _integer(self) -> Temporary:
        number = len(self.temporaries) + 1
        temporary = Temporary(-number, f"__upstare_t{number}", None, "int")
        self.temporaries[-number] = temporary
        return temporary

    def _logical(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        left, right = node.children[0], node.children[-1]
        if not right.hot:
            return self._lower(left, done)
        target = self._integer()
        before = self._truth(left, target, done)
        then = self._truth(right, target, done)
        hole = ir.Ref(target.target)
        cond = ir.Expr([hole] if node.op == "&&" else ["!", hole], {target.target})
        done[id(node)] = [hole]
        return [*before, ir.If(node.start, cond, then)]

    def _conditional(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        first, last = node.children[0], node.children[-1]
        middle = node.children[1] if node.kind == "cond" else None
        if not last.hot and (middle is None or not middle.hot):
            return self._lower(first, done)
        if node.kind == "elvis":
            target = self._temporary(node.type, node)
            before = self._lower(first, done)
            before.append(self._assign(target, self.expr(first, done), node))
            other = self._value(last, target, done)
            done[id(node)] = [ir.Ref(target.target)]
            return [*before, ir.If(node.start, ir.Expr(["!", ir.Ref(target.target)], {target.target}), other)]
        assert middle is not None
        before = self._lower(first, done)
        cond = self.expr(first, done)
        void = node.type.get_canonical().kind == TypeKind.VOID
        result = None if void else self._temporary(node.type, node)
        then, other = self._value(middle, result, done), self._value(last, result, done)
        done[id(node)] = ["((void)0)"] if result is None else [ir.Ref(result.target)]
        return [*before, ir.If(node.start, cond, then, other)]

    def _value(self, node: Node, target: Temporary | None, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        before = self._lower(node, done)
        value = self.expr(node, done)
        if target is None:
            return [*before, ir.Simple(node.start, value)]
        return [*before, self._assign(target, value, node)]

    def _comma(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        left, right = node.children[0], node.children[-1]
        before = self._lower(left, done)
        before.append(ir.Simple(left.start, self.expr(left, done)))
        done[id(left)] = ["((void)0)"]
        return [*before, *self._lower(right, done)]

    def _statement_expression(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        block = node.children[0]
        kids = block.children
        void = node.type.get_canonical().kind == TypeKind.VOID
        items: list[ir.Statement] = []
        for kid in kids[:-1]:
            items += self.statement(kid)
        last = kids[-1] if kids else None
        while last is not None and not void and last.kind in ("label", "case", "default"):  # the value may have labels
            items += self.mark_of(last)
            last = last.children[-1]
        if last is None or void or last.kind in STATEMENTS:
            items += self.statement(last) if last is not None else []
            done[id(node)] = ["((void)0)"]
            return [ir.Block(node.start, [*items, *self.leave_block(block)])]
        target = self._temporary(last.type, last)
        items += self._value(last, target, done)
        done[id(node)] = [ir.Ref(target.target)]
        return [ir.Block(node.start, [*items, *self.leave_block(block)])]


def _is_jump_buffer(node: Node) -> bool:
    """Whether what a setjmp is given is a ``jmp_buf`` before it is cast."""
    while node.kind in ("paren", "cast"):
        node = node.children[-1]
    ctype = node.type.get_canonical()
    inner = ctype.element_type if is_array(ctype) else ctype.get_pointee()
    return bool(inner.get_canonical().spelling == "struct __jmp_buf_tag")
