"""The transform of one unit: byte slices of the preprocessed text are replaced, everything else stays as it is.

* instrumented functions become a fast clone and a resume clone (``normal_form`` to ``clones``);
* mutable variables with static storage, and constants whose address is used, get the assembler name that all versions
  share; static locals of these move out;
* a function whose address is used is used through its stable entry, which is made where the function is defined;
* redirected library functions are called through the runtime.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from clang.cindex import CursorKind

from transforms import ir
from transforms.clones import print_clones
from transforms.copies import again, copied_functions, copy_head, declare_copies
from transforms.decisions import Decisions
from transforms.frames import REMOTE, Frame
from transforms.labels import LABEL_INDEX, LABEL_INDEX_END, label_table, label_text
from transforms.liveness import Liveness
from transforms.normal_form import NormalForm
from transforms.temporaries import Pin, Temporary
from upstare.errors import NotUpdatable
from upstare.frontend.functions import FunctionTree, own_table
from upstare.frontend.nodes import Node, Parsed
from upstare.frontend.tables import Cursor
from upstare.frontend.types import TypeTable
from upstare.model import description

_PROLOGUE = """\
extern const unsigned char *upstare_resume_begin(unsigned *, unsigned *);
extern const unsigned char *upstare_resume_hold(unsigned *, unsigned *);
extern void upstare_resume_ready(void);
extern void (*upstare_resume_callee(void))(void);
extern int __upstare_setjmp(unsigned long *) __asm__("_setjmp") __attribute__((__returns_twice__));
extern void upstare_rearm(volatile unsigned long *, const unsigned long *);
extern volatile int upstare_flag;
extern int upstare_at_point(void);
extern unsigned char *upstare_save(unsigned long long, unsigned, unsigned);
extern void upstare_save_kept(unsigned char *, unsigned, const void *, unsigned long long, unsigned);
static __attribute__((__noinline__, __unused__, __section__("upstare_resume"))) void *
__upstare_own(const unsigned char *slot, void *own, unsigned long size)
{ void *at = *(void *const *)slot; if (at) return at; __builtin_memcpy(own, slot + 16, size); return own; }
typedef unsigned long __upstare_jump[10];
static __inline__ __attribute__((__always_inline__, __unused__)) void
__upstare_jumped(volatile unsigned long *record, int again, int whole)
{
  unsigned long *to = (unsigned long *)record[0], known[3];
  if (again) return;
  __builtin_memcpy((void *)(record + 1), to, 64);
  record[9] = whole;
  if (!whole) return;
  known[0] = (unsigned long)record, known[1] = record[8], known[2] = record[7];
  __builtin_memcpy(to + 22, known, 24);
}
"""


_OUT_OF_LINE = "__attribute__((__noinline__)) "
_ALWAYS = re.compile(rb"\b(__)?always_inline(__)?\b")
_NORETURN = re.compile(rb"\b(_Noreturn|noreturn|__noreturn__)\b")


@dataclass
class Transformed:
    """The new text of a unit, and what the description says of its functions."""

    text: bytes
    frames: dict[str, description.PackedFrame] = field(default_factory=dict)  # by function
    pinned: dict[str, str] = field(default_factory=dict)  # functions that turned out to be impossible


class UnitTransform:
    """Applies the decisions of the whole-program model to one unit."""

    def __init__(self, parsed: Parsed, trees: list[FunctionTree], types: TypeTable, decisions: Decisions) -> None:
        self.parsed, self.trees, self.types, self.decisions = parsed, trees, types, decisions
        self.source = parsed.source
        self.edits: list[tuple[int, int, str]] = []
        self.result = Transformed(b"")
        self.copied = copied_functions(parsed, trees, decisions, types)
        self._allocating: set[str] = set()  # functions with memory in their frames that comes and goes while they run
        self._tail: list[str] = []
        self._head: list[str] = []

    def run(self) -> Transformed:
        """Transform the unit."""
        for tree in self.trees:
            self._function(tree)
        for name in self.decisions.lasting:
            self._strike(name, _NORETURN)  # its callers have to go on with a dummy
        if self.decisions.scheme == "flag":
            self._no_point_inside()
        self._superseded()
        self._variables()
        self._entries()
        self.result.text = self._splice()
        return self.result

    # ---- functions -----------------------------------------------------------------------------------------------

    def _function(self, tree: FunctionTree) -> None:
        form = self._form(tree)
        self._statics(tree, form)
        if tree.name in self.decisions.instrumented and tree.pinned is None:
            try:
                self._instrument(tree, form)
                return
            except Pin as pin:
                self.result.pinned[tree.name] = str(pin)
                form = self._form(tree)
        self._rename(tree, form)
        self._keep_out_of_line(tree)

    def _superseded(self) -> None:
        """A body that is for inlining alone (GNU ``extern inline``) has no points: the function itself is called."""
        instrumented = {t.name: t for t in self.trees if t.name in self.decisions.instrumented}
        for cursor in self.parsed.top:
            tree = instrumented.get(cursor.spelling) if cursor.kind == CursorKind.FUNCTION_DECL else None
            if tree is None or not cursor.is_definition() or cursor.location == tree.cursor.location:
                continue
            body = next(c for c in cursor.get_children() if c.kind == CursorKind.COMPOUND_STMT)
            lines = "\n" * self.source.text.count(b"\n", body.extent.start.offset, body.extent.end.offset)
            self.edits.append((body.extent.start.offset, body.extent.end.offset, ";" + lines))

    def _keep_out_of_line(self, tree: FunctionTree) -> None:
        """A function that calls what may unroll, but cannot be unrolled itself, must be seen on the stack as itself."""
        if self._own_frame(tree):
            self.edits.append((tree.start, tree.start, _OUT_OF_LINE))
            self._strike(tree.name, _ALWAYS)

    def _no_point_inside(self) -> None:
        """Where no test of the flag follows a call, the callee must not be inlined: its frame would come down, and the
        caller would go on with the dummy. (Where points are traps, their table says so.) Nor must what allocates on the
        stack: its memory would lie where the caller, back on its own, pushes the return address of what it calls."""
        frames = self.result.frames
        inside = {c.callee for t in self.trees for c in t.calls if t.name not in frames or not c.node.hot_call}
        for tree in self.trees:
            if tree.name in frames and (tree.name in inside or tree.name in self._allocating):
                self.edits.append((tree.start, tree.start, _OUT_OF_LINE))
                self._strike(tree.name, _ALWAYS)

    def _own_frame(self, tree: FunctionTree) -> bool:
        if tree.name not in self.decisions.pinned and tree.name not in self.result.pinned:
            if not tree.noreturn or tree.name in self.decisions.lasting:
                return False
        hot = set(self.decisions.hot) | set(self.decisions.blocking)
        return any(c.callee in hot or c.callee is None for c in tree.calls)

    def _strike(self, name: str, words: re.Pattern[bytes]) -> None:
        """Take words away from the declarations of a function."""
        for cursor in self.parsed.declarations(name):
            at = cursor.location.offset
            begin, end = self._before(cursor.extent.start.offset), re.compile(rb"[;{]").search(self.source.text, at)
            stop = end.start() if end is not None else len(self.source.text)
            for match in words.finditer(self.source.text, begin, stop):
                self.edits.append((match.start(), match.end(), " " * len(match.group())))

    def _form(self, tree: FunctionTree) -> NormalForm:
        form = NormalForm(self.parsed, tree, self.decisions, self.types)
        form.copied = self.copied
        return form

    def _instrument(self, tree: FunctionTree, form: NormalForm) -> None:
        for local in tree.locals.values():
            if not local.static or local.target in tree.label_tables or local.target in form.moved:
                continue
            if local.node is not None and local.node.cursor.tls_kind.name != "NONE":
                raise Pin(
                    f"{self.source.where(local.target)}: {tree.name}: a thread-local variable depends on types of the "
                    "function"
                )
        for node in tree.body.walk():
            node.hot = node.hot_call = False
        form.mark()
        body = form.run()
        form.points.sort(key=lambda p: p.offset)
        for number, point in enumerate(form.points, 1):
            point.number = number
        live = Liveness().run(body)
        frame = Frame(form, live, self.types)
        identity = self.decisions.ids[tree.name]
        fast, resume = print_clones(form, frame, body, identity)
        file, line = self.source.locate(tree.end)
        back = f'\n# {line} "{file}"\n'
        self.edits.append((tree.body.start, tree.end, fast + " " + resume + back))
        self._tail += form.shared_aliases()
        self.result.frames[tree.name] = self._describe(tree, form, frame)

    def _describe(self, tree: FunctionTree, form: NormalForm, frame: Frame) -> description.PackedFrame:
        points = []
        for point in form.points:
            file, line = self.source.locate(point.shown)
            points.append(
                description.Point(
                    point.number, point.kind, point.callee, point.blocking, file, line, point.path, point.text,
                    [frame.slots[t].key for t in point.live],
                    frame.slots[point.result].key if point.result in frame.slots else None,
                    point.tail,
                )
            )  # fmt: skip
        slots = []
        for slot in frame.slots.values():
            parameter = getattr(slot.variable, "parameter", False)
            at = slot.target if slot.target >= 0 else tree.start
            own = "sized" if slot.how == "sized" else getattr(slot.variable, "own", "")
            jump = isinstance(slot.variable, Temporary) and slot.variable.jump is not None
            name = slot.key.split("#")[0] if jump else getattr(slot.variable, "name", slot.key)
            slots.append(
                description.Slot(
                    slot.key, name, slot.type_key, slot.type_name, slot.offset, slot.size, slot.how in REMOTE,
                    parameter, slot.target < 0 and not jump and not own, jump, self.source.locate(at)[1],
                    "{0}" if jump else self._constant(getattr(slot.variable, "node", None)), own,
                )
            )  # fmt: skip
        if any(slot.own in ("chain", "sized") for slot in slots):
            self._allocating.add(tree.name)
        return description.pack_frame(frame.size, slots, points)

    def _constant(self, node: Node | None) -> str | None:
        """The initialiser of a local if it means the same everywhere."""
        init = node.parts.get("init") if node is not None else None
        if init is None or any(n.kind in ("ref", "call", "stmtexpr", "sizeof", "literal") for n in init.walk()):
            return None
        return self.source.words(init.start, init.end)

    def _statics(self, tree: FunctionTree, form: NormalForm) -> None:
        """Move static locals in front of the function."""
        done: set[int] = set()
        for node in tree.body.walk():
            if node.kind != "decl":
                continue
            moved = [c for c in node.children if c.kind == "var" and c.target in form.moved]
            if not moved or node.start in done or len(moved) != len([c for c in node.children if c.kind == "var"]):
                continue
            done.add(node.start)
            self.edits.append((self._before(tree.start),) * 2 + (self._moved_text(tree, form, node, moved),))

    def _moved_text(self, tree: FunctionTree, form: NormalForm, node: Node, moved: list[Node]) -> str:
        known = set(form.externs)
        lines = []
        renames: list[tuple[int, int, str]] = []
        keys = {f"{tree.name}:{tree.locals[v.target].key}" for v in moved}
        exported = any(key in self.decisions.statics for key in keys)  # constants that stand with others go with them
        for variable in moved:
            c_name = form.moved[variable.target]
            decision = self.decisions.statics.get(f"{tree.name}:{tree.locals[variable.target].key}")
            if decision is not None:
                lines.append(f"#pragma redefine_extname {c_name} {decision.symbol}")
            elif exported:
                symbol = f"upc${self.decisions.ids[tree.name]}${c_name}"
                lines += [f"#pragma redefine_extname {c_name} {symbol}", f'__asm__(".hidden {symbol}");']
            renames.append((variable.target, self.source.word_end(variable.target), c_name))
            for inner in variable.walk():
                text = inner.name
                if inner.kind == "ref":
                    text = form.plain_name(inner)
                elif inner.kind == "addrlabel":
                    text = label_text(tree, inner) or text
                if text != inner.name:
                    renames.append((inner.start, inner.end, text))
        text = _replace(self.source, node.start, node.end, renames)
        if exported:
            text = re.sub(r"\bstatic\b", " ", text, count=1)
        externs = [form.externs[name] for name in form.externs if name not in known]
        if any(n.kind == "ref" and n.name == tree.name for v in moved for n in v.walk()):
            externs.insert(0, self.source.flat(tree.start, tree.body.start) + ";")
        file, line = self.source.locate(node.start)
        back = self._line_marker(self._before(tree.start))
        return "\n" + "\n".join([*externs, *lines, f'# {line} "{file}"', text.rstrip(";") + ";"]) + back

    def _line_marker(self, offset: int) -> str:
        file, line = self.source.locate(offset)
        return f'\n# {line} "{file}"\n'

    def _before(self, offset: int) -> int:
        """The end of the declaration that comes before ``offset`` at file scope."""
        text = self.source.text
        at = max(text.rfind(b";", 0, offset), text.rfind(b"}", 0, offset)) + 1
        line = text.rfind(b"\n", 0, offset) + 1
        between = self.source.skip_space(at) if at else 0
        return offset if between >= offset and at < line and at == 0 else at

    def _rename(self, tree: FunctionTree, form: NormalForm) -> None:
        """A function without points: only names change."""
        edits = self._renames(tree, form)
        self.edits += edits
        if tree.name in self.copied:
            calls = [c.node.children[0] for c in tree.calls if c.callee in self.copied]
            names = [n for call in calls for n in call.walk() if n.kind == "ref"]
            edits += [(n.start, n.end, again(n.name)) for n in names]
            body = _replace(self.source, tree.body.start, tree.end, edits)
            head = (_OUT_OF_LINE if self._own_frame(tree) else "") + copy_head(tree, self.source)
            text = declare_copies({tree.name, *(n.name for n in names)}) + head + body
            self.edits.append((tree.end, tree.end, f" {text}{self._line_marker(tree.end)}"))

    def _renames(self, tree: FunctionTree, form: NormalForm) -> list[tuple[int, int, str]]:
        edits: list[tuple[int, int, str]] = []
        gone = 0  # end of the last declaration that moved out
        for node in tree.body.walk():
            if node.start < gone:
                continue
            if node.kind == "ref" and node.target in form.shared:
                if self.decisions.twin:
                    edits.append((node.start, node.end, form.far_name(node)))
            elif node.kind == "var" and node.target in form.shared:
                place, label = form.label_of_shared(node)
                edits.append((place, place, label))
            elif node.kind == "ref":
                name = form.plain_name(node)
                if name != node.name and node.target_kind != "local":
                    edits.append((node.start, node.end, name))
            elif node.kind == "addrlabel":
                text = label_text(tree, node)
                if text is not None:
                    edits.append((node.start, node.end, text))
            elif node.kind == "igoto" and tree.label_numbers and not own_table(tree, node):
                target = node.children[0]
                edits.append((target.start, target.start, LABEL_INDEX))
                edits.append((target.end, target.end, LABEL_INDEX_END))
            elif node.kind == "decl":
                variables = [c for c in node.children if c.kind == "var"]
                if variables and all(v.target in form.moved for v in variables):
                    kept = "".join("\n" for _ in range(self.source.text.count(b"\n", node.start, node.end)))
                    edits.append((node.start, node.end, ";" + kept))
                    gone = node.end
        first = label_table(tree) + " ".join(form.externs.values())
        if first:
            at = tree.body.start + 1
            edits.append((at, at, f" {first} "))
        return edits

    # ---- variables -----------------------------------------------------------------------------------------------

    def _variables(self) -> None:
        for name, decision in sorted(self.decisions.variables.items()):
            self._head.append(f"#pragma redefine_extname {name} {decision.symbol}")
        edited: set[int] = set()
        for cursor in self.parsed.top:
            if cursor.kind != CursorKind.VAR_DECL:
                continue
            start = cursor.extent.start.offset
            static = self.decisions.variables.get(cursor.spelling)
            if static is not None and static.static and start not in edited:
                edited.add(start)
                self._drop_static(start, cursor.location.offset)
            self._initialiser(cursor)
        for name in self.decisions.plain_names:
            symbol = self.decisions.variables[name].symbol
            self._tail.append(
                f'extern __typeof__({name}) __upstare_plain_{name} __asm__("{name}") '
                f'__attribute__((alias("{symbol}")));'
            )

    def _drop_static(self, start: int, end: int) -> None:
        begin = self._before(start)
        match = re.search(rb"\bstatic\b", self.source.text[start:end]) or None
        base = start
        if match is None:
            match, base = re.search(rb"\bstatic\b", self.source.text[begin:end]), begin
        if match is not None:
            self.edits.append((base + match.start(), base + match.end(), "      "))

    def _initialiser(self, cursor: Cursor) -> None:
        """Functions named in the initialiser of a variable at file scope."""
        init = self.parsed.initialiser(cursor)
        if init is None:
            return
        externs: dict[str, str] = {}
        for node in init.walk():
            if node.kind != "ref" or node.target_kind != "function":
                continue
            if node.name in self.decisions.redirects:
                name = f"upstare_{node.name}"
                externs[name] = f"extern __typeof__({node.name}) {name};"
            elif node.name in self.decisions.entries:
                name = f"__upstare_entry_{node.name}"
                externs[name] = (
                    f'extern __typeof__({node.name}) {name} __asm__("upe${self.decisions.entries[node.name]}");'
                )
            else:
                continue
            self.edits.append((node.start, node.end, name))
        if externs:
            at = self._before(cursor.extent.start.offset)
            self.edits.append((at, at, " " + " ".join(externs.values()) + " "))

    # ---- entries -------------------------------------------------------------------------------------------------

    def _entries(self) -> None:
        for name in self.decisions.define_entries:
            entry = self.decisions.entries[name]
            slot = f"ups$slot${entry}"
            self._tail.append(f'extern __typeof__({name}) *__upstare_slot_{name} __asm__("{slot}");')
            self._tail.append(
                f'__attribute__((used, visibility("default"))) __typeof__({name}) *__upstare_slot_{name} = {name};'
            )
            jump = (
                f"movq {slot}@GOTPCREL(%rip),%r11\\n\\tjmp *(%r11)" if self.decisions.shared else f"jmp *{slot}(%rip)"
            )
            self._tail.append(
                f'__asm__(".pushsection .text.upstare_entry,\\"ax\\",@progbits\\n\\t.globl upe${entry}\\n\\t'
                f'.type upe${entry},@notype\\nupe${entry}:\\n\\t{jump}\\n\\t.popsection");'
            )

    # ---- text ----------------------------------------------------------------------------------------------------

    def _splice(self) -> bytes:
        text = self.source.text
        # The first markers name the unit and its folder for the debugger; they stay first.
        opening = re.match(rb'(#[^\n]*\n(# 1 "[^"\n]*//"\n)?)?', text)
        position = opening.end() if opening is not None else 0
        pieces: list[bytes] = [text[:position], ("\n".join(self._head) + "\n" + _PROLOGUE).encode()]
        file, line = self.source.locate(position)
        pieces.append(f'# {line} "{file}"\n'.encode() if file != "<unit>" else b"")
        ordered = sorted(enumerate(self.edits), key=lambda e: (e[1][0], e[1][1] != e[1][0], e[0]))
        for _, (start, end, new) in ordered:
            if start < position:
                raise NotUpdatable(
                    f"{self.source.where(start)}: the transform of this place conflicts with another one"
                )
            pieces.append(text[position:start])
            pieces.append(new.encode("utf-8", "surrogateescape"))
            position = end
        pieces.append(text[position:])
        pieces.append(("\n" + "\n".join(self._tail) + "\n").encode())
        return b"".join(pieces)


def _replace(source: object, start: int, end: int, renames: list[tuple[int, int, str]]) -> str:
    from upstare.frontend.source import SourceText

    assert isinstance(source, SourceText)
    pieces = []
    position = start
    for begin, stop, new in sorted(set(renames)):
        pieces.append(source.flat(position, begin))
        pieces.append(new)
        position = stop
    pieces.append(source.flat(position, end))
    return "".join(pieces)


__all__ = ["Transformed", "UnitTransform", "ir"]
