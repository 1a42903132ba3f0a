"""The user's state transformers: C functions for the meaning that changed.

A transformers file is C that is compiled as part of the generated source, after the types of both versions, so that it
can name them. What it defines under these names replaces what would be generated::

    void upstare_transform_stats(const struct old_stats *old, struct stats *new);      for every struct stats
    void upstare_transform_counter(const int *old, struct counter *new);               for the variable counter
    int upstare_transform_main_table(struct table *const *old, struct map **new);      for the local table of main

Types whose layout differs between the versions, or that only the old one has, are called ``old_`` in the old version.
The way back is ``upstare_restore_...`` with the types exchanged; without it, what ``upstare_transform_...`` made cannot
be rolled back.

Messages that processes send each other are not transformed: they must have been read when the format changes. This
function says how many of a type are still on their way, as far as its process can see (0: none, or not ours to read)::

    int upstare_in_flight_job(struct upstare_context *context);                        for messages of struct job

It is called in each process of the update when all of them stand still, on the way there and on the way back, and sees
the globals of the new version as they will be. It must change nothing and wait for nothing. As long as one is not 0
everybody goes on in the version before for a moment, then the update is tried again, until ``--timeout`` is over.

A transformer that returns int calls the update off by returning anything but 0. A third parameter, ``struct
upstare_context *``, is what ``upstare_refuse`` wants in order to say why. Functions of the new version can be called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pycparser import c_ast, c_parser

from upstare.errors import UsageError

FORWARD, BACKWARD = "upstare_transform_", "upstare_restore_"
IN_FLIGHT = "upstare_in_flight_"

_DEFINITION = re.compile(
    rf"^[^\S\n]*((?:\w[\w\s*]*?[\s*])((?:{FORWARD}|{BACKWARD}|{IN_FLIGHT})\w+)\s*\([^{{}};]*\))\s*\{{", re.MULTILINE
)
_NOISE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL)
TYPEDEFS = """
typedef int FILE, size_t, ssize_t, off_t, time_t, pid_t, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t,
    uint32_t, uint64_t, intptr_t, uintptr_t, bool, socklen_t, uid_t, gid_t, mode_t, va_list;
"""


@dataclass(frozen=True)
class UserFunction:
    """One function of a transformers file."""

    name: str
    parameters: int
    returns_int: bool
    line: int


@dataclass
class UserTransformers:
    """The functions of a transformers file for one direction, and which of them were of use."""

    path: Path | None = None
    text: str = ""
    functions: dict[str, UserFunction] = field(default_factory=dict)
    checks: dict[str, UserFunction] = field(default_factory=dict)  # of messages in flight, by the tag of their type
    used: set[str] = field(default_factory=set)
    prefix: str = FORWARD

    def reverse(self) -> UserTransformers:
        """The same file for the way back."""
        return UserTransformers(self.path, self.text, self.functions, self.checks, self.used, BACKWARD)

    def find(self, name: str) -> UserFunction | None:
        """The function for the type or variable ``name``, if the user wrote one."""
        function = self.functions.get(self.prefix + name) if name else None
        if function is not None:
            self.used.add(function.name)
        return function

    def lacks(self, name: str) -> bool:
        """Whether the user wrote only the way there for ``name``, and this is the way back."""
        return self.prefix == BACKWARD and FORWARD + name in self.functions and BACKWARD + name not in self.functions

    def unused(self) -> list[UserFunction]:
        """Functions that nothing asked for: probably misspelt."""
        return [f for f in self.functions.values() if f.name not in self.used]


def read_transformers(path: Path, typedefs: Iterable[str] = ()) -> UserTransformers:
    """The functions of the transformers file in ``path``. ``typedefs``: names of types in either version.

    Raises:
        UsageError: the file cannot be read, or a transformer does not have the form of one.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    prelude = TYPEDEFS + "".join(f"typedef int {name};\n" for name in sorted(set(typedefs)) if name.isidentifier())
    visible = _NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    functions, checks = {}, {}
    for match in _DEFINITION.finditer(visible):
        line = visible.count("\n", 0, match.start(1)) + 1
        function = _signature(path, line, match.group(2), match.group(1), prelude)
        if function.name.startswith(IN_FLIGHT):
            checks[function.name.removeprefix(IN_FLIGHT)] = function
        else:
            functions[function.name] = function
    return UserTransformers(path, text, functions, checks)


def _signature(path: Path, line: int, name: str, header: str, prelude: str) -> UserFunction:
    check = name.startswith(IN_FLIGHT)
    form = f"void {name}(const OLD *old, NEW *new)"
    if check:
        form = f"int {name}(struct upstare_context *context)"
    words = re.sub(r"\b(?:__)?(?:inline|extern)(?:__)?\b", " ", header)
    try:
        tree = c_parser.CParser().parse(prelude + words + ";")
    except c_parser.ParseError as error:
        raise UsageError(f"{path}:{line}: error: {name}: {error}", hint=f"transformers look like {form}") from error
    declaration = tree.ext[-1]
    function = declaration.type
    parameters = function.args.params if function.args is not None else []
    pointers = all(isinstance(p.type, c_ast.PtrDecl | c_ast.ArrayDecl) for p in parameters)
    returns = function.type.type.names if isinstance(function.type, c_ast.TypeDecl) else []
    fits = len(parameters) == 1 and returns == ["int"] if check else len(parameters) in (2, 3)
    if not fits or not pointers or returns not in (["void"], ["int"]):
        raise UsageError(f"{path}:{line}: error: {name} is no transformer", hint=f"transformers look like {form}")
    return UserFunction(name, len(parameters), returns == ["int"], line)
