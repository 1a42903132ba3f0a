"""The runtime as one relocatable object, made once for each compiler and kept in the cache.

All code of the runtime is put into the section ``upstare_rt``, but for that in ``src/update``, which only an update
needs: it goes to ``upstare_update``. The names are C identifiers, so the linker provides ``__start_upstare_rt`` and the
like: the runtime can tell its own code from the program's. What the runtime's files share among themselves is local to
the object, so no name of a program can clash with it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from upstare.driver import elf, process
from upstare.driver.cache import Cache
from upstare.errors import UpstareError

CODE_SECTION = "upstare_rt"
SLEEPING = "src/update"  # below the runtime's directory

# What stands in for the C library's start function (see START in link.py); hidden, but the linker must find it.
ENTRY = "__wrap___libc_start_main"

_LONGJMP = ("longjmp", "_longjmp", "siglongjmp", "__longjmp_chk")
# What stands in for these in the program and in patches: jumps.c.
JUMPS = tuple(f"__wrap_{name}" for name in _LONGJMP)
WRAP_JUMPS = tuple(f"-Wl,--wrap={name}" for name in _LONGJMP)

FLAGS = (
    "-std=gnu11 -D_GNU_SOURCE= -O2 -g0 -fPIC -fvisibility=hidden -mno-red-zone -fno-stack-protector "
    "-fasynchronous-unwind-tables -fcf-protection=none -fno-lto -Wall -Wextra"
).split()


def runtime_directory() -> Path:
    """Where the sources of the runtime are: beside the package, in a checkout and when installed.

    Raises:
        UpstareError: they are not there.
    """
    directory = Path(__file__).resolve().parents[2] / "c_runtime"
    if not (directory / "include" / "upstare_abi.h").is_file():
        raise UpstareError(f"the runtime's sources are missing: {directory}", hint="install UpStare again")
    return directory


def include_directory() -> Path:
    """The directory of the headers that generated code and users include."""
    return runtime_directory() / "include"


def include_flags() -> list[str]:
    """Where the runtime's sources find their headers."""
    root = runtime_directory()
    return [f"-I{root / name}" for name in ("include", "src", "arch/x86_64")]


def sources() -> list[Path]:
    """The source files of the runtime, C and assembly, in a fixed order."""
    root = runtime_directory()
    return sorted([*root.glob("src/**/*.c"), *root.glob("arch/x86_64/**/*.S")])


def runtime_object(compiler: Sequence[str]) -> Path:
    """The object to link into every updateable program, made with this compiler.

    Raises:
        UpstareError: it does not compile.
    """
    cache = Cache()
    key = _key(compiler) + ".o"
    return cache.get(key) or _build(compiler, cache, key)


def _key(compiler: Sequence[str]) -> str:
    """Digest of everything that goes into the object, the version of the compiler included."""
    root = runtime_directory()
    digest = hashlib.sha256()
    for word in (*compiler, *FLAGS, CODE_SECTION, elf.SECTION_UPDATE, "localize-hidden", ENTRY):
        digest.update(word.encode() + b"\0")
    digest.update(process.check([*compiler, "--version"], "ask the compiler for its version"))
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".c", ".h", ".S", ".toml", ".inc")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _build(compiler: Sequence[str], cache: Cache, key: str) -> Path:
    files = sources()
    if not files:
        raise UpstareError(f"the runtime has no sources in {runtime_directory()}")
    with process.Scratch() as scratch:
        objects = _compile(compiler, files, Path(scratch))
        sleeping = runtime_directory() / SLEEPING
        awake = [o for f, o in zip(files, objects, strict=True) if sleeping not in f.parents]
        asleep = [o for o in objects if o not in awake]
        parts: list[Path] = []
        for section, chosen in ((CODE_SECTION, awake), (elf.SECTION_UPDATE, [*asleep, *_unwinder(compiler)])):
            parts.append(Path(scratch, f"{section}.o"))
            _link(compiler, parts[-1], chosen)
            _into_section(parts[-1], section)
        linked = Path(scratch, "runtime.o")
        _link(compiler, linked, parts)
        process.check(["objcopy", "--localize-hidden", str(linked)], "hide the names of the runtime")
        process.check(["objcopy", f"--globalize-symbol={ENTRY}", str(linked)], "show the runtime's entry")
        return cache.put(key, linked)


def _unwinder(compiler: Sequence[str]) -> list[Path]:
    """The compiler's library that walks stacks, of which a linker takes what is asked for; none if it is not there.

    Only an update needs it. As a shared library it would be in every updateable process from the start.
    """
    answer = process.check([*compiler, "-print-file-name=libgcc_eh.a"], "find the library that walks stacks")
    path = Path(os.fsdecode(answer.rstrip(b"\n")))
    return [path] if path.is_absolute() and path.is_file() else []


def _link(compiler: Sequence[str], target: Path, objects: Sequence[Path]) -> None:
    """One object of several."""
    words = [*compiler, "-r", "-nostdlib", "-fno-lto", "-o", str(target), *map(str, objects)]
    process.check(words, "link the runtime")


def _compile(compiler: Sequence[str], files: Sequence[Path], directory: Path) -> list[Path]:
    """The objects of the files, as many at a time as there are processors."""
    includes = include_flags()
    objects = [directory / f"{number}.o" for number in range(len(files))]
    running: list[tuple[Path, process.Child]] = []
    for file, target in zip(files, objects, strict=True):
        words = [*compiler, *FLAGS, *includes, "-c", str(file), "-o", str(target)]
        running.append((file, process.start(words, capture=True, capture_errors=True)))
        if len(running) >= (os.cpu_count() or 1):
            _finish(*running.pop(0))
    for file, child in running:
        _finish(file, child)
    return objects


def _finish(file: Path, child: process.Child) -> None:
    process.finish(child, child.wait(), f"compile the runtime ({file.name})")


def _into_section(path: Path, section: str) -> None:
    """All code of the object is in sections of this name."""
    names = {s.name for s in elf.read(path).sections if s.flags & elf.SHF_EXECINSTR and s.name.startswith(".text")}
    words = [word for name in sorted(names) for word in ("--rename-section", f"{name}={section}")]
    if section == elf.SECTION_UPDATE:  # what sleeps must not be called at the start or end of a process
        for name in (".init_array", ".fini_array", ".ctors", ".dtors"):
            words += [w for s in (name, f"{name}.*") for w in ("--remove-section", s, "--remove-section", f".rela{s}")]
    process.check(["objcopy", *words, str(path)], f"put code of the runtime into {section}")
