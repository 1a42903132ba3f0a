"""Constants with static storage: whose address is used, and what their bytes are made of.

A pointer to a constant may be older than the version that compares it. Versions can share a constant if its type and
its bytes are the same in both. The bytes are known by the text of the initialiser and by all that the text leaves open:
the values of enumerators, the layouts of the types of all expressions in it, the functions and objects that it names. A
word that is none of these makes them depend on all of the unit's text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from clang.cindex import CursorKind, TypeKind

from upstare.frontend.functions import FunctionTree, Local, mutable, taken_address
from upstare.frontend.nodes import Parsed
from upstare.frontend.statics import movable
from upstare.frontend.tables import Cursor
from upstare.frontend.types import TypeTable, is_array
from upstare.model.facts import ConstantFact, Content

# Line markers and pragmas (left out), literals, names, numbers, everything else.
_TOKEN = re.compile(
    rb"""(?P<line>^[ \t]*\#[^\n]*)|(?P<literal>(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*"|[uUL]?'(?:[^'\\\n]|\\.)*')"""
    rb"""|(?P<name>(?:[A-Za-z_$\x80-\xff]|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8})(?:[\w$\x80-\xff]|\\u[0-9a-fA-F]{4})*)"""
    rb"""|(?P<number>\.?[0-9](?:[eEpP][+-]|[\w.])*)|(?P<other>\S)""",
    re.M,
)
_KEYWORDS = frozenset(
    b"sizeof _Alignof __alignof__ __alignof alignof __builtin_offsetof __extension__ struct union enum const volatile "
    b"void char short int long signed unsigned float double _Bool __signed__ __const".split()
)
_OF_ITS_FUNCTION = frozenset((b"__func__", b"__FUNCTION__", b"__PRETTY_FUNCTION__"))
_TYPE_ENDS = {CursorKind.TYPE_REF.value, CursorKind.MEMBER_REF.value}
_NUMBERS = {
    kind.value for kind in (CursorKind.INTEGER_LITERAL, CursorKind.FLOATING_LITERAL, CursorKind.CHARACTER_LITERAL)
}
_SIZEOF, _REFERENCE = CursorKind.CXX_UNARY_EXPR.value, CursorKind.DECL_REF_EXPR.value
# Attributes by which a symbol means something to others, or its storage is not its own.
_ATTRIBUTES = re.compile(rb"__attribute(?:__)?\s*\(\(.*?\)\)|\[\[.*?\]\]", re.S)
_PARTICULAR = re.compile(rb"\b_*(?:alias|weak|weakref|section|tls_model|ifunc|selectany|copy|noinit|persistent)_*\b")
_ALIGNED = re.compile(rb"align|\bmode\b|scalar_storage_order")  # code relies on it, and the type does not tell
_LABEL = re.compile(rb"\b(?:__asm__|__asm|asm)\b\s*\(")
_BUILTIN = re.compile(r"__builtin_|__sync_|__atomic_")
_PLAIN_BUILTIN = re.compile(r"__builtin_(?:inf|nans?|huge_val|bswap)(?:[fl]|f?\d+x?)?")  # its arguments say it all
_HEAD_END = re.compile(rb"[;{]")
_INDIRECT = re.compile(rb"\b_*(?:ifunc|weakref)_*\b")
_ALIAS = re.compile(rb'\b_*(?:alias|weakref)_*\s*\(\s*"([^"]+)"')
_PRAGMA = re.compile(rb"^[ \t]*#[ \t]*pragma[ \t]+(?:weak|redefine_extname)\b([^\n]*)", re.M)
_ASM = re.compile(rb"\b(?:__asm__|__asm|asm)\b[^;(]*\(")
_STRING_OR_PARENTHESIS = re.compile(rb'"(?:[^"\\]|\\.)*"|[()]')
_WORD = re.compile(rb"[A-Za-z_]\w*")


