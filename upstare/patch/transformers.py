"""The state transformers of a patch as readable C, and the tables that the runtime finds them by.

The generated file has the types of both versions, the user's own transformers, one function for each record that
changes, one for each object that moves, one for each way in which a frame changes, and ``upstare_patch``.
``transform_`` and ``map_`` lead to the new version, ``restore_`` and ``unmap_`` back to the old one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pycparser import c_ast

from upstare.model.description import Constant, Description, Field, Function, Slot, Type, Variable
from upstare.patch import ctree
from upstare.patch.ctree import NEW, OLD, Node
from upstare.patch.expressions import over_old
from upstare.patch.plan import Continuation, Move, Plan, SlotPlan, at, variable_name
from upstare.patch.relate import Cut, Kind, Relation, Relations, normal, tag_of
from upstare.patch.user import UserFunction, UserTransformers
from upstare.release import ABI

_CONTEXT = ctree.pointer(ctree.record("struct", "upstare_context"))
_BYTES = ctree.pointer(ctree.base("unsigned", "char"))
_ANYTHING = ctree.pointer(ctree.base("void"))
_POINTER = 8  # bytes
_KEPT_HEADER = 16  # UPSTARE_KEPT_HEADER


@dataclass
class Pristine:
    """Initial values of the new image's objects, by symbol.

    Attributes:
        content: bytes without relocations; missing, or None: all zeros.
        alias: hidden symbols for objects whose initial value holds addresses.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)


@dataclass
class Direction:
    """One way: its plan, its types, and why it is impossible as a whole (the way back only)."""

    name: str  # 'forward' or 'backward'
    source: str  # OLD or NEW: where the types of the plan's old version are
    target: str
    plan: Plan
    relations: Relations
    user: UserTransformers
    impossible: str | None = None

    @property
    def record_prefix(self) -> str:
        """What functions for records and objects begin with."""
        return "transform_" if self.name == "forward" else "restore_"

    @property
    def frame_prefix(self) -> str:
        """What functions for frames begin with."""
        return "map_" if self.name == "forward" else "unmap_"


def generate(
    old: Description,
    new: Description,
    forward: Direction,
    backward: Direction,
    pristine: Pristine,
) -> str:
    """The C source of a patch's tables and transformers."""
    return _Generator(old, new, forward, backward, pristine).source()


