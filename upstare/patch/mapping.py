"""The mapping file: what a person decided about an update, in TOML.

Every section is optional. Functions are named ``unit:name``, where the unit is the path of the source file relative to
the build root, or any unique end of it (``server.c`` for ``src/server.c``)::

    [functions]                       # renamed or moved: old function = new function
    "net.c:poll_loop" = "loop.c:run_loop"

    [variables]                       # the same for globals; static ones and static locals are named
    "counter" = "n_requests"          # "unit:name" and "unit:function:name"
    "net.c:limit" = "net.c:max_limit"

    [types]                           # renamed records
    "struct conn" = "struct connection"

    [fields."struct stats"]           # new field = old field, or a C expression over the old record
    total = "count"
    mean = "old.count ? old.sum / old.count : 0"

    [locals."server.c:main"]          # new local = a C expression over the old frame; `old.x` is the local x
    nreq = "0"
    limit = "old.max * 2"

    [points."server.c:main"]          # old update point = new one, by line; "none": there is none
    "123" = "130"
    "#7" = "#9"                       # ... or by number, where several share a line

    [messages]                        # records that processes send each other: both versions understand both
    "struct job" = "compatible"       # formats, so that it does not matter what is on its way

    [constants]                       # constants that change, named as variables are: the new version gets along with
    "net.c:limits" = "compatible"     # pointers to the old one, so that no frame needs to be looked through for them

    [undecided]                       # all other questions about points, and about locals at them: there is none, so
    points = "none"                   # an update is refused while a frame is at one of those

A local that is simply renamed is ``new = "old.name"``: an array or a local whose address is taken then stays where it
is. What can be turned round (everything but expressions) holds for a rollback too.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from upstare.errors import UsageError

Table = dict[str, str]

COMPATIBLE = "compatible"

_GIVEN_UP = {"points": "none"}
_RENAMED_LOCAL = re.compile(r"\s*old\s*\.\s*([A-Za-z_$][\w$]*)\s*\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*\Z")


@dataclass(frozen=True)
class Mapping:
    """The decisions of a mapping file, as written. Names are resolved by :mod:`upstare.patch.compare`."""

    functions: Table = field(default_factory=dict)
    variables: Table = field(default_factory=dict)
    types: Table = field(default_factory=dict)
    fields: dict[str, Table] = field(default_factory=dict)
    locals: dict[str, Table] = field(default_factory=dict)
    points: dict[str, Table] = field(default_factory=dict)
    messages: Table = field(default_factory=dict)
    constants: Table = field(default_factory=dict)
    undecided: Table = field(default_factory=dict)
    path: str = "the mapping file"

    def reverse(self) -> Mapping:
        """The same decisions seen from the new version. Expressions cannot be turned round and are left out."""
        return Mapping(
            functions=_turned(self.functions),
            variables=_turned(self.variables),
            types=_turned(self.types),
            fields={
                self.old_type(record): _turned({new: old for new, old in table.items() if _IDENTIFIER.match(old)})
                for record, table in self.fields.items()
            },
            locals={
                function: {old: f"old.{new}" for new, text in table.items() if (old := renamed_local(text))}
                for function, table in self.locals.items()
            },
            points={
                function: {new: old for old, new in table.items() if new != "none"}
                for function, table in self.points.items()
            },
            messages={self.new_type(record): answer for record, answer in self.messages.items()},
            constants=self.constants,
            undecided=self.undecided,
            path=self.path,
        )

    @property
    def gives_up_points(self) -> bool:
        """Whether a point about which nobody has decided has no counterpart."""
        return bool(self.undecided)

    def new_type(self, key: str) -> str:
        """The key of the record in the new version."""
        return self.types.get(key, key)

    def old_type(self, key: str) -> str:
        """The key of the record in the old version."""
        return next((old for old, new in self.types.items() if new == key), key)


def renamed_local(text: str) -> str | None:
    """The old local that ``text`` (a value of a ``locals`` section) stands for, if it is nothing but that local."""
    match = _RENAMED_LOCAL.match(text)
    return match.group(1) if match else None


def is_name(text: str) -> bool:
    """Whether ``text`` (a value of a ``fields`` section) is the name of a field rather than an expression."""
    return _IDENTIFIER.match(text) is not None


def read_mapping(path: Path) -> Mapping:
    """The mapping file in ``path``.

    Raises:
        UsageError: it cannot be read, is not TOML, or has sections or values that a mapping file does not have.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    flat = ("functions", "variables", "types", "messages", "constants", "undecided")
    nested = ("fields", "locals", "points")
    unknown = sorted(set(raw) - {*flat, *nested})
    if unknown:
        raise UsageError(f"{path}: no such section: {', '.join(unknown)}", hint=f"sections: {', '.join(flat + nested)}")
    for record, answer in _table(path, "messages", raw.get("messages", {})).items():
        if answer != COMPATIBLE:
            raise UsageError(
                f'{path}: [messages] "{record}": the only answer is "{COMPATIBLE}", not "{answer}"',
                hint="messages that the new version does not understand are counted by a function of the transformers",
            )
    for constant, answer in _table(path, "constants", raw.get("constants", {})).items():
        if answer != COMPATIBLE:
            raise UsageError(f'{path}: [constants] "{constant}": the only answer is "{COMPATIBLE}", not "{answer}"')
    if raw.get("undecided", _GIVEN_UP) != _GIVEN_UP:
        raise UsageError(f'{path}: [undecided] can only say: points = "none"')
    return Mapping(
        **{name: _table(path, name, raw.get(name, {})) for name in flat},
        fields=_tables(path, "fields", raw.get("fields", {})),
        locals=_tables(path, "locals", raw.get("locals", {})),
        points=_tables(path, "points", raw.get("points", {})),
        path=str(path),
    )


def _turned(table: Table) -> Table:
    return {new: old for old, new in table.items()}


def _table(path: Path, section: str, raw: object) -> Table:
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: [{section}] is not a table")
    table: Table = {}
    for key, value in raw.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"{path}: [{section}] {key}: the value is not a string")
        table[key] = str(value)
    return table


def _tables(path: Path, section: str, raw: object) -> dict[str, Table]:
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: [{section}] is not a table of tables")
    return {key: _table(path, f'{section}."{key}"', value) for key, value in raw.items()}
