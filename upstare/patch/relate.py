"""How a value of an old type becomes one of a new type.

Records are compared field by field: by name, then by the mapping file. What C converts by itself (numbers,
enumerations) is converted; a pointer stays what it is if it still points to the same type; what would need a meaning
that only a person knows is a *problem*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from upstare.model.description import Field, Type
from upstare.patch.compare import Comparison
from upstare.patch.expressions import over_old
from upstare.patch.mapping import is_name
from upstare.patch.user import BACKWARD, UserFunction, UserTransformers

_ARITHMETIC = frozenset({"int", "float", "bool", "enum"})
_QUALIFIER = re.compile(r"\b(?:const|volatile|restrict|__restrict|_Atomic)\b")
_CHARACTERS = frozenset({"char", "signed char", "unsigned char"})


class Kind(Enum):
    """What has to be done to a value."""

    SAME = "same"  # the same bytes
    CONVERT = "convert"  # assignment between arithmetic types
    RECORD = "record"  # field by field
    ARRAY = "array"  # element by element
    USER = "user"  # by a function of the transformers file
    NONE = "none"  # nobody knows how


class Cut(Enum):
    """What becomes of the elements that an array loses."""

    ASK = "ask"  # a person decides
    DROP = "drop"  # the way back: what only the new version has goes, as the fields that only it has
    CHECK = "check"  # the way back, bytes: text that does not fit is not cut off; the transformer refuses


class Problem(NamedTuple):
    """Why a value cannot be made: the path to it inside the object ('' for itself) and a reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class FieldPlan:
    """Where a field of a new record comes from: an old field, an expression over the old record, or nowhere."""

    new: Field
    old: Field | None
    relation: Relation | None
    expression: str | None = None


@dataclass(frozen=True)
class Relation:
    """How a value of type ``old`` (a key in the old version) becomes one of type ``new`` (in the new version)."""

    kind: Kind
    old: str
    new: str
    reason: str = ""  # Kind.NONE: why
    fields: tuple[FieldPlan, ...] = ()  # Kind.RECORD, in the order of the new record
    element: Relation | None = None  # Kind.ARRAY
    count: int = 0  # Kind.ARRAY: elements that both have
    lost: int = 0  # Kind.ARRAY: elements that only the old one has
    cut: Cut = Cut.ASK  # Kind.ARRAY: what becomes of them
    user: UserFunction | None = None  # Kind.USER

    def problems(self, path: str = "") -> Iterator[Problem]:
        """Everything in the value that a person must decide."""
        if self.kind is Kind.NONE:
            yield Problem(path, self.reason)
        elif self.kind is Kind.ARRAY and self.element is not None:
            if self.lost and self.cut is Cut.ASK:
                yield Problem(path, f"the array loses {self.lost} of {self.lost + self.count} elements")
            yield from self.element.problems(f"{path}[]")
        elif self.kind is Kind.RECORD:
            for plan in self.fields:
                if plan.relation is not None:
                    yield from plan.relation.problems(f"{path}.{plan.new.name}" if path else plan.new.name)