def constants(
    parsed: Parsed, trees: Sequence[FunctionTree], unused: Collection[str], types: TypeTable
) -> tuple[list[ConstantFact], list[str]]:
    """The constants of a unit, defined or used there, and the external names that must stay as they are."""
    return _Constants(parsed, trees, unused, types).read()


class _Constants:
    def __init__(
        self, parsed: Parsed, trees: Sequence[FunctionTree], unused: Collection[str], types: TypeTable
    ) -> None:
        self._parsed, self._source, self._types = parsed, parsed.source, types
        self._trees = [tree for tree in trees if tree.name not in unused]
        self._declared: dict[str, list[Cursor]] = {}
        self._variables: set[str] = set()  # at file scope
        self._beside: set[int] = set()  # where declarations begin that declare something mutable, too
        for cursor in parsed.top:
            if cursor.kind != CursorKind.VAR_DECL or not cursor.spelling:
                continue
            if mutable(cursor):
                self._beside.add(cursor.extent.start.offset)
                self._variables.add(cursor.spelling)
            else:
                self._declared.setdefault(cursor.spelling, []).append(cursor)
        self._contents = _Contents(parsed)
        self._taken: set[str] = set()  # a static local is FUNCTION:KEY
        self._named: set[str] = set()
        self._fixed: set[str] = set()

    def read(self) -> tuple[list[ConstantFact], list[str]]:
        locals_ = [(tree, local) for tree in self._trees for local in _static_constants(tree)]
        foreign = list(self._foreign())
        if not self._declared and not locals_ and not foreign:
            return [], []
        for tree in self._trees:
            self._uses(tree)
        for tree, local in locals_:
            assert local.node is not None
            self._taken.update(self._contents.objects(local.node.row, tree))
        self._reach()
        self._find_fixed()
        found = [self._local(tree, v) for tree, v in locals_ if f"{tree.name}:{v.key}" in self._taken]
        used = {c.extent.start.offset for name in self._taken & self._declared.keys() for c in self._declared[name]}
        for name, cursors in self._declared.items():
            places = {c.extent.start.offset for c in cursors}
            if not _is_static(cursors) or not places.isdisjoint(used) or not places.isdisjoint(self._beside):
                found.append(self._global(name, cursors))
        found += [self._undefined(cursor) for cursor in foreign]
        known = {f.name for f in found if f.function is None and not f.static}
        return found, sorted(known & self._fixed)

    # ---- uses

    def _uses(self, tree: FunctionTree) -> None:
        if self._parsed.error_in(tree.start, tree.end) is not None:  # some of it may not be in the tree
            words = {w.decode() for w in _WORD.findall(self._source.text, tree.start, tree.end)}
            self._taken |= words & self._declared.keys()
            self._named |= words & self._declared.keys()
        for node in tree.body.evaluated():
            if node.kind == "asm":
                self._fixed |= {n.name for n in node.walk() if n.kind == "ref"}
            if node.kind != "ref" or node.target_kind not in ("global", "static"):
                continue
            local = tree.locals.get(node.target)
            if local is None and node.name in self._variables:
                continue
            name = f"{tree.name}:{local.key}" if local is not None else node.name
            self._named.add(name)
            if name not in self._taken and taken_address(self._parsed, tree, node) is not None:
                self._taken.add(name)

    def _reach(self) -> None:
        """What the initialisers of all that stays in the program name counts as used."""
        work = [name for name in self._named if name in self._declared]
        work += [name for name, cursors in self._declared.items() if not _is_static(cursors)]
        for cursor in self._parsed.top:
            if cursor.kind == CursorKind.VAR_DECL and cursor.tree >= 0 and mutable(cursor):
                objects = self._contents.objects(cursor.tree, None)
                self._taken.update(objects)
                work += objects
        seen: set[str] = set()
        while work:
            name = work.pop()
            if name in seen or name not in self._declared:
                continue
            seen.add(name)
            objects = self._contents.objects(_main(self._declared[name]).tree, None)
            self._taken.update(objects)
            work += objects

    def _foreign(self) -> Iterator[Cursor]:
        """What is not declared at file scope, but by a function, to be external."""
        seen: set[str] = self._declared.keys() | self._variables
        for tree in self._trees:
            for node in tree.body.evaluated():
                if node.kind == "ref" and node.target_kind == "global" and node.name not in seen:
                    seen.add(node.name)
                    cursor = node.cursor.referenced
                    if cursor is not None:
                        yield cursor

    # ---- what must keep its name

    def _find_fixed(self) -> None:
        self._fixed |= set(_named_elsewhere(self._source.text))
        for cursor in self._parsed.top:
            if cursor.kind == CursorKind.VAR_DECL and not self._source.is_system(cursor.location.offset):
                self._fixed |= {m.decode() for m in _ALIAS.findall(self._head(cursor))}
        for name, cursors in self._declared.items():
            if any(_is_particular(self._head(c)) or c.tls_kind.name != "NONE" for c in cursors):
                self._fixed.add(name)

    def _head(self, cursor: Cursor) -> bytes:
        """A declaration up to its initialiser, with what stands before it."""
        text, start, at = self._source.text, cursor.extent.start.offset, cursor.location.offset
        begin = max(text.rfind(b";", 0, start), text.rfind(b"}", 0, start)) + 1
        stop = text.find(b";", at)
        init = self._parsed.tables.trees["operator"][cursor.tree] if cursor.tree >= 0 else -1
        if init >= 0:
            stop = self._parsed.tables.trees["start"][init]
        return text[begin : stop if stop >= 0 else len(text)]

    # ---- facts

    def _global(self, name: str, cursors: Sequence[Cursor]) -> ConstantFact:
        main = _main(cursors)
        content: Content | None = None
        if name not in self._fixed and not self._source.is_system(main.location.offset):
            content = self._contents.of(main.tree, None) if main.has_initialiser else Content()
        if content is not None:
            content.whole |= any(_ALIGNED.search(self._head(c)) for c in cursors)
        file, line = self._source.locate(main.location.offset)
        places = {c.extent.start.offset for c in cursors}
        return ConstantFact(
            name, name, _is_static(cursors), None, self._types.key(main.type, name), main.type.spelling,
            self._span(main), file, line, any(c.storage_class.name != "EXTERN" or c.has_initialiser for c in cursors),
            name in self._taken, content, min(places), not places.isdisjoint(self._beside),
        )  # fmt: skip

    def _undefined(self, cursor: Cursor) -> ConstantFact:
        file, line = self._source.locate(cursor.location.offset)
        name, ctype = cursor.spelling, cursor.type
        return ConstantFact(
            name, name, False, None, self._types.key(ctype, name), ctype.spelling, 0, file, line, False,
            name in self._taken, None, cursor.extent.start.offset, False,
        )  # fmt: skip

    def _local(self, tree: FunctionTree, local: Local) -> ConstantFact:
        node, content = local.node, None
        assert node is not None
        parent, init = tree.parent(node) or node, node.parts["init"]
        head = self._source.text[parent.start : init.start if init is not None else parent.end]
        plain = node.cursor.tls_kind.name == "NONE" and not _is_particular(head) and local.name not in self._fixed
        if plain and movable(tree, node):
            content = self._contents.of(node.row, tree) if init is not None else Content()
        if content is not None:
            content.whole |= _ALIGNED.search(head) is not None
        file, line = self._source.locate(local.target)
        return ConstantFact(
            local.name, local.key, True, tree.name, self._types.key(local.ctype, f"{tree.name}.{local.key}"),
            local.ctype.spelling, self._span(node.cursor), file, line, True, True, content, parent.start, False,
        )  # fmt: skip

    def _span(self, cursor: Cursor) -> int:
        """How many addresses lead to it: the end of an array is one of them."""
        size = max(cursor.type.get_size(), 0)
        last = _last_member(cursor.type)
        if last is not None and last.get_canonical().kind == TypeKind.INCOMPLETEARRAY and cursor.tree >= 0:
            # The size of the type leaves this array out. Nobody says how long it is; no longer than its text.
            text = cursor.extent.end.offset - cursor.extent.start.offset
            size += text * max(last.get_canonical().element_type.get_size(), 1)
        return size + _ends_with_array(cursor.type)


