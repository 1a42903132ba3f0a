"""Static functions that are called in one place only.

The compiler inlines such a function where it is called, however large it is. The resume clone of the caller would be a
second place, and the function would no longer be inlined. So what belongs to the resume clones calls copies of these
functions, which are as far from the code that usually runs as the resume clones are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from transforms.decisions import Decisions
from transforms.normal_form import NormalForm
from upstare.driver.elf import SECTION_RESUME as RESUME_SECTION
from upstare.frontend.functions import FunctionTree, set_jumps
from upstare.frontend.nodes import Parsed
from upstare.frontend.source import SourceText
from upstare.frontend.types import TypeTable

AGAIN_PREFIX = "__upstare_again_"
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")
_OWN_WAY = re.compile(
    rb"\{|noinline|always_inline|\bused\b|__used__|section|alias|weak|ifunc|constructor|destructor|naked"
)
_NAME_WORDS = (b"__func__", b"__FUNCTION__", b"__PRETTY_FUNCTION__")
_NOT_INLINED = ("igoto", "addrlabel", "asm", "function")


def again(name: str) -> str:
    """The name of the copy of a function."""
    return AGAIN_PREFIX + name


def declare_copies(names: Iterable[str]) -> str:
    """Declarations at file scope for the copies of these functions, which are declared themselves.

    In the machine code a copy is named as the compiler names its own: by the function and a suffix.
    """
    return "".join(f'static __typeof__({name}) {again(name)} __asm__("{name}.again"); ' for name in sorted(names))


def copy_head(tree: FunctionTree, source: SourceText) -> str:
    """What comes before the body of a copy."""
    at = tree.cursor.location.offset
    before, after = source.flat(tree.start, at), source.flat(at + len(tree.name.encode()), tree.body.start)
    return f'__attribute__((section("{RESUME_SECTION}"))) {before}{again(tree.name)}{after}'


def copied_functions(
    parsed: Parsed, trees: list[FunctionTree], decisions: Decisions, types: TypeTable
) -> set[str]:
    """The functions of a unit that get a copy."""
    if not decisions.inlines or not decisions.clones:
        return set()
    callers: dict[str, list[str]] = {}
    for tree in trees:
        for call in tree.calls:
            if call.callee is not None:
                callers.setdefault(call.callee, []).append(tree.name)
    words = Counter(_WORD.findall(parsed.source.text))
    candidates = {
        tree.name: callers[tree.name][0]
        for tree in trees
        if len(callers.get(tree.name, ())) == 1
        and callers[tree.name][0] != tree.name
        and words[tree.name.encode()] == len(parsed.declarations(tree.name)) + 1
        and _may_be_copied(parsed, tree, decisions, types)
    }
    result: set[str] = set()
    more = {name for name, caller in candidates.items() if caller in decisions.instrumented}
    while more:
        result |= more
        more = {name for name, caller in candidates.items() if caller in result} - result
    return result


def _may_be_copied(parsed: Parsed, tree: FunctionTree, decisions: Decisions, types: TypeTable) -> bool:
    """Whether a function is one that the compiler inlines, and has nothing that must be there only once."""
    if not tree.static or tree.variadic or tree.noreturn or tree.pinned is not None:
        return False
    form = NormalForm(parsed, tree, decisions, types)
    if set_jumps(tree) or any(local.static and local.target not in form.moved for local in tree.locals.values()):
        return False
    text = parsed.source.text[tree.body.start : tree.end]
    if tree.name not in decisions.instrumented and any(word in text for word in _NAME_WORDS):
        return False
    if _OWN_WAY.search(parsed.source.text[tree.start : tree.body.start]) or b"#pragma" in text:
        return False
    return not any(node.kind in _NOT_INLINED for node in tree.body.walk())
