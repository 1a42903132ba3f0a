"""What sleeps calls the C library through stubs that sleep as well: a program has nothing of that in its text, and the
dynamic linker does not look for it."""

from __future__ import annotations

import struct
import subprocess
from bisect import bisect_right
from pathlib import Path

import pytest

from upstare.driver import elf, far, runtime

RELOCATION = struct.Struct("<QIIq")
CALLED = "int getppid(void); int getpgrp(void); int getsid(int); long labs(long);\n"


def undefined(path: Path) -> set[str]:
    return {s.name for s in elf.read(path).symbols() if not s.defined}


def compiled(directory: Path, name: str, text: str) -> Path:
    source = directory / f"{name}.c"
    source.write_text(text)
    path = directory / f"{name}.o"
    subprocess.run(["cc", "-O2", "-fPIC", "-fno-builtin", "-c", str(source), "-o", str(path)], check=True)
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An object of which one section is awake and another asleep, with stubs."""
    code = compiled(
        tmp_path,
        "code",
        CALLED + '__attribute__((section("upstare_rt"))) int awake(void) { return getppid() + (int)labs(-2); }\n'
        "int (*const known)(int) = getsid;\n"
        '__attribute__((section("upstare_update"))) int asleep(void) { return getppid() + getpgrp() + known(0); }\n',
    )
    names = far.wanted(code, ["cc"])
    assert set(names) == {"getppid", "getpgrp", "getsid", "labs"}
    stubs, path = tmp_path / "far.s", tmp_path / "made.o"
    stubs.write_text(far.stubs(names))
    words = ["cc", "-r", "-nostdlib", str(code), str(stubs), "-o", str(path)]
    subprocess.run(words, check=True)
    subprocess.run(["objcopy", "--localize-hidden", str(path)], check=True)
    far.lead(path, ["upstare_rt"])
    return path


def test_what_only_sleeping_code_calls_is_no_name_of_the_object(made: Path) -> None:
    assert undefined(made) & {"getppid", "getpgrp", "getsid", "labs"} == {"getppid", "labs"}


def test_the_real_runtime_asks_for_little() -> None:
    names = undefined(runtime.runtime_object(["cc"], []))
    assert names.isdisjoint({"dlopen", "snprintf", "read", "memcpy", "strlen", "getline", "dl_iterate_phdr", "atexit"})
    assert "read" in undefined(runtime.runtime_object(["cc"], ["upstare_read"]))


def test_binding_calls_nothing_that_is_not_bound() -> None:
    """far.c runs before any stub leads anywhere."""
    file = elf.read(runtime.runtime_object(["cc"], []))
    functions = sorted((s.value, s.name) for s in file.symbols() if s.is_function)
    stubs = {s.value for s in file.symbols() if s.name.startswith(far.STUB)}
    [section] = [s for s in file.sections if s.name == f".rela{elf.SECTION_UPDATE}"]
    rows = list(RELOCATION.iter_unpack(file.data[section.offset : section.offset + section.size]))
    homes = [functions[bisect_right(functions, (row[0], "\x7f")) - 1][1] for row in rows]
    own = {"ups_far_bind", "find_in", "find_by_gnu_hash", "function", "fits", "begins", "same", "object_of", "loaded"}
    assert "ups_far_bind" in homes and stubs
    [symbols] = [s for s in file.sections if s.name == ".symtab"]
    for (_, _, symbol, _), home in zip(rows, homes, strict=True):
        if home.split(".")[0] in own:
            (value,) = struct.unpack_from("<8xQ", file.data, symbols.offset + 24 * symbol)
            assert value not in stubs, home


def test_a_function_is_found_where_the_dynamic_linker_finds_it(tmp_path: Path) -> None:
    """Compared with dlsym: functions that the library chooses when it is asked (IFUNC), such as the kernel has, too
    (clock_gettime), with several versions (memcpy), and one that a preloaded library has in the C library's place."""
    names = ["memcpy", "clock_gettime", "pthread_cond_wait", "strlen", "getppid", "dlsym", "_dl_find_object", "regexec"]
    stubs = tmp_path / "far.s"
    stubs.write_text(far.stubs(names))
    source = runtime.runtime_directory() / "src/update/far.c"
    program = tmp_path / "program"
    (tmp_path / "main.c").write_text(
        "#include <dlfcn.h>\n#include <stdbool.h>\n#include <stdio.h>\n#include <string.h>\n"
        "bool ups_far_bind(void); extern const char ups_far_names[]; extern void *ups_far_places[];\n"
        "int main(void) {\n  void **place = ups_far_places;\n  if (!ups_far_bind()) return 1;\n"
        "  for (const char *name = ups_far_names; *name; name += strlen(name) + 1, place++)\n"
        '    if (*place != dlsym(RTLD_DEFAULT, name)) printf("%s\\n", name);\n  return 0;\n}\n'
    )
    words = ["cc", "-std=gnu11", "-D_GNU_SOURCE", *runtime.include_flags(), str(tmp_path / "main.c"), str(source)]
    subprocess.run([*words, str(stubs), "-o", str(program)], check=True)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == ""
    other = tmp_path / "other.so"
    (tmp_path / "other.c").write_text("int getppid(void); int getppid(void) { return 1; }\n")
    for style in ("gnu", "sysv"):
        words = ["cc", "-shared", "-fPIC", f"-Wl,--hash-style={style}", str(tmp_path / "other.c"), "-o", str(other)]
        subprocess.run(words, check=True)
        run = subprocess.run([program], env={"LD_PRELOAD": str(other)}, check=True, capture_output=True, text=True)
        assert run.stdout == ""


def test_a_function_that_is_nowhere(tmp_path: Path) -> None:
    stubs = tmp_path / "far.s"
    stubs.write_text(far.stubs(["getppid", "no_such_function"]))
    source = runtime.runtime_directory() / "src/update/far.c"
    program = tmp_path / "program"
    (tmp_path / "main.c").write_text(
        "#include <stdbool.h>\nbool ups_far_bind(void);\nint main(void) { return ups_far_bind(); }\n"
    )
    words = ["cc", "-std=gnu11", "-D_GNU_SOURCE", *runtime.include_flags(), str(tmp_path / "main.c"), str(source)]
    subprocess.run([*words, str(stubs), "-o", str(program)], check=True)
    assert subprocess.run([program]).returncode == 0
