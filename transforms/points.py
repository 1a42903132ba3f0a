"""What an update point is made of: two schemes behind one function.

``trap``: a one-byte no-op in an ``asm goto`` that takes the live variables as operands and writes their places into the
notes section; nothing else is left in the text. ``flag``: a test of ``upstare_flag`` with the saving code behind it.
The layout of a note is read by ``upstare/points/notes.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from transforms import ir
from transforms.frames import KEPT, Frame, FrameSlot

MAX_OPERANDS = 26  # gcc takes 30 in all, labels included
_KIND = {"general": 0, "floating": 0, "memory": 3}
_FLAGS = {"call": 1, "loop": 2, "entry": 4}
_OBJECT, _POINTER = 1, 2
_SORT = {"kept": 0, "arguments": 1, "chain": 2, "sized": 3}  # enum upstare_sort


def pointer_name(slot: FrameSlot) -> str:
    """The variable of the resume clone that points to a kept object."""
    return f"__upstare_p_{slot.c_name}"


def _address(slot: FrameSlot, resume: bool) -> str | None:
    """The variable that points to what is kept, if it is not the object itself that is at hand."""
    if slot.how == "chain":
        return slot.c_name
    return pointer_name(slot) if resume else None


def _room(slot: FrameSlot, resume: bool) -> str:
    """How many bytes there are for a variable-length array."""
    return f"__upstare_z_{slot.c_name}" if resume else f"(unsigned long)sizeof {slot.c_name}"


def point_text(
    point: ir.Point, frame: Frame, identity: str, line: int, scheme: str, *, resume: bool, clones: bool
) -> str:  # fmt: skip
    """The statement that makes an update point.

    Args:
        point: which one.
        frame: where its variables go.
        identity: of the function.
        line: of the source.
        scheme: ``trap`` or ``flag``.
        resume: in the resume clone, where kept objects are elsewhere.
        clones: the function has a resume clone.
    """
    note = partial(_note, point, identity, line, f"upstare$r${identity}" if clones else "0")
    slots = [frame.slots[t] for t in point.live]
    if resume:
        slots = [slot for slot in slots if slot.how != "sized"] + frame.sized()
    if scheme == "flag":
        return _flag(point, slots, frame, identity, note, resume)
    each = MAX_OPERANDS if not frame.sized() else MAX_OPERANDS // 2  # they take two
    chunks = [slots[i : i + each] for i in range(0, len(slots), each)] or [[]]
    if frame.crowded and not resume:
        chunks.insert(0, [])
    return _chained([partial(_trap, chunk, note, resume=resume) for chunk in chunks])


def _chained(chunks: list[Callable[..., str]]) -> str:
    """The chunks of one point: only the first is on the program's way, each of the others is at the label of the one
    before it, so that nothing can come between them."""
    last = len(chunks) - 1
    if last == 0:
        return chunks[0](0, "upstare_ret")
    labels = [f"upstare_more_{part}" for part in range(last, 0, -1)]
    text = f"{{ __label__ {', '.join(labels)}; {chunks[0](last, labels[0])} if (0) {{ "
    for i, chunk in enumerate(chunks[1:]):
        following = labels[i + 1] if i + 1 < last else "upstare_ret"
        text += f"{labels[i]}: __attribute__((__cold__)); {chunk(last - 1 - i, following)} goto upstare_ret; "
    return text + "} }"


def _note(point: ir.Point, identity: str, line: int, clone: str, label: str, count: int, part: int) -> str:
    return (
        f'.pushsection .upstare_notes,\\"\\",@progbits\\n\\t.quad 1b,{label},{clone},0x{identity}\\n\\t'
        f".long {point.number},{line}\\n\\t.word {count}\\n\\t.byte {_FLAGS[point.kind]},{part}\\n\\t"
    )


def _trap(slots: list[FrameSlot], note: Callable[..., str], part: int, label: str, *, resume: bool) -> str:
    count = len(slots) + sum(slot.how == "sized" for slot in slots)
    text = "1: nop\\n\\t" + note(f"%l[{label}]", count, part)
    operands: list[str] = []
    memory = False
    for slot in slots:
        index = len(operands)
        if slot.how == "sized":
            operands.append(f'"nor"({_room(slot, resume)})')
            text += f".byte 0,3f-2f\\n\\t.long {slot.offset + 8},8\\n\\t2: movq %q{index},%%rax\\n\\t3:\\n\\t"
            index += 1
        if slot.how in KEPT:
            pointer = _address(slot, resume)
            kind = (_OBJECT if pointer is None else _POINTER) | _SORT[slot.how] << 4
            memory = memory or pointer is not None or slot.how == "arguments"
            constraint = f'"m"({slot.c_name})' if pointer is None else f'"nor"({pointer})'
            instruction = f"leaq %{index},%%rax" if pointer is None else f"movq %q{index},%%rax"
        elif slot.how == "memory":
            kind, constraint, instruction = _KIND["memory"], f'"m"({slot.c_name})', f"leaq %{index},%%rax"
        elif slot.how == "floating":
            kind, constraint, instruction = 0, f'"xm"({slot.c_name})', f"movups %{index},%%xmm0"
        else:
            kind, constraint, instruction = 0, f'"nor"({slot.c_name})', f"movq %q{index},%%rax"
        text += f".byte {kind},3f-2f\\n\\t.long {slot.offset},{slot.size}\\n\\t2: {instruction}\\n\\t3:\\n\\t"
        operands.append(constraint)
    clobber = '"memory"' if memory else ""
    return f'__asm__ volatile __inline goto("{text}.popsection" : : {", ".join(operands)} : {clobber} : {label});'


def _flag(
    point: ir.Point, slots: list[FrameSlot], frame: Frame, identity: str, note: Callable[..., str], resume: bool
) -> str:  # fmt: skip
    mark = f'__asm__ __volatile__("1:\\n\\t{note("0", 0, 0)}.popsection");'
    saves = []
    for slot in slots:
        if slot.how == "sized":
            saves.append(f"*(unsigned long *)(__upstare_d + {slot.offset + 8}) = {_room(slot, resume)};")
        if slot.how in KEPT:
            address = _address(slot, resume) or f"&{slot.c_name}"
            saves.append(
                f"upstare_save_kept(__upstare_d, {slot.offset}, (const void *){address}, {slot.size}, "
                f"{_SORT[slot.how]});"
            )
        else:
            saves.append(f"__builtin_memcpy(__upstare_d + {slot.offset}, (const void *)&{slot.c_name}, {slot.size});")
    return (
        f"{mark} if (__builtin_expect(upstare_flag, 0) && upstare_at_point()) {{ unsigned char *__upstare_d = "
        f"upstare_save(0x{identity}ull, {point.number}, {frame.size}); (void)__upstare_d; "
        f"{' '.join(saves)} goto upstare_ret; }}"
    )