class _Contents:
    """Reads initialisers."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed, self._tables = parsed, parsed.tables
        self._restless = b"scalar_storage_order" in parsed.source.text
        self._layouts: dict[int, str] = {}
        self._particular: dict[str, bool] = {}  # functions

    def objects(self, row: int, tree: FunctionTree | None) -> list[str]:
        """The objects that the initialiser of the variable at a row of the trees names."""
        result = Content()
        trees = self._tables.trees
        first = trees["operator"][row] if row >= 0 else -1
        if first >= 0:
            kinds, unevaluated = trees["kind"], first
            for at in range(first, trees["last"][first]):
                if kinds[at] == _SIZEOF:
                    unevaluated = max(unevaluated, trees["last"][at])
                elif kinds[at] == _REFERENCE and at >= unevaluated:
                    self._reference(at, tree, result)
        return result.objects

    def of(self, row: int, tree: FunctionTree | None) -> Content | None:
        """The content of the variable at a row of the trees. None: it is not the same in another version, or nobody
        knows."""
        trees, tables = self._tables.trees, self._tables
        first = trees["operator"][row] if row >= 0 else -1
        if first < 0:
            return None
        result = Content(whole=self._restless)
        digest = hashlib.sha256()
        explained: set[int] = set()  # offsets of names
        unevaluated = first
        for at in range(first, trees["last"][first]):
            kind = trees["kind"][at]
            if kind == _SIZEOF:
                unevaluated = max(unevaluated, trees["last"][at])
            elif kind == CursorKind.ADDR_LABEL_EXPR.value:
                return None
            elif kind == _REFERENCE:
                explained.add(trees["start"][at])
                target = tables.declaration(trees["declaration"][at])
                if target.kind == CursorKind.ENUM_CONSTANT_DECL:
                    digest.update(f"={target.enum_value}\n".encode())
                elif at >= unevaluated and not self._reference(at, tree, result):
                    return None
            elif kind in _TYPE_ENDS:
                explained.add(trees["start"][at])
            elif kind == CursorKind.MEMBER_REF_EXPR.value:
                explained.add(trees["end"][at] - len(tables.name(trees["name"][at]).encode()))
            if kind == CursorKind.TYPE_REF.value:
                declared = trees["declaration"][at]
                result.whole |= declared < 0
                digest.update(self._layout(tables.declaration(declared).type).encode() + b"\n")
            elif kind not in _NUMBERS and trees["type"][at] >= 0:
                digest.update(self._row_layout(trees["type"][at]).encode() + b"\n")
        start, end = trees["start"][first], trees["end"][first]
        result.whole |= self._parsed.error_in(start, end) is not None
        for token, known in self._tokens(start, end, explained):
            if not known:
                result.whole = True
                if token in _OF_ITS_FUNCTION:
                    return None
            digest.update(token + b"\n")
        result.digest = digest.hexdigest()
        return result

    def _tokens(self, start: int, end: int, explained: set[int]) -> Iterator[tuple[bytes, bool]]:
        """The words of a text, each with whether it is known what it stands for."""
        before = b""
        for match in _TOKEN.finditer(self._parsed.source.text, start, end):
            kind, token = match.lastgroup, match.group()
            if kind != "line":
                known = kind != "name" or match.start() in explained or token in _KEYWORDS or before == b"."
                yield token, known
                before = token

    def _reference(self, at: int, tree: FunctionTree | None, result: Content) -> bool:
        """Note the function or object that a name stands for. False: its address is not the same in another version."""
        target = self._tables.declaration(self._tables.trees["declaration"][at])
        if target.kind == CursorKind.FUNCTION_DECL:
            if _BUILTIN.match(target.spelling) is not None:
                result.whole |= _PLAIN_BUILTIN.fullmatch(target.spelling) is None
                return True
            result.functions.append(target.spelling)
            return not self._is_particular(target.spelling)
        if target.kind == CursorKind.ENUM_CONSTANT_DECL:
            return True
        if target.kind == CursorKind.VAR_DECL and (target.is_file_scope or target.storage_class.name == "EXTERN"):
            result.objects.append(target.spelling)
            return True
        local = tree.locals.get(target.location.offset) if tree is not None else None
        if tree is None or local is None or not local.static:
            return False
        result.objects.append(f"{tree.name}:{local.key}")
        return True

    def _is_particular(self, function: str) -> bool:
        """Whether a function may be another one than its name says (an indirect one, an assembler name)."""
        known = self._particular.get(function)
        if known is None:
            known = self._particular[function] = any(map(self._says_so, self._parsed.declarations(function)))
        return known

    def _says_so(self, cursor: Cursor) -> bool:
        source, start, at = self._parsed.source, cursor.extent.start.offset, cursor.location.offset
        if source.is_system(at):
            return False
        begin = max(source.text.rfind(b";", 0, start), source.text.rfind(b"}", 0, start)) + 1
        found = _HEAD_END.search(source.text, at)
        head = source.text[begin : found.start() if found is not None else len(source.text)]
        return _LABEL.search(head) is not None or _INDIRECT.search(head) is not None

    def _row_layout(self, row: int) -> str:
        known = self._layouts.get(row)
        if known is None:
            known = self._layouts[row] = self._layout(self._tables.type(row))
        return known

    def _layout(self, ctype: Any) -> str:
        """The hash of a type, and of what it points to: each in a table of its own, where nameless types are not taken
        for one another."""
        canonical = ctype.get_canonical()
        if canonical.kind == TypeKind.INVALID:
            return ""
        hashes = [_layout_alone(canonical, self._parsed)]
        if canonical.kind == TypeKind.POINTER:
            hashes.append(_layout_alone(canonical.get_pointee().get_canonical(), self._parsed))
        return " ".join(hashes)


def _layout_alone(ctype: Any, parsed: Parsed) -> str:
    table = TypeTable(parsed.source)
    return table.types[table.key(ctype)].hash


def _static_constants(tree: FunctionTree) -> Iterator[Local]:
    for local in tree.locals.values():
        if local.static and local.node is not None and local.target not in tree.label_tables:
            if not mutable(local.node.cursor):
                yield local


def _main(cursors: Sequence[Cursor]) -> Cursor:
    """The declaration that says most: with the initialiser, or the last one that is complete."""
    with_value = [c for c in cursors if c.has_initialiser]
    complete = [c for c in cursors if c.type.get_size() >= 0 and c.storage_class.name != "EXTERN"]
    return (with_value or complete or list(cursors))[-1]


def _is_static(cursors: Sequence[Cursor]) -> bool:
    return any(c.storage_class.name == "STATIC" for c in cursors)


def _is_particular(head: bytes) -> bool:
    return _LABEL.search(head) is not None or any(_PARTICULAR.search(a) for a in _ATTRIBUTES.findall(head))


def _named_elsewhere(text: bytes) -> Iterator[str]:
    """Names in pragmas about symbols, and in strings of assembler."""
    for match in _PRAGMA.finditer(text):
        yield from (w.decode() for w in _WORD.findall(match.group(1)))
    for match in _ASM.finditer(text):
        depth = 1
        for piece in _STRING_OR_PARENTHESIS.finditer(text, match.end()):
            depth += {b"(": 1, b")": -1}.get(piece.group(), 0)
            if depth == 0:
                break
            yield from (w.decode() for w in _WORD.findall(piece.group()))


def _ends_with_array(ctype: Any) -> bool:
    return is_array(_last_member(ctype) or ctype)


def _last_member(ctype: Any) -> Any:
    """The type of the last member of a struct, or of the last of that."""
    canonical = ctype.get_canonical()
    members = canonical.get_fields() if canonical.kind == TypeKind.RECORD else []
    return (_last_member(members[-1].type) or members[-1].type) if members else None
