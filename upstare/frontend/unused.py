"""Functions of a unit that nothing can call: static, and named only where other such functions are.

Headers bring many static functions of which a unit uses few. The compiler leaves the others out, unless something of
ours refers to them: they get no points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Sequence

from upstare.frontend.functions import FunctionTree
from upstare.frontend.nodes import Parsed

_WORD = re.compile(rb"[A-Za-z_]\w*")
# Attributes for which a function is called, or kept, though nothing names it.
_LASTING = re.compile(rb"\b_*(?:constructor|destructor|used|retain)_*\b")


def unused_functions(parsed: Parsed, trees: Sequence[FunctionTree], initial: Collection[str]) -> set[str]:
    """The names of these functions. ``initial``: functions that initialisers at file scope name."""
    statics = {t.name: t for t in trees if t.static}
    named = {t.name: {c.callee for c in t.calls if c.callee} | {n.name for n in t.values} for t in trees}
    work = [t.name for t in trees if not t.static] + [name for name in initial if name in named]
    unused = set(statics)
    while work:
        for name in named[work.pop()] & unused:
            unused.discard(name)
            work.append(name)
    unused -= set(initial)
    if not unused:
        return unused
    # The text has the last word: a name in an asm, an attribute or a string of an attribute is a use as well.
    ordered = sorted((t for t in trees), key=lambda t: t.start)
    begins = [t.start for t in ordered]
    inside: dict[str, set[str]] = {name: set() for name in unused}
    outside = {name for name in unused if _lasts(parsed, statics[name])}
    own = {name: {c.location.offset for c in parsed.declarations(name)} for name in unused}
    wanted = {name.encode(): name for name in unused}
    for match in _WORD.finditer(parsed.source.text):
        word = wanted.get(match.group())
        if word is None or match.start() in own[word]:
            continue
        index = bisect_right(begins, match.start()) - 1
        if index >= 0 and match.start() < ordered[index].end:
            inside[word].add(ordered[index].name)
        else:
            outside.add(word)
    used = set(outside)
    while True:
        more = {n for n in unused - used if any(f not in unused or f in used for f in inside[n] - {n})}
        if not more:
            return unused - used
        used |= more


def _lasts(parsed: Parsed, tree: FunctionTree) -> bool:
    text = parsed.source.text
    for cursor in parsed.declarations(tree.name):
        at = cursor.location.offset
        end = text.find(b"{" if cursor.is_definition() else b";", at)
        if _LASTING.search(text, cursor.extent.start.offset, end):
            return True
    return False
