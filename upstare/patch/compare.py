"""Which old unit, function and variable becomes which new one.

Units are known by path; one that moved is recognised by the functions in it. Functions are known by unit and name; one
that moved to another unit by name and type, where only one fits. The mapping file overrules all of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from collections.abc import Mapping as Lookup
from dataclasses import dataclass, field

from upstare.errors import UsageError
from upstare.model.description import Constant, Description, Function, Variable
from upstare.patch.mapping import Mapping, Table

_SAME_UNIT = 0.5  # share of common functions from which on two units of different paths are one that moved


@dataclass
class Version:
    """A description with the look-ups that the comparison needs."""

    description: Description
    functions: dict[str, Function] = field(init=False)
    variables: dict[str, Variable] = field(init=False)
    _by_name: dict[str, list[Function]] = field(init=False)
    _variables_of: dict[tuple[str | None, str | None, str], list[Variable]] = field(init=False)

    def __post_init__(self) -> None:
        self.functions = {f.id: f for f in self.description.functions}
        self.variables = {}
        for variable in self.description.variables:
            if variable.defined and variable.symbol not in self.variables:
                self.variables[variable.symbol] = variable
        self._by_name = defaultdict(list)
        for function in self.functions.values():
            self._by_name[function.name].append(function)
        self._variables_of = defaultdict(list)
        for variable in self.variables.values():
            self._variables_of[variable.unit, variable.function, variable.name].append(variable)

    def named(self, name: str) -> list[Function]:
        """All functions of this name."""
        return self._by_name.get(name, [])

    def callee(self, caller: Function, name: str) -> Function | None:
        """The function that a direct call to ``name`` in ``caller`` reaches, if it is defined in the program."""
        candidates = self.named(name)
        own = [f for f in candidates if f.unit == caller.unit]
        return next(iter(own or [f for f in candidates if not f.static]), None)

    def variables_at(self, unit: str | None, function: str | None, name: str) -> list[Variable]:
        """Variables of this name in this scope, in the order of the text (blocks may repeat a static local's name)."""
        return self._variables_of.get((unit, function, name), [])

    def find_function(self, text: str, source: str) -> Function:
        """The function that ``unit:name`` (or a unique ``name``) in a mapping file means."""
        unit, _, name = text.rpartition(":")
        found = [f for f in self.named(name) if not unit or _ends(f.unit, unit)]
        if len(found) != 1:
            raise UsageError(
                f"{source}: {'no function' if not found else 'more than one function'} {text} in {self.version}",
                hint=_near(found or self.named(name), (f"{f.unit}:{f.name}" for f in found or self.named(name))),
            )
        return found[0]

    def find_variable(self, text: str, source: str) -> Variable:
        """The variable that ``name``, ``unit:name`` or ``unit:function:name`` in a mapping file means."""
        found = [v for v in self.variables.values() if is_called(v, text)]
        if len(found) != 1:
            raise UsageError(f"{source}: {'no variable' if not found else 'more than one'} {text} in {self.version}")
        return found[0]

    @property
    def version(self) -> str:
        """What to call this version in messages."""
        return self.description.version


@dataclass
class Comparison:
    """Old and new side by side. ``functions`` maps ids, ``variables`` symbols, ``units`` paths, each old to new."""

    old: Version
    new: Version
    mapping: Mapping
    units: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    locals: dict[str, Table] = field(default_factory=dict)  # id of the new function -> [locals] of the mapping file
    points: dict[str, Table] = field(default_factory=dict)  # id of the old function -> [points]

    def reverse(self) -> Comparison:
        """The way back: the same pairs, the other way round."""
        mapping = self.mapping.reverse()
        return Comparison(
            old=self.new,
            new=self.old,
            mapping=mapping,
            units=_turned(self.units),
            functions=_turned(self.functions),
            variables=_turned(self.variables),
            locals=_by_function(mapping.locals, self.old, self.new, _turned(self.functions), mapping.path, new=True),
            points=_by_function(mapping.points, self.new, self.old, _turned(self.functions), mapping.path, new=False),
        )

    def pair(self, function: Function) -> Function | None:
        """The new function that an old one becomes."""
        identifier = self.functions.get(function.id)
        return self.new.functions[identifier] if identifier is not None else None

    def changed(self) -> list[tuple[Function, Function]]:
        """Pairs whose text or type differs, or whose unit or name."""
        pairs = [(f, self.new.functions[self.functions[f.id]]) for f in self.old.functions.values() if self._kept(f)]
        return [(a, b) for a, b in pairs if (a.body, a.type, a.unit, a.name) != (b.body, b.type, b.unit, b.name)]

    def added(self) -> list[Function]:
        """Functions that only the new version has."""
        known = set(self.functions.values())
        return [f for f in self.new.functions.values() if f.id not in known]

    def removed(self) -> list[Function]:
        """Functions that only the old version has."""
        return [f for f in self.old.functions.values() if not self._kept(f)]

    def unchanged(self) -> int:
        """How many functions are the same in both."""
        return len(self.functions) - len(self.changed())

    def _kept(self, function: Function) -> bool:
        return function.id in self.functions


def compare(old: Description, new: Description, mapping: Mapping) -> Comparison:
    """Pair what both versions have.

    Raises:
        UsageError: the mapping file names something that is not there.
    """
    result = Comparison(Version(old), Version(new), mapping)
    result.units = _pair_units(result.old, result.new)
    result.functions = _pair_functions(result)
    result.variables = _pair_variables(result)
    for section, table in (("types", mapping.types), ("fields", mapping.fields)):
        for key in table:
            present = old.types if section == "types" else new.types
            if key not in present and new.types.keys().isdisjoint({f"struct {key}", key}):
                raise UsageError(f"{mapping.path}: [{section}]: no type {key}")
    for text in mapping.constants:
        if not any(is_called(constant, text) for constant in (*old.constants, *new.constants)):
            raise UsageError(f"{mapping.path}: [constants]: no constant {text} whose address is used")
    result.locals = _by_function(mapping.locals, result.new, result.old, result.functions, mapping.path, new=True)
    result.points = _by_function(mapping.points, result.old, result.new, result.functions, mapping.path, new=False)
    return result


def _pair_units(old: Version, new: Version) -> dict[str, str]:
    """Pairs by path; then, of the rest, those that share most of their functions."""
    ours, theirs = _contents(old), _contents(new)
    pairs = {path: path for path in ours if path in theirs}
    scores: list[tuple[float, str, str]] = []
    for path in ours.keys() - pairs.keys():
        for other in theirs.keys() - pairs.keys():
            union = len(ours[path] | theirs[other])
            if union and (score := len(ours[path] & theirs[other]) / union) > _SAME_UNIT:
                scores.append((score, path, other))
    for _, path, other in sorted(scores, reverse=True):
        if path not in pairs and other not in pairs.values():
            pairs[path] = other
    return pairs


def _contents(version: Version) -> dict[str, set[str]]:
    contents: dict[str, set[str]] = {unit.path: set() for unit in version.description.units}
    for function in version.functions.values():
        contents.setdefault(function.unit, set()).add(function.name)
    return contents


def _pair_functions(comparison: Comparison) -> dict[str, str]:
    old, new, mapping = comparison.old, comparison.new, comparison.mapping
    pairs: dict[str, str] = {}
    for before, after in mapping.functions.items():
        pairs[old.find_function(before, mapping.path).id] = new.find_function(after, mapping.path).id
    taken = set(pairs.values())
    if len(taken) != len(pairs):
        raise UsageError(f"{mapping.path}: [functions] maps two old functions to one new one")
    by_place = {(f.unit, f.name): f for f in new.functions.values()}
    for function in old.functions.values():
        if function.id in pairs:
            continue
        other = by_place.get((comparison.units.get(function.unit, function.unit), function.name))
        if other and other.id not in taken:
            pairs[function.id] = other.id
            taken.add(other.id)
    for function in old.functions.values():
        if function.id in pairs:
            continue
        moved = [f for f in new.named(function.name) if f.id not in taken and f.type == function.type]
        rivals = [f for f in old.named(function.name) if f.id not in pairs and f.type == function.type]
        if len(moved) == len(rivals) == 1:
            pairs[function.id] = moved[0].id
            taken.add(moved[0].id)
    return pairs


def _pair_variables(comparison: Comparison) -> dict[str, str]:
    old, new, mapping = comparison.old, comparison.new, comparison.mapping
    pairs: dict[str, str] = {}
    for before, after in mapping.variables.items():
        pairs[old.find_variable(before, mapping.path).symbol] = new.find_variable(after, mapping.path).symbol
    taken = set(pairs.values())
    renamed = {
        (f.unit, f.name): comparison.new.functions[comparison.functions[f.id]].name
        for f in old.functions.values()
        if f.id in comparison.functions
    }
    ordinals: Counter[tuple[str | None, str | None, str]] = Counter()
    for variable in old.variables.values():
        scope = (variable.unit, variable.function, variable.name)
        ordinal = ordinals[scope]
        ordinals[scope] += 1
        if variable.symbol in pairs:
            continue
        unit = comparison.units.get(variable.unit, variable.unit) if variable.unit is not None else None
        function = variable.function
        if function is not None:
            function = renamed.get((variable.unit or "", function), function)
        candidates = new.variables_at(unit, function, variable.name) or _other_linkage(new, variable)
        if ordinal < len(candidates) and candidates[ordinal].symbol not in taken:
            pairs[variable.symbol] = candidates[ordinal].symbol
            taken.add(candidates[ordinal].symbol)
    return pairs


def _other_linkage(new: Version, variable: Variable) -> list[Variable]:
    """A variable that became static, or external, or moved to another unit: only if nothing else has its name."""
    if variable.function is not None:
        return []
    found = [v for v in new.variables.values() if v.name == variable.name and v.function is None]
    return found if len(found) == 1 else []


def _by_function(
    tables: Lookup[str, Table], own: Version, other: Version, pairs: dict[str, str], source: str, *, new: bool
) -> dict[str, Table]:
    """``tables`` by function id of ``own``; a function may be named as it is called in either version."""
    result: dict[str, Table] = {}
    for text, table in tables.items():
        try:
            identifier = own.find_function(text, source).id
        except UsageError:
            found = other.find_function(text, source).id
            translation = pairs if new else _turned(pairs)
            if found not in translation:
                raise
            identifier = translation[found]
        result.setdefault(identifier, {}).update(table)
    return result


def _turned(table: dict[str, str]) -> dict[str, str]:
    return {new: old for old, new in table.items()}


def _ends(path: str, end: str) -> bool:
    return path == end or path.endswith("/" + end)


def is_called(object_: Variable | Constant, text: str) -> bool:
    """Whether this is what ``name``, ``unit:name`` or ``unit:function:name`` in a mapping file can mean."""
    *scope, name = text.split(":")
    return object_.name == name and _in_scope(object_, scope)


def _in_scope(variable: Variable | Constant, scope: list[str]) -> bool:
    if not scope:
        return variable.function is None
    if len(scope) == 2 and variable.function != scope[1]:
        return False
    unit = variable.unit if variable.unit is not None else variable.file
    return _ends(unit, scope[0]) and (len(scope) == 2 or variable.function is None)


def _near(found: list[Function], names: Iterable[str]) -> str | None:
    return f"there is {', '.join(sorted(names))}" if found else None
