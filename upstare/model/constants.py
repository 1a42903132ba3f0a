"""Which constants versions share, and under which symbols.

A constant whose address is used is bound as a variable is, but its symbol stands for its content, too: two versions
share it if, and only if, type and content are the same. A pointer to it then means the same to both.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from upstare.model.components import components
from upstare.model.facts import ConstantFact, UnitSummary

Key = tuple[int, str]  # unit, and name there; a static local is FUNCTION:KEY

# Flags that may change what an initialiser means, but for those that are about the place of the build and messages.
_MEANING = re.compile(r"-(?:f|m|std=|ansi)")
_NO_MEANING = re.compile(r"-f(?:[a-z]+-prefix-map=|random-seed|(?:no-)?diagnostics|message-length|PIC|PIE|pic|pie)")


class Constants:
    """The constants that versions share.

    Attributes:
        symbols: by where the constant is defined.
        external: of those with external linkage, where that is.
    """

    def __init__(
        self,
        summaries: Sequence[UnitSummary],
        names: Sequence[str],
        flags: Sequence[Sequence[str]],
        variable: Callable[[int, str], str | None],
        function: Callable[[int, str], str],
    ) -> None:
        """Find them.

        Args:
            summaries: of all units.
            names: of the units, as they are known across versions.
            flags: of the units.
            variable: the symbol of a variable, as a unit names it; '' if it has none across versions, None if there is
                no such variable.
            function: what the address of a function is across versions, as a unit names it.
        """
        self._summaries, self._names = summaries, names
        self._variable, self._function = variable, function
        self._all_flags = flags
        self._flags = [" ".join(f for f in given if _MEANING.match(f) and not _NO_MEANING.match(f)) for given in flags]
        self._fixed = {name for summary in summaries for name in summary.fixed}
        self.facts: dict[Key, ConstantFact] = {}
        self.external: dict[str, Key] = {}
        for index, summary in enumerate(summaries):
            for fact in summary.constants:
                if fact.defined:
                    self._add((index, _local(fact)), fact)
        shared = self._eligible(self._taken())
        self.symbols = self._name(shared)
        self.external = {name: key for name, key in self.external.items() if key in self.symbols}

    def symbol(self, unit: int, fact: ConstantFact) -> str | None:
        """The symbol of a constant that a unit declares; None if it belongs to its version."""
        return self.symbols.get(self._key(unit, _local(fact)) or (-1, ""))

    def named(self) -> Iterator[tuple[Key, str, ConstantFact]]:
        """Those that versions share, in the order of the units."""
        for key, symbol in self.symbols.items():
            yield key, symbol, self.facts[key]

    def _add(self, key: Key, fact: ConstantFact) -> None:
        self.facts[key] = fact
        if not fact.static:
            known = self.external.get(fact.name)
            # Of tentative definitions the one with a value.
            if known is None or (fact.content is not None and fact.content.digest and not _digest(self.facts[known])):
                self.external[fact.name] = key

    def _key(self, unit: int, name: str) -> Key | None:
        return (unit, name) if (unit, name) in self.facts and self.facts[unit, name].static else self.external.get(name)

    # ---- which

    def _taken(self) -> set[Key]:
        """Those whose address is used, with those that are declared together with one of them."""
        work: list[Key | None] = []
        for index, summary in enumerate(self._summaries):
            work += [self._key(index, _local(f)) for f in summary.constants if f.taken or (f.beside and f.static)]
            # Declared as variables elsewhere.
            work += [self.external.get(v.name) for v in summary.variables if not v.defined and v.function is None]
        together = self._together()
        found: set[Key] = set()
        while work:
            key = work.pop()
            if key is None or key in found:
                continue
            found.add(key)
            work += together[key[0], self.facts[key].place]
            content = self.facts[key].content
            work += [self._key(key[0], name) for name in content.objects] if content is not None else []
        return found

    def _together(self) -> dict[tuple[int, int], list[Key]]:
        result: dict[tuple[int, int], list[Key]] = defaultdict(list)
        for key, fact in self.facts.items():
            if fact.function is None:  # the transform moves what stands with a static local
                result[key[0], fact.place].append(key)
        return result

    def _eligible(self, taken: set[Key]) -> set[Key]:
        """Those that can be shared: nothing that they name belongs to a version."""
        together = self._together()
        shared = {key for key in taken if self._stands_alone(key)}
        while True:
            lost = {key for key in shared if not self._leads_to(key, shared)}
            for key in shared - lost:
                if self.facts[key].function is None and any(
                    other not in shared or other in lost for other in together[key[0], self.facts[key].place]
                ):
                    lost.add(key)
            if not lost:
                return shared
            shared -= lost

    def _stands_alone(self, key: Key) -> bool:
        fact = self.facts[key]
        return fact.content is not None and (fact.static or fact.name not in self._fixed)

    def _leads_to(self, key: Key, shared: set[Key]) -> bool:
        content = self.facts[key].content
        assert content is not None
        for name in content.objects:
            other = self._key(key[0], name)
            if other is not None:
                if other not in shared:
                    return False
                continue
            symbol = self._variable(key[0], name)
            if symbol == "" or (symbol is None and (name in self._fixed or ":" in name)):
                return False
        return True

    # ---- symbols

    def _name(self, shared: set[Key]) -> dict[Key, str]:
        """Each constant's digest covers those that it leads to, whatever rings they form."""
        graph = {key: {k for k in self._constants_in(key) if k in shared} for key in sorted(shared)}
        own = {key: self._own(key) for key in graph}
        rings: dict[Key, str] = {}
        for ring in components(graph):
            members = sorted(own[key] for key in ring)
            beyond = sorted({rings[other] for key in ring for other in graph[key] if other not in ring})
            digest = _hash(members, beyond)
            rings.update(dict.fromkeys(ring, digest))
        return {key: self._symbol(key, _hash(own[key], rings[key])[:16]) for key in graph}

    def _constants_in(self, key: Key) -> Iterable[Key]:
        content = self.facts[key].content
        found = [self._key(key[0], name) for name in content.objects] if content is not None else []
        return [k for k in found if k is not None]

    def _own(self, key: Key) -> str:
        """What a constant is but for the constants that it names: these are only named."""
        unit, fact = key[0], self.facts[key]
        content = fact.content
        assert content is not None
        summary = self._summaries[unit]
        objects = [self._meaning(unit, name) for name in content.objects]
        functions = [self._function(unit, name) for name in content.functions]
        text = [summary.text, *self._all_flags[unit]] if content.whole else []
        kind = summary.kinds[fact.type]
        return _hash(
            self._place(key), kind.hash, kind.align, fact.type, content.digest, objects, functions, text,
            self._flags[unit],
        )  # fmt: skip

    def _meaning(self, unit: int, name: str) -> str:
        key = self._key(unit, name)
        return f"constant {self._place(key)}" if key is not None else f"object {self._variable(unit, name) or name}"

    def _place(self, key: Key) -> str:
        fact = self.facts[key]
        return f"{self._names[key[0]]} {key[1]}" if fact.static else fact.name

    def _symbol(self, key: Key, digest: str) -> str:
        fact = self.facts[key]
        if not fact.static:
            return f"up${digest}${fact.name}"
        place = hashlib.sha256(self._names[key[0]].encode()).hexdigest()[:8]
        if fact.function is None:
            return f"up${digest}${place}${fact.name}"
        return f"up${digest}${place}${fact.function}${fact.key.replace('#', '$')}"


def _local(fact: ConstantFact) -> str:
    return f"{fact.function}:{fact.key}" if fact.function is not None else fact.name


def _digest(fact: ConstantFact) -> str:
    return fact.content.digest if fact.content is not None else ""


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