class _Generator:
    def __init__(
        self, old: Description, new: Description, forward: Direction, backward: Direction, pristine: Pristine
    ) -> None:
        self._old, self._new = old, new
        self._directions = (forward, backward)
        self._pristine = pristine
        self._types = {OLD: dict(old.types), NEW: dict(new.types)}
        for types in self._types.values():
            types.setdefault("void *", Type("void *", "pointer", 8, 8, "", "void"))
        self._frames: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}  # (side, function) -> tag, slot -> member
        self._add_frames()
        self.types = ctree.TypeWriter(forward.relations, self._types)
        for (side, _), (key, _) in self._frames.items():
            self.types.name_record(side, key)
        self.names = ctree.Names()
        self._objects: dict[str, str] = {}
        self._declarations: list[str] = []

    def source(self) -> str:
        """The whole file."""
        forward = self._directions[0]
        self._types_for_user(forward.user)
        functions: list[str] = []
        tables: list[str] = []
        directions: list[str] = []
        for direction in self._directions:
            writer = _Functions(self, direction)
            made, summary = self._direction_tables(direction, writer)
            tables += made
            directions.append(f"  .{direction.name} = {summary},")
            functions += writer.functions
        title = f"{self._new.program}: {self._old.version} -> {self._new.version}"
        parts = [f"/* State transformers of {_comment(title)}. Made by `upstare patch`. */", "#include <upstare_abi.h>"]
        if self.types.definitions:
            parts += [_heading("types"), "\n".join(self.types.definitions)]
        if forward.user.path is not None:
            quoted = str(forward.user.path).replace("\\", "\\\\").replace('"', '\\"')
            parts += [_heading("the user's transformers"), f'#line 1 "{quoted}"\n{forward.user.text}']
            parts.append(f'#line 1 "{self._new.program}-transformers.c"')
        if functions:
            parts += [_heading("transformers"), "\n".join(functions)]
        parts += [_heading("tables"), "\n".join(self._declarations), *tables, self._patch(directions)]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)) + "\n"

    # ---- types

    def type(self, side: str, key: str) -> Type | None:
        """A type of one version, frames included."""
        return self._types[side].get(key) or self._types[side].get(normal(key))

    def frame(self, side: str, function: Function) -> tuple[ctree.Make, dict[str, str]]:
        """The type of a function's frame and the members of its slots; a kept slot's address is in ``..._address``."""
        key, members = self._frames[side, function.id]
        return self.types.make(side, key), members

    def _add_frames(self) -> None:
        """Frames become ordinary records among the types of their version."""
        slots: dict[tuple[str, str], dict[str, Slot]] = {}
        functions: dict[tuple[str, str], Function] = {}
        for direction in self._directions:
            for continuation in direction.plan.continuations:
                if continuation.copy:
                    continue
                sides = ((direction.source, continuation.old), (direction.target, continuation.new))
                for side, function in sides:
                    functions[side, function.id] = function
                    slots.setdefault((side, function.id), {})
                for plan in continuation.slots:
                    slots[direction.target, continuation.new.id][plan.new.key] = plan.new
                    if plan.old is not None:
                        slots[direction.source, continuation.old.id][plan.old.key] = plan.old
                if any(plan.text for plan in continuation.slots):  # expressions see the whole frame
                    live = set(continuation.old_point.live)
                    wanted = slots[direction.source, continuation.old.id]
                    wanted.update({s.key: s for s in continuation.old.slots if s.key in live})
        names = ctree.Names()
        for (side, identifier), found in slots.items():
            function = functions[side, identifier]
            tag = names.take(f"{side}_frame_{function.name}")
            frame, members = _frame_type(f"struct {tag}", list(found.values()), self._types[side])
            self._types[side][frame.key] = frame
            self._frames[side, identifier] = (frame.key, members)

    def _types_for_user(self, user: UserTransformers) -> None:
        """Whatever the user's file names must be defined."""
        words = set(re.findall(r"\w+", user.text))
        for side, prefix in ((NEW, ""), (OLD, "old_"), (OLD, "")):
            for found in list(self._types[side].values()):
                tag = tag_of(found) if found.kind in ("struct", "union") and found.complete else ""
                if tag and prefix + tag in words:
                    self.types.make(side, found.key)

    # ---- objects

    def object(self, symbol: str, variable: Variable | Constant) -> Node:
        """The address of an object that is bound by symbol."""
        if symbol not in self._objects:
            name = self._objects[symbol] = self.names.take(f"object_{variable_name(variable)}")
            self._declare(f'extern unsigned char {name}[] __asm__("{symbol}");')
        return ctree.ident(self._objects[symbol])

    def _declare(self, line: str) -> None:
        self._declarations.append(line)

    def _declare_hidden(self, declaration: str, symbol: str) -> None:
        """Declare a name of this image's own. gcc does not pass on the visibility of a name with a label."""
        self._declare(f'{declaration} __asm__("{symbol}") __attribute__((visibility("hidden")));')
        self._declare(f'__asm__(".hidden {symbol}");')

    def _initial(self, variable: Variable) -> Node:
        """The address of an object's initial value."""
        alias = self._pristine.alias.get(variable.symbol)
        if alias is not None:
            name = self.names.take(f"initial_{variable_name(variable)}")
            self._declare_hidden(f"extern const unsigned char {name}[]", alias)
            return ctree.ident(name)
        content = self._pristine.content.get(variable.symbol, b"")
        if not content.strip(b"\0"):
            return ctree.number(0)
        name = self.names.take(f"initial_{variable_name(variable)}")
        values = c_ast.InitList([ctree.number(b) for b in content])
        make = ctree.constant(ctree.array(ctree.base("unsigned", "char"), len(content)))
        self._declare(ctree.text_of(ctree.declare(name, make, values, storage=["static"])) + ";")
        return ctree.ident(name)

    # ---- tables

    def _direction_tables(self, direction: Direction, writer: _Functions) -> tuple[list[str], str]:
        plan, name = direction.plan, direction.name
        moves = [self._move_row(move, writer, direction) for move in plan.moves]
        initials = [
            _row(self.object(v.symbol, v), self._initial(v), ctree.number(v.size))
            for v in (*plan.initials, *(m.new for m in plan.moves if direction.target == NEW))
            if direction.target == NEW
        ]
        if direction.impossible is not None:
            moves, initials = [writer.refusal(direction.impossible)], []
        constants = plan.constants if direction.impossible is None else []
        variables, pool = _variable_rows(plan.continuations) if constants else ([], "")
        entries = [self._entry_row(e.slot, e.function) for e in plan.entries] if direction.target == NEW else []
        rows = {
            "continuation": [self._continuation_row(c, writer, direction) for c in plan.continuations],
            "move": moves,
            "initial": initials,
            "entry": entries,
            "check": [
                _row(ctree.string(tag), ctree.ident(function.name)) for tag, function in direction.user.checks.items()
            ],
            "constant": [self._constant_row(c) for c in constants],
            "variable": [_row(*map(ctree.ident, row)) for row in variables],
        }
        tables, counts, arrays = [], [], []
        for kind, content in rows.items():
            table = f"{name}_{kind}_table"
            if content:
                head = f"static const struct upstare_{kind} {table}[] ="
                tables.append(head + "\n{\n" + "".join(f"  {_braced(row)},\n" for row in content) + "};\n")
            counts.append(ctree.number(len(content)))
            arrays.append(ctree.ident(table) if content else ctree.number(0))
        return tables, _braced(_row(*counts, *arrays, ctree.ident(pool) if pool else ctree.number(0)))

    def _continuation_row(self, c: Continuation, writer: _Functions, direction: Direction) -> Node:
        mapper = "0" if c.copy else writer.map_frame(c)
        return _row(
            ctree.ident(f"0x{c.old.id}ull"),
            ctree.ident(f"0x{c.new.id}ull"),
            ctree.number(c.old_point.number),
            ctree.number(c.new_point.number),
            ctree.number(c.new.frame_size),
            ctree.number(c.flags),
            ctree.ident(mapper),
        )

    def _move_row(self, move: Move, writer: _Functions, direction: Direction) -> Node:
        return _row(
            ctree.string(variable_name(move.old)),
            ctree.string(move.old.type_name),
            ctree.string(move.new.type_name),
            self.object(move.old.symbol, move.old),
            self.object(move.new.symbol, move.new),
            ctree.number(move.old.size),
            ctree.number(move.new.size),
            ctree.ident(writer.move(move) if direction.impossible is None else "0"),
        )

    def _constant_row(self, constant: Constant) -> Node:
        name = ctree.string(f"{variable_name(constant)} ({at(constant)})")
        return _row(name, self.object(constant.symbol, constant), ctree.number(constant.span))

    def _entry_row(self, slot: str, function: Function | None) -> Node:
        name = self.names.take(f"slot_{function.name if function else slot}")
        self._declare(f'extern void *{name} __asm__("ups$slot${slot}");')
        if function is None:
            return _row(ctree.address(ctree.ident(name)), ctree.number(0))
        code = self.names.take(f"function_{function.name}")
        self._declare_hidden(f"extern void {code}(void)", entry_alias(function))
        return _row(ctree.address(ctree.ident(name)), ctree.ident(code))

    def _patch(self, directions: list[str]) -> str:
        hidden = '__attribute__((visibility("hidden")))'
        return "\n".join(
            [
                f"extern const struct upstare_image_info upstare_image_self {hidden};",
                'extern const struct upstare_patch upstare_patch __attribute__((visibility("default")));',
                "const struct upstare_patch upstare_patch =",
                "{",
                f"  .abi = {ABI},",
                f"  .from = {{{_digest(self._old.build)}}},",
                f"  .to = {{{_digest(self._new.build)}}},",
                "  .image = &upstare_image_self,",
                *directions,
                "};",
            ]
        )


