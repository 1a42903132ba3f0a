"""Expressions without calls that unroll, and declarations: text with holes, and what it reads and assigns."""

from __future__ import annotations

import re
from typing import Any

from clang.cindex import CursorKind, TypeKind

from transforms import ir
from transforms.labels import label_text
from transforms.memory import Memory
from transforms.temporaries import Pin, Temporary, c_type, has_constant_member
from upstare.frontend.functions import is_arrow, taken_address
from upstare.frontend.nodes import STATEMENTS, Node
from upstare.frontend.types import is_array, is_const, is_variable_array

_NAME_MACROS = ("__func__", "__FUNCTION__", "__PRETTY_FUNCTION__")
_NAME_MACRO = re.compile(rf"\b({'|'.join(_NAME_MACROS)})\b")
_ATTRIBUTE = re.compile(rb"\b__attribute(?:__)?\b")


class Expressions(Memory):
    """Prints expressions and declarations."""

    def _point(self, kind: str, node: Node) -> ir.Point:
        point = ir.Point(0, kind, node.start, path=list(self._path), text=self.source.words(node.start, node.end)[:400])
        self.points.append(point)
        return point

    def _temporary(self, ctype: Any, node: Node, kept: bool = False) -> Temporary:
        if is_variable_array(ctype):
            raise Pin(f"{self.source.where(node.start)}: the value of a call has a type of variable length")
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
        if node.kind == "addrlabel":
            return [label_text(self.tree, node) or self.source.flat(node.start, node.end)]
        text = self.source.flat(node.start, node.end)
        if node.children and text not in _NAME_MACROS:
            plain = self._spliced(node.start, node.end, node.children, done)
            return (self._memory_call(node, plain, done) if node.kind == "call" else None) or plain
        if node.kind in ("string", "number") and text not in _NAME_MACROS:
            return [text]
        return self._named(text)

    def _named(self, text: str) -> list[ir.Segment]:
        """Text without references, with holes for the name of the function: ``__func__``, ``sizeof(__func__)``."""
        pieces = _NAME_MACRO.split(text)
        self.uses_name = self.uses_name or len(pieces) > 1
        return [ir.FunctionName(piece) if index % 2 else piece for index, piece in enumerate(pieces) if piece]

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
        if node.target_kind == "function" and node.name in self.copied:
            self.called_copies.add(node.name)
            return ir.Copied(node.name)
        if node.target in self.shared:
            return self._shared(node)
        return self.plain_name(node)

    def shared_symbol(self, target: int) -> str:
        """The assembler name of a static local that stays in the fast clone: of the executable, in its twin."""
        return f"ups$own${self.decisions.ids[self.tree.name]}${self.shared[target]}"

    def shared_aliases(self) -> list[str]:
        """The names by which the resume clone reaches these; clang takes one name for one object."""
        if self.decisions.twin:
            return []
        symbols = [self.shared_symbol(target) for target in self.shared]
        return [f'__asm__(".set {symbol}$r,{symbol}");' for symbol in symbols]

    def _shared(self, node: Node) -> ir.Shared:
        alias = f"__upstare_o_{self.shared[node.target]}"
        symbol = self.shared_symbol(node.target)
        if self.decisions.twin:
            self.externs[alias] = f'extern char {alias}[] __asm__("{symbol}");'
        else:
            self.externs[alias] = f'extern __attribute__((visibility("hidden"))) char {alias}[] __asm__("{symbol}$r");'
        return ir.Shared(node.name, alias)

    def far_name(self, node: Node) -> str:
        """How the resume clone, and all of the twin, names a static local that stays."""
        far = self._shared(node)
        return f"(*(__typeof__({far.name}) *){far.alias})"

    def label_of_shared(self, variable: Node) -> tuple[int, str]:
        """Where the assembler name of a static local that stays is to be written, and the text; none in the twin."""
        after, init = self.source.word_end(variable.target), variable.parts["init"]
        end = self.source.text.rindex(b"=", after, init.start) if init is not None else variable.end
        attribute = _ATTRIBUTE.search(self.source.text, after, end)
        label = f' __asm__("{self.shared_symbol(variable.target)}") __attribute__((used)) '
        return attribute.start() if attribute is not None else end, "" if self.decisions.twin else label

    def plain_name(self, node: Node) -> str:
        """How a reference to something outside the function's own variables is printed."""
        if node.target in self.moved:
            return self.moved[node.target]
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
            if "[" in self.source.flat(node.start, node.end):  # the lengths of a type are evaluated
                into.uses.update(n.target for n in node.walk() if n.kind == "ref" and n.target_kind == "local")
            return
        if node.kind == "ref":
            if node.target_kind == "local":
                into.uses.add(node.target)
            return
        if node.kind == "binary" and node.op == "=":
            left, right = node.children[0], node.children[-1]
            self._effects(right, into, maybe, done)
            plain = strip(left)
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
        plain = strip(node)
        if plain.kind == "member" and plain.children and not is_arrow(self.parsed, plain):
            self._lvalue(plain.children[0], into, maybe, done)
        elif not (plain.kind == "ref" and plain.target_kind == "local" and not plain.type.kind == TypeKind.POINTER):
            self._effects(node, into, maybe, done)

    # ---- declarations --------------------------------------------------------------------------------------------

    def _declaration(
        self, node: Node, done: dict[int, list[ir.Segment]] | None = None, dropped: set[int] | None = None
    ) -> ir.Expr:
        """A declaration without its semicolon. Static locals that moved to file scope leave nothing."""
        done, dropped = done or {}, dropped or set()
        variables = [c for c in node.children if c.kind == "var"]
        end = node.end
        if self.source.text[end - 1 : end] == b";":
            end -= 1
        if variables and all(v.target in self.moved for v in variables):
            return ir.Expr([])
        if not variables:  # a type, or a static assertion
            return ir.Expr(self._spliced(node.start, end, node.children, done))
        result = ir.Expr([])
        position = node.start
        first_name = variables[0].target
        strip = any(v.target_kind == "local" and is_const(v.type) for v in variables)
        head_done = False
        for child in node.children:
            if child.kind != "var":
                continue
            if not head_done:
                operands = [c for c in child.children if c.end <= first_name]  # of typeof
                result.segments += self._specifiers(position, first_name, strip, variables, operands)
                head_done = True
            else:
                result.segments += self._storage(self.source.flat(position, child.target), strip)
            result.segments.append(ir.Name(child.target))
            after = self.source.word_end(child.target)
            init = child.parts["init"]
            # An attribute stands behind the end of a variable without an initialiser.
            sizes = [c for c in child.children if c is not init and after <= c.start < child.end]
            for size in sizes:
                self._effects(size, result, False, done)
            if child.target in self.shared:
                place, label = self.label_of_shared(child)
                result.segments += self._spliced(after, place, sizes, done)
                result.segments.append(ir.FastOnly(label))
                after, sizes = place, []
            if init is None:
                result.segments += self._spliced(after, child.end, sizes, done)
            elif child.target in dropped:
                equals = self.source.text.rindex(b"=", after, init.start)
                declarator = self._spliced(after, equals, sizes, done)
                if is_array(child.type) and isinstance(declarator[0], str):  # the initialiser gave the size
                    declarator[0] = re.sub(r"\[\s*\]", f"[{child.type.get_canonical().element_count}]", declarator[0])
                result.segments += declarator
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


def strip(node: Node) -> Node:
    while node.kind == "paren":
        node = node.children[0]
    return node
