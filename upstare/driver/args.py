"""A gcc command line, read into tokens from which the driver's own command lines are made.

Nothing here runs a compiler. Every word of the command ends up in exactly one token, so a command line for another
purpose (preprocess, link again) is a selection of tokens. This module is on the path of every compile: it imports
nothing that is slow.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# What a token is about. One token is of one kind.
INPUT = "input"  # a file: source, object, archive, library, linker script
LIBRARY = "library"  # -lNAME
OUTPUT = "output"  # -o FILE
MODE = "mode"  # -c
LANGUAGE = "language"  # -x LANGUAGE
DEPENDENCIES = "dependencies"  # -MD, -MF FILE, ...: files beside the output
PREPROCESS = "preprocess"  # -I, -D, -include, ...
COMPILE = "compile"  # code generation and language: what a recompile needs
WARN = "warn"  # -W*, -w, -pedantic
LINK = "link"  # for the linker only
COMMON = "common"  # for every step: --sysroot, -B, -specs
SIDE = "side"  # verbosity and files on the side: -v, -save-temps, -fdump-*
STRIP = "strip"  # -s
LTO = "lto"  # link-time optimisation, see options.py

# Languages of an input, as for -x; None is a file for the linker.
C = "c"
C_PREPROCESSED = "cpp-output"

_SUFFIXES = {
    ".c": C, ".i": C_PREPROCESSED,
    ".h": "c-header", ".hh": "c++-header", ".hpp": "c++-header",
    ".s": "assembler", ".S": "assembler-with-cpp", ".sx": "assembler-with-cpp",
    ".cc": "c++", ".cp": "c++", ".cxx": "c++", ".cpp": "c++", ".CPP": "c++", ".c++": "c++", ".C": "c++",
    ".ii": "c++-cpp-output", ".m": "objective-c", ".mm": "objective-c++", ".M": "objective-c++",
    ".f": "f77", ".F": "f77-cpp-input", ".f90": "f95", ".F90": "f95-cpp-input",
    ".go": "go", ".d": "d", ".adb": "ada", ".ads": "ada",
}  # fmt: skip

# Options whose operand is the next word (when the option is the whole word).
_SEPARATE = {
    "-o": OUTPUT, "--output": OUTPUT,
    "-x": LANGUAGE, "--language": LANGUAGE,
    "-MF": DEPENDENCIES, "-MT": DEPENDENCIES, "-MQ": DEPENDENCIES,
    "-I": PREPROCESS, "-D": PREPROCESS, "-U": PREPROCESS, "-A": PREPROCESS, "-include": PREPROCESS,
    "-imacros": PREPROCESS, "-isystem": PREPROCESS, "-iquote": PREPROCESS, "-idirafter": PREPROCESS,
    "-iprefix": PREPROCESS, "-iwithprefix": PREPROCESS, "-iwithprefixbefore": PREPROCESS,
    "-imultilib": PREPROCESS, "-Xpreprocessor": PREPROCESS, "--include": PREPROCESS, "--define-macro": PREPROCESS,
    "--param": COMPILE, "--std": COMPILE, "-Xclang": COMPILE, "-target": COMMON,
    "-Xassembler": COMPILE,
    "-l": LIBRARY,
    "-L": LINK, "-T": LINK, "-u": LINK, "-z": LINK, "-e": LINK, "-Xlinker": LINK, "-R": LINK, "-h": LINK,
    "-Tbss": LINK, "-Tdata": LINK, "-Ttext": LINK, "--entry": LINK, "--library-path": LINK, "-rpath": LINK,
    "-isysroot": COMMON, "--sysroot": COMMON, "-B": COMMON, "-wrapper": COMMON, "-specs": COMMON, "--specs": COMMON,
    "-dumpdir": SIDE, "-dumpbase": SIDE, "-dumpbase-ext": SIDE, "-aux-info": SIDE,
}  # fmt: skip

_EXACT = {
    "-c": MODE, "-s": STRIP,
    "-ansi": COMPILE, "-pthread": COMPILE, "-pthreads": COMPILE, "-pg": COMPILE, "-p": COMPILE, "--coverage": COMPILE,
    "-pie": LINK, "-no-pie": LINK, "-static-pie": LINK, "-shared": LINK, "-static": LINK, "-r": LINK, "-rdynamic": LINK,
    "-static-libgcc": LINK, "-shared-libgcc": LINK, "-symbolic": LINK,
    "-nostdlib": LINK, "-nostartfiles": LINK, "-nodefaultlibs": LINK, "-nolibc": LINK,
    "--static": LINK, "--shared": LINK, "-N": LINK, "-n": LINK,
    "-w": WARN, "-pedantic": WARN, "-pedantic-errors": WARN,
    "-v": SIDE, "-H": SIDE, "-P": SIDE, "-pipe": SIDE, "-Q": SIDE, "-gsplit-dwarf": SIDE,
    "-nostdinc": PREPROCESS, "-undef": PREPROCESS, "-trigraphs": PREPROCESS, "-C": PREPROCESS, "-CC": PREPROCESS,
    "-traditional-cpp": PREPROCESS, "-traditional": PREPROCESS, "-I-": PREPROCESS, "-remap": PREPROCESS,
}  # fmt: skip

# The longest prefix decides; listed in the order in which they are tried.
_PREFIXES = (
    ("-Wp,", PREPROCESS), ("-Wl,", LINK), ("-Wa,", COMPILE), ("-W", WARN),
    ("-M", DEPENDENCIES),
    ("-flto", LTO), ("-fno-lto", LTO), ("-fuse-linker-plugin", LTO), ("-fno-use-linker-plugin", LTO),
    ("-ffat-lto", LTO), ("-fno-fat-lto", LTO),
    ("-fuse-ld", LINK),
    ("-fdump-", SIDE), ("-fstack-usage", SIDE), ("-fcallgraph-info", SIDE), ("-fsave-optimization-record", SIDE),
    ("-fopt-info", SIDE), ("-fdirectives-only", SIDE), ("-fdiagnostics-", SIDE), ("-fcompare-debug", SIDE),
    ("-ftime-report", SIDE), ("-fmem-report", SIDE),
    ("-save-temps", SIDE), ("--save-temps", SIDE), ("-dump", SIDE), ("-d", SIDE), ("-time", SIDE),
    ("-std=", COMPILE), ("--std=", COMPILE), ("--param=", COMPILE),
    ("-specs=", COMMON), ("--specs=", COMMON), ("--target=", COMMON), ("--gcc-toolchain=", COMMON),
    ("--sysroot=", COMMON), ("-isysroot", COMMON), ("-B", COMMON),
    ("-I", PREPROCESS), ("-D", PREPROCESS), ("-U", PREPROCESS), ("-i", PREPROCESS), ("-A", PREPROCESS),
    ("--include=", PREPROCESS), ("--define-macro=", PREPROCESS),
    ("--output=", OUTPUT), ("-o", OUTPUT), ("-x", LANGUAGE),
    ("-static", LINK), ("-nostd", LINK), ("-T", LINK), ("-z", LINK), ("-e", LINK), ("-u", LINK), ("-L", LINK),
    ("-R", LINK), ("-rpath", LINK), ("-l", LIBRARY),
    ("-O", COMPILE), ("-g", COMPILE), ("-f", COMPILE), ("-m", COMPILE),
)  # fmt: skip

# These end in something other than an object or a program, whatever else is on the command line.
_ELSEWHERE = frozenset(
    "-E -S -M -MM -fsyntax-only -### --help --version --target-help -dumpversion -dumpmachine -dumpspecs "
    "-dumpfullversion --preprocess --assemble".split()
)
_ELSEWHERE_PREFIXES = ("-print-", "--print-", "--help=", "-fself-test")

# Linker options (inside -Wl,) whose operand is the next piece: it is no input file.
_LINKER_SEPARATE = frozenset(
    "-rpath --rpath -rpath-link --rpath-link -soname --soname -h -Map --Map -T --script -o -u --undefined -e --entry "
    "--version-script --dynamic-list -y --trace-symbol -z -m -I --dynamic-linker -dynamic-linker --defsym --wrap -L "
    "--retain-symbols-file --just-symbols -R -f -F --exclude-libs -init -fini --out-implib -b --format "
    "--export-dynamic-symbol --export-dynamic-symbol-list --require-defined -plugin -plugin-opt --push-state".split()
)

# Programs that a configuration step compiles to see whether they compile.
_PROBE_NAMES = ("conftest", "autotest", "conftst")
_PROBE_DIRECTORIES = frozenset(("CMakeScratch", "CMakeTmp", "meson-private"))


class Token:
    """Words of the command line that belong together.

    Attributes:
        kind: one of the kinds above.
        words: the words as the compiler takes them.
        value: the operand, without the option.
        language: of an INPUT: as for -x, None for a file that goes to the linker.
        explicit: of an INPUT: the language was given with -x.
    """

    __slots__ = ("kind", "words", "value", "language", "explicit")

    def __init__(
        self, kind: str, words: tuple[str, ...], value: str = "", language: str | None = None, explicit: bool = False
    ) -> None:
        self.kind = kind
        self.words = words
        self.value = value
        self.language = language
        self.explicit = explicit

    def __repr__(self) -> str:
        return f"Token({self.kind}, {' '.join(self.words)!r})"


class Command:
    """A compiler command line, response files expanded.

    Attributes:
        tokens: every word, in order.
        inputs: the INPUT tokens.
        output: operand of the last -o, or None.
        compiles: -c was given.
        elsewhere: the command makes neither an object nor a program that we are concerned with; run it as it is.
    """

    def __init__(self, tokens: list[Token], elsewhere: bool) -> None:
        self.tokens = tokens
        self.inputs = [t for t in tokens if t.kind == INPUT]
        outputs = [t.value for t in tokens if t.kind == OUTPUT]
        self.output = outputs[-1] if outputs else None
        self.compiles = any(t.kind == MODE for t in tokens)
        self.elsewhere = elsewhere or not self.inputs or any(_is_probe(t.value) for t in self.inputs)
        if self.output is not None and _is_probe(self.output):
            self.elsewhere = True

    @property
    def c_sources(self) -> list[Token]:
        """The inputs that are C, preprocessed or not."""
        return [t for t in self.inputs if t.language in (C, C_PREPROCESSED)]

    @property
    def other_sources(self) -> list[Token]:
        """The inputs in other languages than C."""
        return [t for t in self.inputs if t.language not in (None, C, C_PREPROCESSED)]

    def has(self, *options: str) -> bool:
        """Whether one of the options, given whole, is on the command line (also as -Wl,OPTION)."""
        return any(t.words[0] in options or (t.kind == LINK and t.value in options) for t in self.tokens)

    def words(self, *kinds: str) -> list[str]:
        """The words of all tokens of these kinds."""
        return [w for t in self.tokens if t.kind in kinds for w in t.words]

    def object_of(self, source: Token) -> str:
        """Where -c puts the object of a source."""
        if self.output is not None:
            return self.output
        return os.path.splitext(os.path.basename(source.value))[0] + ".o"

    def preprocess(self, source: Token) -> list[str]:
        """The arguments that preprocess one source as this command would, to standard output, without side effects."""
        arguments = self.words(COMMON, COMPILE)
        for token in self.tokens:
            if token.kind == PREPROCESS:
                arguments += _without_dependencies(token)
        language = ["-x", source.language] if source.explicit and source.language else []
        return [*arguments, "-w", "-E", *language, source.value]

    def recompile_flags(self) -> tuple[str, ...]:
        """What preprocessed text needs to compile as it would have in this command, warnings off."""
        return (*(w for t in self.tokens if t.kind in (COMMON, COMPILE, LTO) for w in _without_listings(t)), "-w")


def parse(arguments: Sequence[str]) -> Command:
    """The command that these arguments (without the compiler's name) make.

    What makes no sense to the compiler either (an option without its operand) is a command for elsewhere: the compiler
    says it best.
    """
    words = expand(arguments)
    tokens = list(_tokens(words))
    elsewhere = (
        any(w in _ELSEWHERE or w.startswith(_ELSEWHERE_PREFIXES) for w in words)
        or "-" in words
        or (bool(words) and words[-1] in _SEPARATE and tokens[-1].words == (words[-1],))
    )
    return Command(tokens, elsewhere)


def expand(arguments: Iterable[str], depth: int = 0) -> list[str]:
    """The arguments with @FILE replaced by what the file holds; @FILE stays where there is no such file, as in gcc."""
    expanded: list[str] = []
    for argument in arguments:
        if not argument.startswith("@") or depth > 100:
            expanded.append(argument)
            continue
        try:
            with open(argument[1:], encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except OSError:
            expanded.append(argument)
            continue
        expanded += expand(split(text), depth + 1)
    return expanded


def split(text: str) -> list[str]:
    """The words of a response file: white space separates, quotes of both kinds group, a backslash escapes one byte."""
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    escaped = False
    for char in text:
        if escaped:
            word = [*(word or []), char]
            escaped = False
        elif char == "\\":
            escaped = True
        elif quote:
            if char == quote:
                quote = ""
            elif word is not None:
                word.append(char)
        elif char in "'\"":
            quote = char
            word = word if word is not None else []
        elif char.isspace():
            if word is not None:
                words.append("".join(word))
                word = None
        else:
            word = word if word is not None else []
            word.append(char)
    if word is not None:
        words.append("".join(word))
    return words


def quote(words: Iterable[str]) -> str:
    """A response file with these words."""
    return "".join('"' + w.replace("\\", "\\\\").replace('"', '\\"') + '"\n' for w in words)


def _tokens(words: Sequence[str]) -> Iterator[Token]:
    language: str | None = None
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            yield Token(INPUT, (word,), word, language or _SUFFIXES.get(_suffix(word)), language is not None)
            continue
        kind = _SEPARATE.get(word)
        if kind is not None:
            operand = next(rest, None)
            token = Token(kind, (word,)) if operand is None else Token(kind, (word, operand), operand)
        else:
            token = Token(_kind(word), (word,), _joined_operand(word))
        if token.kind == LANGUAGE:
            language = None if token.value == "none" else token.value
            yield token
        elif token.kind == LINK:
            yield from _linker_tokens(token)
        elif token.words[0] == "-Xpreprocessor" and token.value.startswith("-M"):
            yield Token(DEPENDENCIES, token.words, token.value)
        else:
            yield token


def _kind(word: str) -> str:
    kind = _EXACT.get(word)
    if kind is not None:
        return kind
    for prefix, kind in _PREFIXES:
        if word.startswith(prefix):
            return kind
    return LINK


def _joined_operand(word: str) -> str:
    if word.startswith("--") and "=" in word:
        return word.partition("=")[2]
    if word.startswith(("-o", "-x", "-l", "-L")):
        return word[2:]
    return word


def _linker_tokens(token: Token) -> Iterator[Token]:
    """Files and libraries named inside -Wl, or after -Xlinker become tokens of their own; the order stays."""
    if token.words[0] == "-Xlinker":
        pieces = [token.value]
    elif token.words[0].startswith("-Wl,"):
        pieces = token.words[0][4:].split(",")
    else:
        yield token
        return
    operand_next = False
    for piece in pieces:
        if operand_next or not piece:
            operand_next = False
            yield Token(LINK, ("-Xlinker", piece), piece)
        elif piece in ("-s", "--strip-all"):
            yield Token(STRIP, ("-Xlinker", piece), piece)
        elif piece.startswith("-l"):
            yield Token(LIBRARY, (piece,), piece[2:])
        elif piece.startswith("-"):
            operand_next = piece in _LINKER_SEPARATE
            yield Token(LINK, ("-Xlinker", piece), piece)
        elif _suffix(piece) in (".a", ".o", ".so"):
            yield Token(INPUT, (piece,), piece)
        else:
            yield Token(LINK, ("-Xlinker", piece), piece)


def _without_dependencies(token: Token) -> list[str]:
    """A preprocessor option without what it says about dependency files: -Wp,-D_X,-MD,FILE gives -Wp,-D_X."""
    if not token.words[0].startswith("-Wp,"):
        return list(token.words)
    kept: list[str] = []
    pieces = iter(token.words[0][4:].split(","))
    for piece in pieces:
        if piece in ("-MD", "-MMD", "-MF", "-MT", "-MQ"):
            next(pieces, None)
        elif not piece.startswith("-M"):
            kept.append(piece)
    return ["-Wp," + ",".join(kept)] if kept else []


def _without_listings(token: Token) -> list[str]:
    """An option without what it says about files that the assembler writes beside the object."""
    if token.words[0] == "-Xassembler":
        return [] if token.value.startswith("-a") else list(token.words)
    if not token.words[0].startswith("-Wa,"):
        return list(token.words)
    kept: list[str] = []
    pieces = iter(token.words[0][4:].split(","))
    for piece in pieces:
        if piece in ("-MD", "--MD", "-o"):
            next(pieces, None)
        elif not piece.startswith("-a"):
            kept.append(piece)
    return ["-Wa," + ",".join(kept)] if kept else []


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1]


def _is_probe(path: str) -> bool:
    parts = path.split("/")
    if any(part in _PROBE_DIRECTORIES or part.startswith("conftest") for part in parts[:-1]):
        return True
    return parts[-1].startswith(_PROBE_NAMES)