class Relations:
    """Relations between the types of two versions, each worked out once."""

    def __init__(self, comparison: Comparison, user: UserTransformers) -> None:
        self._old = comparison.old.description.types
        self._new = comparison.new.description.types
        self._mapping = comparison.mapping
        self._user = user
        self._known: dict[tuple[str, str], Relation] = {}

    def of(self, old: str, new: str, name: str | None = None) -> Relation:
        """The relation of two types. ``name``: the user may have written a transformer for the object of this name."""
        if name is not None and (special := self._by_user(old, new, name)) is not None:
            return special
        known = self._known.get((old, new))
        if known is None:
            known = self._known[old, new] = self._relate(old, new)
        return known

    def old_type(self, key: str) -> Type | None:
        """The old type of this key."""
        return self._old.get(key) or self._old.get(normal(key))

    def new_type(self, key: str) -> Type | None:
        """The new type of this key."""
        return self._new.get(key) or self._new.get(normal(key))

    def changed_records(self) -> list[tuple[Type, Type]]:
        """Complete records of both versions whose layout differs."""
        pairs = []
        for old in self._old.values():
            new = self._new.get(self._mapping.new_type(old.key))
            if new is None or old.kind not in ("struct", "union") or not (old.complete and new.complete):
                continue
            if old.hash != new.hash and self.of(old.key, new.key).kind is not Kind.SAME:
                pairs.append((old, new))
        return pairs

    def _by_user(self, old: str, new: str, *names: str) -> Relation | None:
        for name in names:
            if (function := self._user.find(name)) is not None:
                return Relation(Kind.USER, old, new, user=function)
            if self._user.lacks(name):
                return Relation(Kind.NONE, old, new, f"there is no {BACKWARD}{name} for the way back")
        return None

    def _relate(self, old_key: str, new_key: str) -> Relation:
        old, new = self.old_type(old_key), self.new_type(new_key)

        def relation(kind: Kind, reason: str = "") -> Relation:
            return Relation(kind, old_key, new_key, reason)

        if old is None or new is None:
            same = self.renamed(normal(old_key)) == normal(new_key)
            return relation(Kind.SAME) if same else relation(Kind.NONE, "nothing is known about the type")
        if old.kind in _ARITHMETIC and new.kind in _ARITHMETIC:
            same = normal(old.key) == normal(new.key) and old.kind == new.kind and old.size == new.size
            return relation(Kind.SAME if same else Kind.CONVERT)
        if old.kind == new.kind == "pointer":
            if self._same_pointee(old.target or "void", new.target or "void"):
                return relation(Kind.SAME)
            return relation(Kind.NONE, "it points to something else")
        if old.kind == new.kind == "array" and old.target and new.target:
            return self._relate_arrays(old_key, new_key, old, new)
        if old.kind == new.kind and old.kind in ("struct", "union"):
            return self._relate_records(old_key, new_key, old, new)
        if old.kind == new.kind and old.size == new.size and old.hash == new.hash:
            return relation(Kind.SAME)
        return relation(Kind.NONE, "no conversion is known")

    def _relate_arrays(self, old_key: str, new_key: str, old: Type, new: Type) -> Relation:
        element = self.of(old.target or "", new.target or "")
        if old.count == new.count and element.kind is Kind.SAME:
            return Relation(Kind.SAME, old_key, new_key)
        byte = self.new_type(new.target or "")
        back = Cut.CHECK if byte is not None and byte.size == 1 else Cut.DROP
        return Relation(
            Kind.ARRAY,
            old_key,
            new_key,
            element=element,
            count=min(old.count, new.count),
            lost=max(0, old.count - new.count),
            cut=back if self._user.prefix == BACKWARD else Cut.ASK,
        )

    def _relate_records(self, old_key: str, new_key: str, old: Type, new: Type) -> Relation:
        special = self._by_user(old_key, new_key, tag_of(new), tag_of(old)) if old.hash != new.hash else None
        if special is not None:
            return special
        if self.renamed(normal(old.key)) != normal(new.key):
            return Relation(Kind.NONE, old_key, new_key, "it is another record")
        if old.hash == new.hash and old.size == new.size:
            return Relation(Kind.SAME, old_key, new_key)
        if not old.complete or not new.complete:
            return Relation(Kind.NONE, old_key, new_key, "the record is not complete in both versions")
        plans = tuple(self._plan_fields(old, new))
        if _same_layout(old, new, plans):
            return Relation(Kind.SAME, old_key, new_key)
        if old.kind == "union":
            return Relation(Kind.NONE, old_key, new_key, "the members of the union changed")
        return Relation(Kind.RECORD, old_key, new_key, fields=plans)

    def _plan_fields(self, old: Type, new: Type) -> Iterator[FieldPlan]:
        mapped = self._mapping.fields.get(new.key, {})
        named = {f.name: f for f in old.fields if f.name}
        nameless = [f for f in old.fields if not f.name and not f.width]
        for member in new.fields:
            source: Field | None
            text = mapped.get(member.name) if member.name else None
            if text is not None and not (is_name(text) and text in named):
                subject = f'{self._mapping.path}: [fields."{new.key}"] {member.name}'
                over_old(text, {name: name for name in named}, subject)
                yield FieldPlan(member, None, None, expression=text)
                continue
            if member.name:
                source = named.get(text or member.name)
            elif member.width:
                continue  # padding
            else:
                source = nameless.pop(0) if nameless else None
            if source is None:
                yield FieldPlan(member, None, None)
                continue
            relation = self.of(source.type, member.type)
            if source.width and relation.kind is Kind.SAME and source.width != member.width:
                relation = Relation(Kind.CONVERT, source.type, member.type)
            yield FieldPlan(member, source, relation)

    def _same_pointee(self, old_key: str, new_key: str) -> bool:
        ours, theirs = normal(old_key), normal(new_key)
        if self.renamed(ours) == theirs or (ours in _CHARACTERS and theirs in _CHARACTERS):
            return True
        old, new = self.old_type(old_key), self.new_type(new_key)
        if old is None or new is None or old.kind != new.kind:
            return False
        if old.kind == "pointer":
            return self._same_pointee(old.target or "void", new.target or "void")
        if old.kind == "array":
            return old.count == new.count and self._same_pointee(old.target or "", new.target or "")
        return old.kind == "int" and old.size == new.size

    def renamed(self, key: str) -> str:
        """A key of the old version with the renamed records of the mapping file."""
        for before, after in self._mapping.types.items():
            key = re.sub(rf"\b{re.escape(before)}(?!\w)", after, key)
        return key


def normal(key: str) -> str:
    """A type's key without qualifiers: they change neither layout nor meaning."""
    return re.sub(r"\s*\*\s*", " *", " ".join(_QUALIFIER.sub(" ", key).split())).replace("* *", "**").strip()


def tag_of(record: Type) -> str:
    """What a record is called in function names: its tag, or the typedef name of one without."""
    tag = record.key.partition(" ")[2]
    return tag if tag.isidentifier() else record.typedef or ""


def _same_layout(old: Type, new: Type, plans: tuple[FieldPlan, ...]) -> bool:
    """Whether only qualifiers and names of types differ."""
    if old.size != new.size or len(old.fields) != len(new.fields) or len(plans) != len(new.fields):
        return False
    return all(
        plan.old is not None
        and plan.relation is not None
        and plan.relation.kind is Kind.SAME
        and (plan.old.offset, plan.old.width) == (plan.new.offset, plan.new.width)
        for plan in plans
    )