class _Functions:
    """The functions of one direction."""

    def __init__(self, file: _Generator, direction: Direction) -> None:
        self._file = file
        self._direction = direction
        self._source, self._target = direction.source, direction.target
        self._records: dict[tuple[str, str], str] = {}
        self._maps: dict[str, str] = {}
        self.functions: list[str] = []

    def move(self, move: Move) -> str:
        """The function that makes a new object out of an old one."""
        prefix = self._direction.record_prefix
        name = self._file.names.take(f"{prefix}object_{variable_name(move.old)}")
        body = [
            self._view("old", self._make(self._source, move.old.type), "old_object", const=True),
            self._view("new", self._make(self._target, move.new.type), "new_object", const=False),
            *self._convert(ctree.deref(ctree.ident("old")), ctree.deref(ctree.ident("new")), move.relation),
        ]
        void = ctree.pointer(ctree.base("void"))
        parameters = {"old_object": ctree.pointer(ctree.constant(ctree.base("void"))), "new_object": void}
        self._function(name, parameters, body)
        return name

    def refusal(self, reason: str) -> Node:
        """A row of the table of moves that always refuses."""
        name = self._file.names.take("refuse_rollback")
        body = [ctree.call("upstare_refuse", ctree.ident("context"), ctree.string(reason)), ctree.give_back(-1)]
        parameters = {"old_object": ctree.pointer(ctree.constant(ctree.base("void"))), "new_object": _ANYTHING}
        self._function(name, parameters, body, returns=False)
        zero = ctree.number(0)
        nothing = ctree.string("")
        return _row(ctree.string("the way back"), nothing, nothing, zero, zero, zero, zero, ctree.ident(name))

    def map_frame(self, continuation: Continuation) -> str:
        """The function that makes new frame data out of old ones; equal ones are shared."""
        old_make, old_members = self._file.frame(self._source, continuation.old)
        new_make, new_members = self._file.frame(self._target, continuation.new)
        zero = [ctree.ident("new_data"), ctree.number(0), ctree.number(continuation.new.frame_size)]
        body: list[Node] = [ctree.call("__builtin_memset", *zero)]
        for plan in continuation.slots:
            target = ctree.arrow("new", new_members[plan.new.key])
            if plan.text is not None or plan.old is None or plan.relation is None:
                body += self._value(continuation, plan, target, old_members)
            else:
                source = ctree.arrow("old", old_members[plan.old.key])
                body += self._convert(source, target, plan.relation)
            if plan.keeps_address and plan.old is not None:
                addresses = (f"{new_members[plan.new.key]}_address", f"{old_members[plan.old.key]}_address")
                body.append(ctree.assign(ctree.arrow("new", addresses[0]), ctree.arrow("old", addresses[1])))
        text = "\n".join(ctree.text_of(node) for node in (ctree.typename(old_make), ctree.typename(new_make), *body))
        if text not in self._maps:
            name = self._file.names.take(f"{self._direction.frame_prefix}{continuation.old.name}")
            self._maps[text] = name
            views = [
                self._view("old", old_make, "old_data", const=True),
                self._view("new", new_make, "new_data", const=False),
            ]
            constant = ctree.pointer(ctree.constant(ctree.base("unsigned", "char")))
            self._function(name, {"old_data": constant, "new_data": _BYTES}, [*views, *body])
        return self._maps[text]

    def _value(
        self, continuation: Continuation, plan: SlotPlan, target: Node, members: dict[str, str]
    ) -> list[Node]:
        """A new local's first value: a constant, or an expression over the old frame."""
        live = {key: members[key] for key in continuation.old_point.live if key in members}
        names = {slot.name: live[slot.key] for slot in continuation.old.slots if slot.key in live}
        text = over_old(plan.text or "0", names | live, f"{continuation.new.name}: {plan.new.name}")
        make = self._make(self._target, plan.new.type)
        return self._store(target, text, make, self._kind(self._target, plan.new.type))

    def _store(self, target: Node, text: str, make: ctree.Make, kind: str) -> list[Node]:
        if kind == "array" or text.lstrip().startswith("{"):
            initial = ctree.declare("initial", ctree.constant(make), ctree.ident(text))
            return [ctree.compound([initial, self._copy(ctree.ident("initial"), target)])]
        return [ctree.assign(target, ctree.ident(text))]

    def _convert(self, source: Node, target: Node, relation: Relation, depth: int = 0) -> list[Node]:
        if relation.kind is Kind.USER and relation.user is not None:
            return [_user_call(relation.user, source, target)]
        if relation.kind is Kind.ARRAY and relation.element is not None:
            counter = "ijkl"[depth % 4] + ("" if depth < 4 else str(depth // 4))
            inside = self._convert(
                ctree.index(source, counter), ctree.index(target, counter), relation.element, depth + 1
            )
            copied = [ctree.loop(counter, 0, relation.count, inside)]
            if relation.element.kind is Kind.SAME:
                found = self._file.type(self._target, relation.element.new)
                size = ctree.number(relation.count * (found.size if found else 0))
                copied = [ctree.call("__builtin_memcpy", ctree.address(target), ctree.address(source), size)]
            return [*(copied if relation.count else []), *self._cut(source, relation, counter)]
        if relation.kind is Kind.RECORD:
            function = self._record(relation)
            made = ctree.call(function, ctree.address(source), ctree.address(target), ctree.ident("context"))
            return [ctree.unless_zero(made, [ctree.give_back(-1)])]
        if relation.kind is Kind.CONVERT:
            return [ctree.assign(target, source)]
        return [self._same(source, target, relation)]

    @staticmethod
    def _cut(source: Node, relation: Relation, counter: str) -> list[Node]:
        """Refuse if the elements that are lost hold something."""
        if not relation.lost or relation.cut is not Cut.CHECK:
            return []
        reason = f"text of more than {relation.count} bytes does not fit into the old version's '{relation.new}'"
        refusal = [ctree.call("upstare_refuse", ctree.ident("context"), ctree.string(reason)), ctree.give_back(-1)]
        check = ctree.unless_zero(ctree.index(source, counter), refusal)
        return [ctree.loop(counter, relation.count, relation.count + relation.lost, [check])]

    def _same(self, source: Node, target: Node, relation: Relation) -> Node:
        old_make, new_make = self._make(self._source, relation.old), self._make(self._target, relation.new)
        kind = self._kind(self._target, relation.new)
        alike = ctree.text_of(ctree.typename(old_make)) == ctree.text_of(ctree.typename(new_make))
        if kind == "array" or (not alike and kind != "pointer"):
            return self._copy(source, target)
        return ctree.assign(target, source if alike else ctree.cast(new_make, source))

    @staticmethod
    def _copy(source: Node, target: Node) -> Node:
        return ctree.call("__builtin_memcpy", ctree.address(target), ctree.address(source), ctree.size_of(target))

    def _record(self, relation: Relation) -> str:
        """The function that makes a new record out of an old one."""
        known = self._records.get((relation.old, relation.new))
        if known is not None:
            return known
        old, new = self._file_type(self._source, relation.old), self._file_type(self._target, relation.new)
        name = self._file.names.take(self._direction.record_prefix + (tag_of(new) or tag_of(old) or "record"))
        self._records[relation.old, relation.new] = name
        fields = {f.name: n for f, n in zip(old.fields, self._file.types.member_names(old), strict=True) if f.name}
        body: list[Node] = []
        for plan in relation.fields:
            target = ctree.arrow("new", self._file.types.member(new, plan.new))
            if plan.expression is not None:
                text = over_old(plan.expression, fields, f"{new.key}: {plan.new.name}")
                body += self._store(
                    target, text, self._make(self._target, plan.new.type), self._kind(self._target, plan.new.type)
                )
            elif plan.old is not None and plan.relation is not None:
                source = ctree.arrow("old", self._file.types.member(old, plan.old))
                body += self._convert(source, target, plan.relation)
        old_make, new_make = self._make(self._source, relation.old), self._make(self._target, relation.new)
        parameters = {"old": ctree.pointer(ctree.constant(old_make)), "new": ctree.pointer(new_make)}
        self._function(name, parameters, body)
        return name

    def _function(
        self, name: str, parameters: Mapping[str, ctree.Make], body: list[Node], *, returns: bool = True
    ) -> None:
        makes = {**parameters, "context": _CONTEXT}
        text = "".join(ctree.text_of(node) + "\n" for node in body)
        unused = [p for p in makes if not re.search(rf"\b{p}\b", text)]
        body = [ctree.cast(ctree.base("void"), ctree.ident(p)) for p in unused] + body
        arguments = c_ast.ParamList([ctree.declare(p, make) for p, make in makes.items()])
        kind = c_ast.FuncDecl(arguments, ctree.base("int")(name))
        declaration = c_ast.Decl(name, [], [], ["static"], [], kind, None, None)
        end = [ctree.give_back(0)] if returns else []
        self.functions.append(ctree.text_of(c_ast.FuncDef(declaration, None, ctree.compound([*body, *end]))))

    def _view(self, name: str, make: ctree.Make, data: str, *, const: bool) -> Node:
        """``T *name = (void *) data``."""
        void = ctree.constant(ctree.base("void")) if const else ctree.base("void")
        wanted = ctree.pointer(ctree.constant(make) if const else make)
        return ctree.declare(name, wanted, ctree.cast(ctree.pointer(void), ctree.ident(data)))

    def _make(self, side: str, key: str) -> ctree.Make:
        return self._file.types.make(side, key)

    def _file_type(self, side: str, key: str) -> Type:
        found = self._file.type(side, key)
        if found is None:
            raise KeyError(key)
        return found

    def _kind(self, side: str, key: str) -> str:
        found = self._file.type(side, key)
        return found.kind if found else "other"


def entry_alias(function: Function) -> str:
    """The hidden symbol that the patch gives to a function with a stable entry."""
    return f"upf${function.entry}"


def initial_alias(variable: Variable) -> str:
    """The hidden symbol that the patch gives to its own definition of a variable."""
    return f"upi${variable.symbol}"


def _frame_type(key: str, slots: Sequence[Slot], types: Mapping[str, Type]) -> tuple[Type, dict[str, str]]:
    """The data of a frame as a record, and the members that hold its slots."""
    names = ctree.Names()
    fields: list[Field] = []
    members: dict[str, str] = {}
    end, alignment = 0, 1
    types_of = {s.type: types.get(s.type) or types.get(normal(s.type)) for s in slots}
    for slot in sorted(slots, key=lambda s: s.offset):
        name = members[slot.key] = names.take(slot.name)
        begin = slot.offset
        if slot.kept:
            fields.append(Field(names.take(f"{name}_address"), "void *", begin * 8))
            alignment = max(alignment, 8)
            begin += 8 if slot.own == "sized" else _KEPT_HEADER
        type_key = "unsigned long" if slot.own == "sized" else slot.type
        found = types.get(type_key) or types_of[slot.type]
        if slot.offset < end:
            raise ValueError(f"{key}: the slots of {slot.name} and the one before it overlap")
        fields.append(Field(name, type_key, begin * 8))
        end = begin + (found.size if found else slot.size)
        alignment = max(alignment, found.align if found else 1)
    size = -(-end // alignment) * alignment
    return Type(key, "struct", size, alignment, "", fields=fields), members


def _user_call(function: UserFunction, source: Node, target: Node) -> Node:
    arguments = [ctree.address(source), ctree.address(target), ctree.ident("context")][: function.parameters]
    made = ctree.call(function.name, *arguments)
    if not function.returns_int:
        return made
    refusal = ctree.call("upstare_refuse", ctree.ident("context"), ctree.string(f"{function.name} refused"))
    return ctree.unless_zero(made, [*([refusal] if function.parameters == 2 else []), ctree.give_back(-1)])


def _row(*values: Node) -> Node:
    return c_ast.InitList(list(values))


def _variable_rows(continuations: Sequence[Continuation]) -> tuple[list[tuple[str, str, str]], str]:
    """The rows of the variables that a pointer can be in, and the literal that holds their names."""
    functions = {c.old.id: c.old for c in continuations}
    names: dict[str, int] = {}
    rows = []
    length = 0
    for function in functions.values():
        for slot in function.slots:
            if slot.size < _POINTER:
                continue
            name = "a value" if slot.temporary or slot.jump or slot.own else f"variable {slot.name}"
            if name not in names:
                names[name] = length
                length += len(name.encode()) + 1
            rows.append((f"0x{function.id}ull", str(slot.offset), str(names[name])))
    return rows, " ".join(f'"{name}\\0"' for name in names)


def _braced(row: Node) -> str:
    return f"{{{ctree.text_of(row)}}}"


def _digest(build: str) -> str:
    return ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(build))


def _heading(title: str) -> str:
    return f"\n/* {title} */\n"


def _comment(text: str) -> str:
    return text.replace("*/", "* /")
