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

from dataclasses import dataclass
from typing import Any

from clang.cindex import CursorKind, TypeKind

from transforms import ir
from transforms.decisions import Decisions
from upstare.frontend.functions import FunctionTree, Local, is_arrow, taken_address, va_starts
from upstare.frontend.nodes import STATEMENTS, Node, Parsed
from upstare.frontend.types import TypeTable, is_array, is_const

_NAME_MACROS = ("__func__", "__FUNCTION__", "__PRETTY_FUNCTION__")


class Pin(Exception):
    """This function cannot be brought into normal form; the message says where and why."""


@dataclass(eq=False)
class Temporary:
    """A variable that the transform made. ``target`` is negative."""

    target: int
    name: str
    ctype: Any
    c_type: str
    kept: bool = False
    by_copy: bool = False  # has constant members: cannot be assigned, only copied


def c_type(ctype: Any) -> str:
    """A spelling of a type that declares an assignable object: canonical, unqualified at the top, decayed."""
    ctype = ctype.get_canonical()
    if ctype.kind in (TypeKind.INCOMPLETEARRAY, TypeKind.CONSTANTARRAY):
        return (
            c_type(ctype.element_type) + " *"
            if "(" not in ctype.spelling
            else f"__typeof__({ctype.element_type.spelling}) *"
        )
    if ctype.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
        return f"__typeof__({ctype.spelling}) *"
    if ctype.is_const_qualified() or ctype.is_volatile_qualified() or ctype.is_restrict_qualified():
        if ctype.kind not in (TypeKind.RECORD, TypeKind.VOID):
            return f"__typeof__(({ctype.spelling})0)"  # the type of a cast has no qualifiers at the top
    return f"__typeof__({spelling(ctype)})"


def copy_of(hole: ir.Ref) -> list[ir.Segment]:
    """``hole`` takes the bytes of __upstare_v."""
    return ["__builtin_memcpy((void *)&", hole, ", (const void *)&__upstare_v, sizeof __upstare_v);"]


def has_constant_member(ctype: Any) -> bool:
    """Whether a record type cannot be assigned because something in it is const."""
    ctype = ctype.get_canonical()
    while ctype.kind in (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY):
        ctype = ctype.element_type.get_canonical()
    if ctype.kind != TypeKind.RECORD:
        return False
    return any(f.type.get_canonical().is_const_qualified() or is_const(f.type) or has_constant_member(f.type)
               for f in ctype.get_fields())  # fmt: skip


def spelling(ctype: Any) -> str:
    """The canonical spelling without the qualifiers at the top."""
    text = str(ctype.get_canonical().spelling)
    if ctype.kind == TypeKind.POINTER or "*" in text:
        while True:
            for word in ("const", "volatile", "restrict", "__restrict"):
                if text.endswith(word):
                    text = text[: -len(word)].rstrip()
                    break
            else:
                return text.replace(" __attribute__((noreturn))", "")
    words = [w for w in text.split(" ") if w not in ("const", "volatile", "restrict")]
    return " ".join(words)


