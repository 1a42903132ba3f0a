"""The runtime as one relocatable object, made once for each compiler and kept in the cache.

The code of the runtime that a program can reach is in the section ``upstare_rt``. What only an update needs
(``src/update``), and what this program never calls, is in ``upstare_update``. The names are C identifiers, so the
linker provides ``__start_upstare_rt`` and the like: the runtime can tell its own code from the program's. What the
runtime's files share among themselves is local to the object, so no name of a program can clash with it. The rest is
hidden: a program is linked with it, and patches find it by the point table.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from upstare.driver import elf, far, process, reach
from upstare.driver.cache import Cache
from upstare.errors import UpstareError

CODE_SECTION = elf.SECTION_RUNTIME
SLEEPING = "src/update"  # below the runtime's directory
# What calls go through that programs make often, but for what is marked as cold. Of the rest that is awake only the
# size counts.
SWIFT = ("mutex.c", "semaphore.c", "stdio.c")
UNALIGNED = ["-falign-functions=1", "-falign-jumps=1", "-falign-loops=1"]
# What is awake calls the C library from few places, mostly one: an entry of the procedure linkage table is larger.
AWAKE = ["-fno-plt"]

# Puts what only an update needs, a part of the runtime and the resume clones, behind everything else, in a segment of
# its own.
SEGMENT = (
    f"SECTIONS {{ {elf.SECTION_UPDATE} : ALIGN(CONSTANT(MAXPAGESIZE)) {{ *({elf.SECTION_UPDATE}) }} "
    f"{elf.SECTION_RESUME} : {{ *({elf.SECTION_RESUME}) }} }} INSERT AFTER .bss;\n"
)

# What stands in for the C library's start function (see START in link.py); hidden, but the linker must find it.
ENTRY = "__wrap___libc_start_main"

# What stands in for these in the program and in patches: jumps.c.
WRAPPED = {name: f"__wrap_{name}" for name in elf.LONGJMP}
JUMPS = tuple(WRAPPED.values())
WRAP_JUMPS = tuple(f"-Wl,--wrap={name}" for name in elf.LONGJMP)

FLAGS = (
    "-std=gnu11 -D_GNU_SOURCE= -O2 -g0 -fPIC -fvisibility=hidden -mno-red-zone -fno-stack-protector "
    "-ffunction-sections -fdata-sections -fasynchronous-unwind-tables -fcf-protection=none -fno-lto -Wall -Wextra"
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


def runtime_object(compiler: Sequence[str], names: Collection[str]) -> Path:
    """The object to link into an updateable program that mentions these names (others than the runtime's are allowed),
    made with this compiler.

    Raises:
        UpstareError: it does not compile.
    """
    cache = Cache()
    key = _key(compiler)
    whole, found = cache.get(f"{key}.o"), cache.get(f"{key}.reach")
    if whole is None or found is None:
        whole, found = _build(compiler, cache, key)
    jumps = {WRAPPED[name] for name in names if name in WRAPPED}
    awake = reach.Reach.unpack(found.read_bytes()).awake({*names, *jumps})
    split = hashlib.sha256("\0".join([key, *awake]).encode()).hexdigest() + ".o"
    return cache.get(split) or _split(compiler, whole, awake, cache, split)


def _key(compiler: Sequence[str]) -> str:
    """Digest of everything that goes into the object, the version of the compiler included."""
    root = runtime_directory()
    digest = hashlib.sha256()
    for word in compiler:
        digest.update(word.encode() + b"\0")
    for module in (__file__, elf.__file__, far.__file__, reach.__file__):
        digest.update(Path(module).read_bytes() + b"\0")
    digest.update(process.check([*compiler, "--version"], "ask the compiler for its version"))
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".c", ".h", ".S", ".toml", ".inc")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _build(compiler: Sequence[str], cache: Cache, key: str) -> tuple[Path, Path]:
    """The object with a section for each function that can be asleep, and what leads to these."""
    files = sources()
    if not files:
        raise UpstareError(f"the runtime has no sources in {runtime_directory()}")
    with process.Scratch() as scratch:
        objects = _compile(compiler, files, Path(scratch))
        sleeping = runtime_directory() / SLEEPING
        asleep = [o for f, o in zip(files, objects, strict=True) if sleeping in f.parents]
        for file, path in zip(files, objects, strict=True):
            if path not in asleep:
                _into_sections(path, f"{CODE_SECTION}.{file.stem}")
        update = Path(scratch, "update.o")
        _link(compiler, update, [*asleep, *_unwinder(compiler)])
        _put_to_sleep(update)
        parts, linked = Path(scratch, "parts.o"), Path(scratch, "runtime.o")
        _link(compiler, parts, [*(o for o in objects if o not in asleep), update])
        names = far.wanted(parts, compiler)
        _link(compiler, linked, [parts, _stubs(compiler, names, Path(scratch))])
        process.check(["objcopy", "--localize-hidden", str(linked)], "hide the names of the runtime")
        process.check(["objcopy", f"--globalize-symbol={ENTRY}", str(linked)], "show the runtime's entry")
        elf.hide_all(linked)
        found = reach.find(linked, f"{CODE_SECTION}.", ENTRY)
        return cache.put(f"{key}.o", linked), cache.put(f"{key}.reach", found.pack())


def _stubs(compiler: Sequence[str], names: Sequence[str], directory: Path) -> Path:
    """The object through which what sleeps calls the C library."""
    source, target = directory / "far.s", directory / "far.o"
    source.write_text(far.stubs(names))
    process.check([*compiler, "-c", str(source), "-o", str(target)], "compile the runtime (far.s)")
    return target


def _split(compiler: Sequence[str], whole: Path, awake: Sequence[str], cache: Cache, key: str) -> Path:
    """The object with two sections of code: these sections of the whole one, and all others."""
    with process.Scratch() as scratch:
        script, target = Path(scratch, "split.ld"), Path(scratch, "runtime.o")
        script.write_text(
            f"SECTIONS {{ {CODE_SECTION} : {{ {' '.join(f'*({name})' for name in awake)} }}\n"
            f"{elf.SECTION_UPDATE} : {{ *({elf.SECTION_UPDATE}) *({CODE_SECTION}.*) }} }}\n"
        )
        _link(compiler, target, [whole], f"-Wl,-T,{script}")
        far.lead(target, [CODE_SECTION])
        return cache.put(key, target)


def _unwinder(compiler: Sequence[str]) -> list[Path]:
    """The compiler's library that walks stacks, of which a linker takes what is asked for; none if it is not there.

    Only an update needs it. As a shared library it would be in every updateable process from the start.
    """
    answer = process.check([*compiler, "-print-file-name=libgcc_eh.a"], "find the library that walks stacks")
    path = Path(os.fsdecode(answer.rstrip(b"\n")))
    return [path] if path.is_absolute() and path.is_file() else []


def _link(compiler: Sequence[str], target: Path, objects: Sequence[Path], *more: str) -> None:
    """One object of several."""
    words = [*compiler, "-r", "-nostdlib", "-fno-lto", *more, "-o", str(target), *map(str, objects)]
    process.check(words, "link the runtime")


def _compile(compiler: Sequence[str], files: Sequence[Path], directory: Path) -> list[Path]:
    """The objects of the files, as many at a time as there are processors."""
    includes = include_flags()
    objects = [directory / f"{number}.o" for number in range(len(files))]
    running: list[tuple[Path, process.Child]] = []
    for file, target in zip(files, objects, strict=True):
        asleep = runtime_directory() / SLEEPING in file.parents
        level = UNALIGNED if file.name in SWIFT or asleep else ["-Os"]
        level = level if asleep else level + AWAKE
        words = [*compiler, *FLAGS, *level, *includes, "-c", str(file), "-o", str(target)]
        running.append((file, process.start(words, capture=True, capture_errors=True)))
        if len(running) >= (os.cpu_count() or 1):
            _finish(*running.pop(0))
    for file, child in running:
        _finish(file, child)
    return objects


def _finish(file: Path, child: process.Child) -> None:
    process.finish(child, child.wait(), f"compile the runtime ({file.name})")


def _code_sections(path: Path) -> list[str]:
    code = {s.name for s in elf.read(path).sections if s.flags & elf.SHF_EXECINSTR}
    return sorted(name for name in code if name.startswith(".text"))


def _into_sections(path: Path, prefix: str) -> None:
    """The sections of code of the object have this prefix in the place of ``.text``."""
    names = [(name, prefix + name.removeprefix(".text")) for name in _code_sections(path)]
    words = [word for old, new in names for word in ("--rename-section", f"{old}={new}")]
    process.check(["objcopy", *words, str(path)], "name the code of the runtime")


def _put_to_sleep(path: Path) -> None:
    """All code of the object is in the section that sleeps: it must not be called at the start or end of a process."""
    words = [word for name in _code_sections(path) for word in ("--rename-section", f"{name}={elf.SECTION_UPDATE}")]
    for name in (".init_array", ".fini_array", ".ctors", ".dtors"):
        words += [w for s in (name, f"{name}.*") for w in ("--remove-section", s, "--remove-section", f".rela{s}")]
    process.check(["objcopy", *words, str(path)], f"put code of the runtime into {elf.SECTION_UPDATE}")
