"""Label addresses that outlive a clone: numbers, and a table of labels in each clone that turns them back.

Before::                                After::

    void *at = &&again; ...                 void *at = ((void *)1ul); ...
    goto *at;                               goto *__upstare_labels[(unsigned long)(at)];

The table of a clone has the numbers of ``FunctionTree.label_numbers``; no label has the number 0, which is NULL.
"""

from __future__ import annotations

import re

from upstare.frontend.functions import FunctionTree, label_number
from upstare.frontend.nodes import Node
from upstare.frontend.source import SourceText

_ASM_GOTO = re.compile(r"\s*(?:asm|__asm|__asm__)\b[\s\w]*\bgoto\b")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
LABEL_INDEX = "__upstare_labels[(unsigned long)("
LABEL_INDEX_END = ")]"


def label_table(tree: FunctionTree) -> str:
    """The declaration of a clone's table, or nothing."""
    if not tree.label_numbers:
        return ""
    labels = "".join(f", &&{name}" for name in tree.label_numbers)
    return f"static const void *const __upstare_labels[] = {{0{labels}}}; "


def label_text(tree: FunctionTree, node: Node) -> str | None:
    """What stands for a label address, if not itself."""
    number = label_number(tree, node)
    return f"((void *){number}ul)" if number is not None else None


def asm_labels(source: SourceText, node: Node) -> list[str]:
    """The labels that an ``asm goto`` may jump to: its fifth part."""
    text = source.flat(node.start, node.end)
    if not _ASM_GOTO.match(text):
        return []
    depth = colons = 0
    labels = ""
    for char in _STRING.sub('""', text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 1 and char == ":":
            colons += 1
        elif depth == 1 and colons == 4:
            labels += char
    return re.findall(r"\w+", labels)
