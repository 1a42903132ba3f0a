"""Building the runtime: once for each content and compiler, its code in sections that can be told by their bounds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from upstare.driver import elf, runtime
from upstare.errors import UpstareError


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small runtime in the place of the real one."""
    root = tmp_path / "c_runtime"
    for directory in ("include", "src/deep", "src/update", "arch/x86_64"):
        (root / directory).mkdir(parents=True)
    (root / "include/upstare_abi.h").write_text(
        '#define EXPORT __attribute__((visibility("default")))\nEXPORT int one(void);\nEXPORT int inside(void);\n'
    )
    (root / "src/one.c").write_text(
        '#include "upstare_abi.h"\n__attribute__((cold)) int one(void) { return 1; }\n'
        "extern char __start_upstare_rt[], __stop_upstare_rt[];\n"
        "int two(void), three(void);\n"
        "int inside(void) { if (two() != 2 || three() != 3) return 0;\n"
        "  char *p = (char *)inside; return p >= __start_upstare_rt && p < __stop_upstare_rt; }\n"
    )
    (root / "src/deep/two.c").write_text(
        "int two(void);\nint two(void) { return 2; }\n"
        f"int {runtime.ENTRY}(void);\nint {runtime.ENTRY}(void) {{ return 0; }}\n"
    )
    (root / "src/update/four.c").write_text(
        "int four(void);\nint four(void) { return 4; }\n__attribute__((destructor)) static void end(void) { four(); }\n"
    )
    (root / "arch/x86_64/three.S").write_text(
        ".text\n.globl three\n.hidden three\nthree: mov $3,%eax\n ret\n.section .note.GNU-stack\n"
    )
    monkeypatch.setattr(runtime, "runtime_directory", lambda: root)
    monkeypatch.setenv("UPSTARE_CACHE", str(tmp_path / "cache"))
    return root


def test_code_is_in_two_sections(sources: Path, tmp_path: Path) -> None:
    made = runtime.runtime_object(["cc"], ["one", "inside"])
    visible = {s.name for s in elf.read(made).symbols() if s.defined and not s.local}
    assert visible == {"one", "inside", runtime.ENTRY}
    code = {s.name for s in elf.read(made).sections if s.flags & elf.SHF_EXECINSTR and s.size}
    assert code == {runtime.CODE_SECTION, elf.SECTION_UPDATE}
    assert not any(s.name.startswith(".fini_array") for s in elf.read(made).sections)
    main = tmp_path / "main.c"
    main.write_text(
        "int one(void), inside(void);\nint two(void) { return 22; }\n"
        "int main(void) { return !(one() == 1 && two() == 22 && inside()); }\n"
    )
    program = tmp_path / "program"
    # The program has a function two() of its own; the runtime's is another.
    subprocess.run(["cc", str(main), str(made), "-o", str(program)], check=True)
    assert subprocess.run([str(program)]).returncode == 0


def test_it_is_made_once(sources: Path) -> None:
    first = runtime.runtime_object(["cc"], ["one", "inside"])
    stamp = first.stat().st_mtime_ns
    assert runtime.runtime_object(["cc"], ["one", "inside"]) == first
    assert first.stat().st_mtime_ns == stamp
    assert runtime.runtime_object(["cc", "-g"], ["one", "inside"]) != first
    header = sources / "include/upstare_abi.h"
    header.write_text(header.read_text() + "#define NEW\n")
    assert runtime.runtime_object(["cc"], ["one", "inside"]) != first


def test_an_error_names_the_file(sources: Path) -> None:
    (sources / "src/deep/two.c").write_text("int two(void) { return }\n")
    with pytest.raises(UpstareError, match=r"cannot compile the runtime \(two.c\): cc ended with 1"):
        runtime.runtime_object(["cc"], ["one", "inside"])


def test_sources_are_found_beside_the_package() -> None:
    assert (runtime.include_directory() / "upstare_abi.h").is_file()
