"""The whole program: which functions can be on the stack at an update point, and how everything is named.

A function is *instrumented* if it has a point of its own (an unbounded loop, a call that may block, recursion) or calls
one that is. Functions that only end the process in failure, and paths that can only end in a call that does not return,
do not count; indirect calls count by exact type among the functions whose address is used.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from transforms.decisions import Decisions, VariableDecision
from upstare.driver.cache import Cache
from upstare.model.components import components
from upstare.model.constants import Constants
from upstare.model.endings import endings, staying
from upstare.model.facts import CallFact, FunctionFact, UnitSummary, VariableFact
from upstare.model.unit import Options, Unit

_LOOKS_UP = ("dlsym", "dlvsym")  # what gives a program pointers to functions by their names


def relative_paths(paths: Sequence[str]) -> list[str]:
    """Names of units relative to the build root, the deepest folder that holds them all."""
    normal = [os.path.normpath(p) for p in paths]
    if len(normal) == 1:
        return [os.path.basename(normal[0])]
    root = os.path.commonpath([os.path.dirname(p) for p in normal])
    names = [os.path.relpath(p, root) for p in normal]
    seen: dict[str, int] = {}
    for index, name in enumerate(names):  # the same source compiled twice
        count = seen.get(name, 0)
        seen[name] = count + 1
        if count:
            names[index] = f"{name}#{count + 1}"
    return names


def makes_sibling_calls(flags: Sequence[str]) -> bool:
    """Whether the compiler turns calls in tail position into jumps when it is given these flags."""
    given = [flag for flag in flags if flag.endswith("optimize-sibling-calls")]
    return not given[-1].startswith("-fno-") if given else _level(flags) not in ("-O0", "-O1", "-O", "-Og")


def inlines_once_called(flags: Sequence[str]) -> bool:
    """Whether the compiler inlines a static function that is called in one place, when it is given these flags."""
    off = ("-fno-inline", "-fno-inline-functions-called-once")
    return _level(flags) not in ("-O0", "-Og") and not any(flag in off for flag in flags)


def _level(flags: Sequence[str]) -> str:
    return next((flag for flag in reversed(flags) if flag.startswith("-O")), "-O0")


def function_id(unit: str, name: str) -> str:
    """16 hex digits that name a function in every version."""
    return hashlib.sha256(f"{unit}:{name}".encode()).hexdigest()[:16]


class Program:
    """The summaries of all units, merged."""

    def __init__(
        self, units: Sequence[Unit], summaries: Sequence[UnitSummary], options: Options, blocking: Iterable[str],
        others: Iterable[str],
    ) -> None:  # fmt: skip
        self.units, self.summaries, self.options = units, summaries, options
        self.names = relative_paths([u.path for u in units])
        self.blocking = sorted(blocking)
        self._blocking = set(self.blocking)
        self.redirects = sorted({*self.blocking, *others})
        self._redirected = set(self.redirects)
        default = options.placement == "default"
        self._sibling_calls = [default and makes_sibling_calls(unit.flags) for unit in units]
        self._functions: dict[tuple[int, str], FunctionFact] = {}
        self._external: dict[str, tuple[int, str]] = {}
        for index, summary in enumerate(summaries):
            for fact in summary.functions:
                self._functions[index, fact.name] = fact
                known = self._external.get(fact.name)
                if not fact.static and (known is None or fact.name in summaries[known[0]].weak):
                    self._external[fact.name] = (index, fact.name)
        self._aliases = {name: target for s in summaries for name, target in s.aliases.items()}
        self._resolved: list[dict[str, tuple[int, str] | None]] = [{} for _ in summaries]
        self._by_type: dict[str, set[tuple[int, str]]] = defaultdict(set)
        self.address_taken: set[tuple[int, str]] = set()
        for index, summary in enumerate(summaries):
            for name in summary.values:
                found = self.resolve(index, name)
                if found is not None:
                    self.address_taken.add(found)
                    self._by_type[self._functions[found].type].add(found)
        looked_up = any(c.callee in _LOOKS_UP for s in summaries for f in s.functions for c in f.calls)
        for name in options.outside:
            found = self._external.get(self._aliases.get(name, name))
            if found is not None:
                self.address_taken.add(found)
                if looked_up:
                    self._by_type[self._functions[found].type].add(found)
        self._staying = staying(self._functions, self.resolve, self._targets, self.blocking)
        self.lasting: set[tuple[int, str]] = set()
        self._last()
        self._endings: set[tuple[int, str]] = set()
        if default:
            self._endings = endings(self._functions, self.resolve, self.lasting, self._staying)
        graph = self._edges()
        self.instrumented = self._reach(graph)
        self.entry_points = self._break_tail_cycles()
        self._variables()
        flags = [unit.flags for unit in units]
        self.constants = Constants(summaries, self.names, flags, self._variable_symbol, self._address_of)

    # ---- functions -----------------------------------------------------------------------------------------------

    def resolve(self, unit: int, name: str) -> tuple[int, str] | None:
        """The definition that a name means in a unit, if the program has it."""
        known = self._resolved[unit]
        if name not in known:
            known[name] = self._resolve(unit, name)
        return known[name]

    def _resolve(self, unit: int, name: str) -> tuple[int, str] | None:
        name = self.summaries[unit].aliases.get(name, name)
        if (unit, name) in self._functions and name not in self.summaries[unit].weak:
            return unit, name
        return self._external.get(self._aliases.get(name, name))

    def function(self, key: tuple[int, str]) -> FunctionFact:
        """The facts of a defined function."""
        return self._functions[key]

    def _targets(self, unit: int, call: CallFact) -> Iterable[tuple[int, str]]:
        if call.callee is not None:
            found = self.resolve(unit, call.callee)
            return [found] if found is not None else []
        return self._by_type.get(call.type, ())

    def _edges(self) -> dict[tuple[int, str], set[tuple[int, str]]]:
        """What calls what, among functions that can be rebuilt: as long as a frame of another is on the stack, no point
        is of use, so a cycle through one needs none."""
        eligible = {key for key, fact in self._functions.items() if self._eligible(key, fact)}
        everything = self.options.placement != "default"
        graph: dict[tuple[int, str], set[tuple[int, str]]] = {}
        for key in eligible:
            targets = graph[key] = set()
            for call in self._functions[key].calls:
                if everything or not (call.doom and self.doomed(key[0], call)):
                    targets.update(self._targets(key[0], call))
            targets &= eligible
        return graph

    def is_tail(self, unit: int, call: CallFact) -> bool:
        """Whether a call that may unroll needs no point, because its function leaves no frame behind."""
        return call.tail and self._sibling_calls[unit] and call.callee not in self._blocking

    def _break_tail_cycles(self) -> set[tuple[int, str]]:
        """Functions that get a point at their entry, so that each cycle of nothing but tail calls has one."""
        graph: dict[tuple[int, str], set[tuple[int, str]]] = defaultdict(set)
        for key in self.instrumented:
            for call in self._functions[key].calls:
                if call.tail and self.is_tail(key[0], call):
                    graph[key].update(self.instrumented.intersection(self._targets(key[0], call)))
        graph = {key: {target for target in targets if target in graph} for key, targets in graph.items()}
        calls: Counter[tuple[int, str]] = Counter()
        chosen: set[tuple[int, str]] = set()
        while True:
            rest = {key: targets - chosen for key, targets in graph.items() if key not in chosen}
            cycles = [c for c in components(rest) if len(c) > 1 or c[0] in rest[c[0]]]
            if not cycles:
                return chosen
            if not calls:
                calls.update(self._callees())
            # Of each cycle the function that most of its calls lead to; of several, that which the fewest others call.
            for cycle in cycles:
                members = set(cycle)
                inside = {key: sum(key in rest[caller] for caller in members) for key in sorted(members)}
                chosen.add(max(inside, key=lambda key: (inside[key], -calls[key])))

    def _callees(self) -> Iterator[tuple[int, str]]:
        """What is called by name, once for each call."""
        for (unit, _), fact in self._functions.items():
            for call in fact.calls:
                if call.callee is not None and (found := self.resolve(unit, call.callee)) is not None:
                    yield found

    def _reach(self, graph: dict[tuple[int, str], set[tuple[int, str]]]) -> set[tuple[int, str]]:
        everything = self.options.placement != "default"
        able = {key for key in graph if everything or self._own_point(key)}
        for component in components(graph):
            if len(component) > 1 or component[0] in graph[component[0]]:
                able.update(component)
        callers: dict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
        for caller, callees in graph.items():
            for callee in callees:
                callers[callee].append(caller)
        work = list(able)
        while work:
            for caller in callers[work.pop()]:
                if caller not in able:
                    able.add(caller)
                    work.append(caller)
        return able

    def _eligible(self, key: tuple[int, str], fact: FunctionFact) -> bool:
        ends = key in self._endings or (fact.noreturn and key not in self.lasting)
        return fact.pinned is None and not fact.unused and not ends

    def doomed(self, unit: int, call: CallFact) -> bool:
        """Whether a call is on a path that can only end in a call that soon ends the process or the thread."""
        stays = call.callee is not None and self.resolve(unit, call.callee) in self._staying
        return not stays and any(self.resolve(unit, name) not in self.lasting for name in call.doom)

    def _last(self) -> None:
        """Find the functions declared never to return in which a thread can stay.

        They have a loop that data do not bound (a server's main loop), or call a function that has. The others end the
        process or thread.
        """
        loops = {k for k, f in self._functions.items() if any(not loop.why for loop in f.loops)}
        ends = {self.resolve(i, n) for i, s in enumerate(self.summaries) for f in s.functions for c in f.calls
                for n in c.doom}  # fmt: skip
        names = [k for k, f in self._functions.items() if f.noreturn or k in ends]
        more = {k for k in names if k in loops}
        while more:
            self.lasting |= more
            more = {k for k in names if k not in self.lasting and self._calls_one(k, loops | self.lasting)}

    def _calls_one(self, key: tuple[int, str], wanted: set[tuple[int, str]]) -> bool:
        return any(
            call.callee is not None and not self.doomed(key[0], call) and self.resolve(key[0], call.callee) in wanted
            for call in self._functions[key].calls
        )

    def _own_point(self, key: tuple[int, str]) -> bool:
        fact = self._functions[key]
        if any(c.callee in self._blocking and not self.doomed(key[0], c) for c in fact.calls):
            return True
        return any(not (loop.why and not loop.inner) for loop in fact.loops)

    def entry_id(self, key: tuple[int, str]) -> str:
        """The symbol suffix of a function's stable entry."""
        unit, name = key
        if not self._functions[key].static:
            return name
        return f"{_short(self.names[unit])}${name}"

    def _address_of(self, unit: int, name: str) -> str:
        """What the address of a function is across versions, as a unit names it."""
        found = self.resolve(unit, name)
        if found is not None:
            return f"entry {self.entry_id(found)}"
        return f"upstare_{name}" if name in self._redirected else name

    # ---- variables -----------------------------------------------------------------------------------------------

    def _variables(self) -> None:
        self._static_symbols: dict[int, dict[str, str]] = {}
        self.external_variables: dict[str, tuple[str, VariableFact, int]] = {}
        for index, summary in enumerate(self.summaries):
            for fact in summary.variables:
                if fact.static or not fact.defined or fact.function is not None:
                    continue
                known = self.external_variables.get(fact.name)
                if known is None or (fact.initial and not known[1].initial) or fact.size > known[1].size:
                    kind = summary.kinds[fact.type].hash
                    self.external_variables[fact.name] = (f"up${kind}${fact.name}", fact, index)

    def static_symbol(self, unit: int, fact: VariableFact) -> str:
        """The assembler name of a static variable."""
        kind = self.summaries[unit].kinds[fact.type].hash
        place = _short(self.names[unit])
        if fact.function is None:
            return f"up${kind}${place}${fact.name}"
        return f"up${kind}${place}${fact.function}${fact.key.replace('#', '$')}"

    def _variable_symbol(self, unit: int, name: str) -> str | None:
        """The symbol of a variable, as a unit names it (a static local as FUNCTION:KEY); '' if it has none that all
        versions know, None if there is no such variable."""
        known = self._static_symbols.get(unit)
        if known is None:
            known = self._static_symbols[unit] = {}
            for fact in self.summaries[unit].variables:
                if fact.static:
                    local = f"{fact.function}:{fact.key}" if fact.function is not None else fact.name
                    known[local] = self.static_symbol(unit, fact) if fact.movable else ""
        if name in known:
            return known[name]
        return self.external_variables[name][0] if name in self.external_variables else None

    def _goes_on(self, unit: int, name: str) -> bool:
        """Whether a function that is declared never to return can be taken down and rebuilt all the same."""
        found = self.resolve(unit, name)
        return found is not None and found in self.lasting and found in self.instrumented

    # ---- decisions -----------------------------------------------------------------------------------------------

    @functools.cached_property
    def _taken_in(self) -> list[list[str]]:
        """By unit, the functions of it whose address is taken, in order."""
        names: list[list[str]] = [[] for _ in self.units]
        for unit, name in sorted(self.address_taken):
            names[unit].append(name)
        return names

    def decisions(self, unit: int) -> Decisions:
        """What the transform of one unit has to know."""
        summary, options = self.summaries[unit], self.options
        how = options.scheme, options.placement, options.shared, options.clones, options.twin
        result = Decisions(self.names[unit], *how)
        result.blocking, result.redirects = self.blocking, self.redirects
        result.tail_calls = self._sibling_calls[unit]
        result.inlines = inlines_once_called(self.units[unit].flags)
        hot_types: set[str] = set()
        for fact in summary.functions:
            result.ids[fact.name] = function_id(self.names[unit], fact.name)
            if fact.pinned is not None:
                result.pinned.append(fact.name)
            if (unit, fact.name) in self.instrumented:
                result.instrumented.append(fact.name)
                if options.placement == "2009" or (unit, fact.name) in self.entry_points:
                    result.entry_points.append(fact.name)
            for call in fact.calls:
                targets = self._targets(unit, call)
                if call.doom and call.callee is not None and self.resolve(unit, call.callee) in self._staying:
                    result.staying.append(call.callee)
                result.lasting += [n for n in call.doom if n not in result.lasting and self._goes_on(unit, n)]
                if any(t in self.instrumented for t in targets):
                    if call.callee is None:
                        hot_types.add(call.type)
                    elif call.callee not in result.hot:
                        result.hot.append(call.callee)
        result.lasting += [f.name for f in summary.functions if f.name not in result.lasting
                           and self._goes_on(unit, f.name)]  # fmt: skip
        result.lasting.sort()
        result.staying = sorted(set(result.staying))
        result.hot.sort()
        result.hot_types = sorted(hot_types)
        defined = {n for n in self.redirects if self.resolve(unit, n) is not None}
        result.redirects = [n for n in result.redirects if n not in defined]
        result.blocking = [n for n in result.blocking if n not in defined]
        for name in summary.values:
            found = self.resolve(unit, name)
            if found is not None:
                result.entries[name] = self.entry_id(found)
        for name in self._taken_in[unit]:
            result.entries[name] = self.entry_id((unit, name))
            result.define_entries.append(name)
        for variable in summary.variables:
            if variable.function is not None:
                if variable.movable:
                    c_name = f"__upstare_s_{variable.function}_{variable.key.replace('#', '_')}"
                    symbol = self.static_symbol(unit, variable)
                    result.statics[f"{variable.function}:{variable.key}"] = VariableDecision(symbol, True, c_name)
            elif variable.static:
                result.variables[variable.name] = VariableDecision(self.static_symbol(unit, variable), True)
            elif variable.name in self.external_variables:
                symbol, _, home = self.external_variables[variable.name]
                result.variables[variable.name] = VariableDecision(symbol)
                if variable.name in options.outside and home == unit:
                    result.plain_names.append(variable.name)
            elif variable.name in self.constants.external:  # what is no constant here is one elsewhere
                symbol = self.constants.symbols[self.constants.external[variable.name]]
                result.variables[variable.name] = VariableDecision(symbol)
        self._decide_constants(unit, result)
        return result

    def _decide_constants(self, unit: int, result: Decisions) -> None:
        for fact in self.summaries[unit].constants:
            symbol = self.constants.symbol(unit, fact)
            if fact.function is not None:
                if symbol is not None:
                    c_name = f"__upstare_s_{fact.function}_{fact.key.replace('#', '_')}"
                    result.statics[f"{fact.function}:{fact.key}"] = VariableDecision(symbol, True, c_name)
                continue
            if symbol is None and not fact.static and fact.name in self.external_variables:
                symbol = self.external_variables[fact.name][0]  # what is constant here is not elsewhere
            if symbol is None:
                continue
            result.variables[fact.name] = VariableDecision(symbol, fact.static)
            home = self.constants.external.get(fact.name)
            if not fact.static and fact.name in self.options.outside and home == (unit, fact.name):
                result.plain_names.append(fact.name)


def _short(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:8]


@functools.cache
def redirect_lists(runtime: Path) -> tuple[list[str], list[str], list[str]]:
    """(blocking, plain, opaque) out of the runtime's redirects.toml."""
    text = (runtime / "redirects.toml").read_bytes()
    cache, key = Cache(), hashlib.sha256(b"redirects\0" + text).hexdigest()
    found = cache.read(key)
    if found is None:
        import tomllib

        data = tomllib.loads(text.decode())
        found = json.dumps([data["blocking"], data["plain"], data["opaque"]]).encode()
        cache.put(key, found)
    blocking, plain, opaque = json.loads(found)
    return blocking, plain, opaque