class NormalForm:
    """Brings one function into normal form."""

    def __init__(self, parsed: Parsed, tree: FunctionTree, decisions: Decisions, types: TypeTable) -> None:
        self.parsed, self.tree, self.decisions, self.types = parsed, tree, decisions, types
        self.source = parsed.source
        self.temporaries: dict[int, Temporary] = {}
        self.points: list[ir.Point] = []
        self.externs: dict[str, str] = {}  # C name -> declaration to put at the start of the body
        self.uses_name = False
        self._path: list[str] = []
        self._continues: list[list[str | None]] = []
        self._labels = 0
        self._hot_names = set(decisions.hot)
        self._hot_types = set(decisions.hot_types)
        self._blocking = set(decisions.blocking)
        self._redirects = set(decisions.redirects)
        self._loop_points = {id(loop) for loop in self._loops_with_points()}

    # ---- marks ---------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Set ``hot`` and ``hot_call`` on the tree."""
        for call in self.tree.calls:
            if call.doomed and self.decisions.placement == "default":
                continue
            if call.callee is not None:
                hot = call.callee in self._hot_names or call.callee in self._blocking
            else:
                hot = self.types.key(call.ctype) in self._hot_types
            if hot and not self._unevaluated(call.node):
                node: Node | None = call.node
                call.node.hot_call = True
                while node is not None and not node.hot:
                    node.hot = True
                    node = self.tree.parent(node)
        for node in self.tree.body.walk():
            if id(node) in self._loop_points:
                up: Node | None = node
                while up is not None and not up.hot:
                    up.hot = True
                    up = self.tree.parent(up)

    def _unevaluated(self, node: Node) -> bool:
        parent = self.tree.parent(node)
        while parent is not None:
            if parent.kind == "sizeof":
                return True
            parent = self.tree.parent(parent)
        return False

    def _loops_with_points(self) -> list[Node]:
        result = []
        starts = va_starts(self.tree)
        for loop in self.tree.loops:
            if any(_inside(start, loop.node) for start in starts):
                continue  # a frame that is resumed here would begin to read arguments that it no longer has
            if self.decisions.placement != "default":
                result.append(loop.node)
                continue
            calls = [c for c in self.tree.calls if self._would_be_hot(c) and _inside(c.node, loop.node)]
            if loop.why and (not loop.inner or calls):
                continue
            if any(self._always_runs(c.node, loop.node) for c in calls):
                continue
            result.append(loop.node)
        return result

    def _would_be_hot(self, call: Any) -> bool:
        if call.doomed:
            return False
        if call.callee is not None:
            return call.callee in self._hot_names or call.callee in self._blocking
        return self.types.key(call.ctype) in self._hot_types

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

    # ---- the function --------------------------------------------------------------------------------------------

    def run(self) -> list[ir.Statement]:
        """The statements of the body in normal form."""
        items: list[ir.Statement] = []
        if self.tree.name in self.decisions.entry_points:
            items.append(ir.PointHere(self.tree.body.start, self._point("entry", self.tree.body)))
        for child in self.tree.body.children:
            items += self.statement(child)
        return items

    def _point(self, kind: str, node: Node) -> ir.Point:
        point = ir.Point(0, kind, node.start, path=list(self._path), text=self.source.words(node.start, node.end)[:400])
        self.points.append(point)
        return point

    def _temporary(self, ctype: Any, node: Node, kept: bool = False) -> Temporary:
        text = c_type(ctype) if not kept else f"__typeof__({ctype.get_canonical().spelling})"
        if "(unnamed" in text or "(anonymous" in text:
            raise Pin(f"{self.source.where(node.start)}: the value of a call has a type without a name")
        declaration = ctype.get_canonical().get_declaration()
        if declaration.kind in (CursorKind.STRUCT_DECL, CursorKind.UNION_DECL, CursorKind.ENUM_DECL):
            if self.tree.start < declaration.location.offset < self.tree.end:
                raise Pin(f"{self.source.where(node.start)}: the value of a call has a type of this function's own")
        number = len(self.temporaries) + 1
        temporary = Temporary(
            -number, f"__upstare_t{number}", ctype.get_canonical(), text, kept, not kept and has_constant_member(ctype)
        )
        self.temporaries[-number] = temporary
        return temporary

    # ---- expressions without calls that unroll --------------------------------------------------------------------

    def expr(self, node: Node | None, done: dict[int, list[ir.Segment]] | None = None) -> ir.Expr:
        """The text of an expression with holes. ``done`` replaces subtrees (by id) that were taken out."""
        if node is None:
            return ir.Expr([])
        result = ir.Expr(self._segments(node, done or {}))
        self._effects(node, result, False, done or {})
        return result

    def _segments(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Segment]:
        if id(node) in done:
            return done[id(node)]
        if node.kind == "ref":
            return [self._reference(node)]
        if node.kind == "literal" and self._lasting_literal(node):
            return self._literal(node, done)
        if not node.children:
            text = self.source.flat(node.start, node.end)
            if node.kind not in ("string", "number") and text in _NAME_MACROS:
                self.uses_name = True
                return [ir.FUNCTION_NAME]
            return [text]
        text = self.source.flat(node.start, node.end)
        if text in _NAME_MACROS:
            self.uses_name = True
            return [ir.FUNCTION_NAME]
        return self._spliced(node.start, node.end, node.children, done)

    def _spliced(
        self, start: int, end: int, children: list[Node], done: dict[int, list[ir.Segment]]
    ) -> list[ir.Segment]:
        result: list[ir.Segment] = []
        position = start
        for child in children:
            begin = max(child.start, position) if child.kind == "var" else child.start
            if begin > position:
                result.append(self.source.flat(position, begin))
            if child.kind in STATEMENTS:
                result += self._verbatim(child)
            else:
                result += self._segments(child, done)
            position = child.end
        if end > position:
            result.append(self.source.flat(position, end))
        return result

    def _verbatim(self, node: Node) -> list[ir.Segment]:
        """A statement inside an expression (statement expression without calls that unroll)."""
        if node.kind == "decl":
            return [*self._declaration(node).segments, ";"]
        if not node.children:
            return [self.source.flat(node.start, node.end)]
        return self._spliced(node.start, node.end, node.children, {})

    def _reference(self, node: Node) -> ir.Segment:
        if node.target_kind == "local" and node.target in self.tree.locals:
            return ir.Ref(node.target)
        return self.plain_name(node)

    def plain_name(self, node: Node) -> str:
        """How a reference to something outside the function's own variables is printed."""
        if node.target_kind == "static" and node.target in self.tree.locals:
            decision = self.decisions.statics.get(f"{self.tree.name}:{self.tree.locals[node.target].key}")
            if decision is not None and decision.c_name is not None:
                return decision.c_name
            return node.name
        if node.target_kind == "function":
            if node.name in self._redirects:
                name = f"upstare_{node.name}"
                declared = bool(self.parsed.declarations(node.name))
                # Without a declaration the call is an implicit int function, as it was before.
                self.externs[name] = f"extern __typeof__({node.name}) {name};" if declared else f"extern int {name}();"
                return name
            if node in self.tree.values and node.name in self.decisions.entries:
                name = f"__upstare_entry_{node.name}"
                entry = self.decisions.entries[node.name]
                self.externs[name] = f'extern __typeof__({node.name}) {name} __asm__("upe${entry}");'
                return name
        return node.name

    def _lasting_literal(self, node: Node) -> bool:
        return not self._in_static(node) and taken_address(self.parsed, self.tree, node) is not None

    def _in_static(self, node: Node) -> bool:
        parent: Node | None = node
        while parent is not None:
            if parent.kind == "var":
                return parent.target_kind == "static"
            parent = self.tree.parent(parent)
        return False

    def _literal(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Segment]:
        temporary = self._temporary(node.type, node, kept=True)
        hole = ir.Ref(temporary.target)
        inner = self._spliced(node.start, node.end, node.children, done)
        return ["(*(__typeof__(", hole, ") *)__builtin_memcpy(&", hole, ", &(", *inner, "), sizeof ", hole, "))"]

    def _effects(self, node: Node, into: ir.Expr, maybe: bool, done: dict[int, list[ir.Segment]]) -> None:
        """Collect reads and certain assignments. ``maybe``: evaluated only under a condition."""
        if id(node) in done:
            into.uses.update(s.target for s in done[id(node)] if isinstance(s, ir.Ref))
            return
        if node.kind == "sizeof":
            return
        if node.kind == "ref":
            if node.target_kind == "local":
                into.uses.add(node.target)
            return
        if node.kind == "binary" and node.op == "=":
            left, right = node.children[0], node.children[-1]
            self._effects(right, into, maybe, done)
            plain = _strip(left)
            if plain.kind == "ref" and plain.target_kind == "local":
                if not maybe and plain.target not in into.uses:
                    into.defs.add(plain.target)
            else:
                self._lvalue(left, into, maybe, done)
            return
        if (node.kind == "binary" and node.op in ("&&", "||")) or node.kind in ("cond", "elvis"):
            self._effects(node.children[0], into, maybe, done)
            for child in node.children[1:]:
                self._effects(child, into, True, done)
            return
        conditional = maybe or node.kind in ("stmtexpr", "generic", "if", "for", "while", "do", "switch")
        if node.kind == "var":
            init = node.parts.get("init")
            if init is not None:
                self._effects(init, into, conditional, done)
            for child in node.children:
                if child is not init:
                    self._effects(child, into, True, done)
            return
        for child in node.children:
            self._effects(child, into, conditional, done)

    def _lvalue(self, node: Node, into: ir.Expr, maybe: bool, done: dict[int, list[ir.Segment]]) -> None:
        """Assigning to part of a local neither reads nor ends it."""
        plain = _strip(node)
        if plain.kind == "member" and plain.children and not is_arrow(self.parsed, plain):
            self._lvalue(plain.children[0], into, maybe, done)
        elif not (plain.kind == "ref" and plain.target_kind == "local" and not plain.type.kind == TypeKind.POINTER):
            self._effects(node, into, maybe, done)

    # ---- expressions with calls that unroll ------------------------------------------------------------------------

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
        segments: list[ir.Segment] = [hole, " = ", *value.segments]
        if temporary.by_copy:
            segments = [f"{{ {temporary.c_type} __upstare_v = ", *value.segments, "; ", *copy_of(hole), " }"]
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
        if node.kind == "other" and len(node.children) > 1:
            raise Pin(f"{self.source.where(node.start)}: a call that can be interrupted stands inside a builtin")
        before = self._operands(node, done)
        if node.hot_call:
            before += self._call(node, done)
        return before

    def _operands(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        if node.kind == "call":
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
            elif index < last and node.kind in ("binary", "call", "index") and self._changeable(operand):
                before += self._take(operand, done)
        return before

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

    def _call(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
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

    def _integer(self, node: Node) -> Temporary:
        number = len(self.temporaries) + 1
        temporary = Temporary(-number, f"__upstare_t{number}", None, "int")
        self.temporaries[-number] = temporary
        return temporary

    def _logical(self, node: Node, done: dict[int, list[ir.Segment]]) -> list[ir.Statement]:
        left, right = node.children[0], node.children[-1]
        if not right.hot:
            return self._lower(left, done)
        target = self._integer(node)
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
        if last is None or void or last.kind in STATEMENTS:
            items += self.statement(last) if last is not None else []
            done[id(node)] = ["((void)0)"]
            return [ir.Block(node.start, items)]
        target = self._temporary(last.type, last)
        items += self._value(last, target, done)
        done[id(node)] = [ir.Ref(target.target)]
        return [ir.Block(node.start, items)]

    # ---- statements ----------------------------------------------------------------------------------------------

    def statement(self, node: Node) -> list[ir.Statement]:
        """A statement in normal form."""
        handler = getattr(self, f"_s_{node.kind}", None)
        if handler is not None:
            result: list[ir.Statement] = handler(node)
            return result
        return self._expression(node)

    def _s_compound(self, node: Node) -> list[ir.Statement]:
        items: list[ir.Statement] = []
        for child in node.children:
            items += self.statement(child)
        return [ir.Block(node.start, items)]

    def _body(self, node: Node | None) -> list[ir.Statement]:
        if node is None:
            return []
        if node.kind == "compound":
            items: list[ir.Statement] = []
            for child in node.children:
                items += self.statement(child)
            return items
        return self.statement(node)

    def _expression(self, node: Node) -> list[ir.Statement]:
        plain = node
        while plain.kind == "paren" or (plain.kind == "cast" and plain.type.get_canonical().kind == TypeKind.VOID):
            plain = plain.children[-1]
        if plain.hot_call:
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
        left, call = _strip(node.children[0]), node.children[-1]
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
        return [ir.Simple(node.start, self.expr(node))]

    def _s_decl(self, node: Node) -> list[ir.Statement]:
        variables = [c for c in node.children if c.kind == "var"]
        hot = [v for v in variables if v.hot]
        if not hot:
            expr = self._declaration(node)
            if not expr.segments:
                return []
            targets = [v.target for v in variables if v.target_kind == "local"]
            return [ir.Declare(node.start, expr, targets)]
        done: dict[int, list[ir.Segment]] = {}
        late: list[ir.Statement] = []
        before: list[ir.Statement] = []
        dropped: set[int] = set()
        first = variables.index(hot[0])
        for index, variable in enumerate(variables):
            init = variable.parts["init"]
            if init is None or index < first:
                continue
            refers = any(
                n.kind == "ref" and n.target in {v.target for v in variables[: index + 1]} for n in init.walk()
            )
            if index == first and not refers:
                before += self._lower(init, done)
                continue
            if init.kind == "list" or is_array(variable.type) or variable.type.get_canonical().is_const_qualified():
                where = self.source.where(variable.start)
                raise Pin(f"{where}: an initialiser with a call that can be interrupted depends on its own declaration")
            dropped.add(variable.target)
            steps = self._lower(init, done)
            value = self.expr(init, done)
            segments = [ir.Ref(variable.target), " = ", *value.segments]
            late += [*steps, ir.Simple(init.start, ir.Expr(segments, value.uses, value.defs | {variable.target}))]
        # Points that come before the declaration must not see its variables; those after it must.
        begin = node.start if hot[0].target in dropped else hot[0].end
        for variable in variables:
            local = self.tree.locals[variable.target]
            local.scope = (begin, local.scope[1])
        expr = self._declaration(node, done, dropped)
        return [*before, ir.Declare(node.start, expr, [v.target for v in variables]), *late]

    def _declaration(
        self, node: Node, done: dict[int, list[ir.Segment]] | None = None, dropped: set[int] | None = None
    ) -> ir.Expr:
        """A declaration without its semicolon. Static locals that moved to file scope leave nothing."""
        done, dropped = done or {}, dropped or set()
        variables = [c for c in node.children if c.kind == "var"]
        end = node.end
        if self.source.text[end - 1 : end] == b";":
            end -= 1
        if variables and all(self._moved(v) for v in variables):
            return ir.Expr([])
        result = ir.Expr([])
        position = node.start
        first_name = variables[0].target if variables else node.end
        strip = any(v.target_kind == "local" and v.type.get_canonical().is_const_qualified() for v in variables)
        head_done = False
        for child in node.children:
            if child.kind != "var":
                continue
            if not head_done:
                operands = [c for c in child.children if c.end <= first_name]  # of typeof
                result.segments += self._specifiers(position, first_name, strip, variables, operands)
                head_done = True
            else:
                result.segments.append(self.source.flat(position, child.target))
            result.segments.append(ir.Name(child.target))
            after = child.target + len(child.name.encode())
            init = child.parts["init"]
            sizes = [c for c in child.children if c is not init and c.start >= after]
            if init is None:
                result.segments += self._spliced(after, child.end, sizes, done)
            elif child.target in dropped:
                equals = self.source.text.rindex(b"=", after, init.start)
                result.segments += self._spliced(after, equals, sizes, done)
            else:
                result.segments += self._spliced(after, child.end, [*sizes, init], done)
                self._effects(init, result, False, done)
            if child.target_kind == "local":
                result.uses.discard(child.target)
                result.defs.add(child.target)
            position = child.end
        result.segments.append(self.source.flat(position, end))
        result.defs -= result.uses
        return result

    def _specifiers(
        self, start: int, end: int, strip: bool, variables: list[Node], operands: list[Node]
    ) -> list[ir.Segment]:
        segments = self._spliced(start, end, operands, {})
        if not any(v.target_kind == "local" for v in variables):
            return segments
        result: list[ir.Segment] = []
        for segment in segments:
            result += self._storage(segment, strip) if isinstance(segment, str) else [segment]
        return result

    @staticmethod
    def _storage(text: str, strip: bool) -> list[ir.Segment]:
        """Specifiers without ``register``, and without ``const`` in the resume clone if ``strip``."""
        pieces: list[ir.Segment] = []
        word = ""
        for char in text + "\0":
            if char.isalnum() or char == "_":
                word += char
                continue
            if word == "register":
                pass
            elif word == "const" and strip:
                pieces.append(ir.FastOnly(word))
            elif word:
                pieces.append(word)
            word = ""
            if char != "\0":
                pieces.append(char)
        return pieces

    def _moved(self, node: Node) -> bool:
        local = self.tree.locals.get(node.target)
        return local is not None and local.static and f"{self.tree.name}:{local.key}" in self.decisions.statics

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
        return [ir.Block(node.start, [*items, loop])] if items else [loop]

    def _s_switch(self, node: Node) -> list[ir.Statement]:
        cond = node.parts["cond"]
        assert cond is not None
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(cond, done)
        test = self.expr(cond, done)
        body = self._under(f"switch({self.source.words(cond.start, cond.end)})", node.parts["body"])
        return [*before, ir.Switch(node.start, test, body)]

    def _s_case(self, node: Node) -> list[ir.Statement]:
        values = node.children[:-1]
        inner = node.children[-1]
        segments: list[ir.Segment] = ["case "]
        for index, value in enumerate(values):
            segments += [" ... "] if index else []
            segments += self._segments(value, {})
        segments.append(":")
        return [ir.Mark(node.start, "case", ir.Expr(segments)), *self.statement(inner)]

    def _s_default(self, node: Node) -> list[ir.Statement]:
        return [ir.Mark(node.start, "default", ir.Expr(["default:"])), *self.statement(node.children[-1])]

    def _s_label(self, node: Node) -> list[ir.Statement]:
        mark = ir.Mark(node.start, "label", ir.Expr([f"{node.name}:"]), node.name)
        return [mark, *(self.statement(node.children[-1]) if node.children else [])]

    def _s_goto(self, node: Node) -> list[ir.Statement]:
        return [ir.Jump(node.start, "goto", node.name)]

    def _s_break(self, node: Node) -> list[ir.Statement]:
        return [ir.Jump(node.start, "break")]

    def _s_continue(self, node: Node) -> list[ir.Statement]:
        if self._continues and self._continues[-1][0] is not None:
            self._continues[-1][1] = "used"
            return [ir.Jump(node.start, "goto", self._continues[-1][0])]
        return [ir.Jump(node.start, "continue")]

    def _s_return(self, node: Node) -> list[ir.Statement]:
        if not node.children:
            return [ir.Return(node.start, None)]
        value = node.children[0]
        done: dict[int, list[ir.Segment]] = {}
        before = self._lower(value, done)
        return [*before, ir.Return(node.start, self.expr(value, done))]

    def variable(self, target: int) -> Local | Temporary:
        """The variable behind a hole."""
        return self.tree.locals[target] if target >= 0 else self.temporaries[target]


def _strip(node: Node) -> Node:
    while node.kind == "paren":
        node = node.children[0]
    return node


def _inside(node: Node, outer: Node) -> bool:
    return outer.start <= node.start and node.end <= outer.end
