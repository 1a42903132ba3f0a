"""The patch command on real files: what it refuses to read, what it reports, what it takes from objects."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.described import container
from tests.support.tool import UPSTARE_CC
from tests.unit.patch_samples import Version, call, loop, slot
from upstare.cli import main
from upstare.driver import elf
from upstare.errors import EXIT_ERROR, EXIT_NOT_UPDATABLE, EXIT_UNCHANGED, EXIT_USAGE, UpstareError
from upstare.model.description import Function, Variable, unit_text, unpack
from upstare.patch.make import propose
from upstare.patch.mapping import Mapping
from upstare.patch.objects import ObjectIndex, changed_initials
from upstare.patch.report import show
from upstare.patch.user import UserTransformers
from upstare.points.bindings import read_bindings
from upstare.release import ABI


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An executable that UpStare did not make."""
    path = tmp_path_factory.mktemp("plain") / "plain"
    source = path.with_suffix(".c")
    source.write_text("int upstare_at_point(void) { return 0; }\nint main(void) { return 0; }\n")
    subprocess.run(["cc", "-rdynamic", "-o", path, source], check=True, timeout=60)
    return path


def updateable(plain: Path, path: Path, version: Version) -> Path:
    """An executable with a description."""
    section = path.with_suffix(".desc")
    section.write_bytes(container(version.description, [b"int main(void) { return 0; }\n"]))
    subprocess.run(["objcopy", "--add-section", f".upstare.desc={section}", plain, path], check=True, timeout=60)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["patch", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def pair(plain: Path, directory: Path) -> tuple[Path, Path, Version, Version]:
    old, new = Version("1.0"), Version("1.1")
    for version, kind in ((old, "struct orderedmap *"), (new, "struct pseudomap *")):
        version.function("handle", [loop(live="map"), call("gone", "map")], [slot("map", kind)])
    old.function("gone", [call("read", blocking=True)], line=100)
    return updateable(plain, directory / "old", old), updateable(plain, directory / "new", new), old, new


def test_files_that_cannot_be_patched(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, _, _ = pair(plain, tmp_path)
    output = tmp_path / "out"
    text = tmp_path / "text"
    text.write_text("hello")
    cases: list[tuple[object, int, str]] = [
        (tmp_path / "none", EXIT_ERROR, "cannot read"),
        (tmp_path, EXIT_ERROR, "cannot read"),
        (text, EXIT_ERROR, "is not an ELF executable"),
        ("/bin/true", EXIT_NOT_UPDATABLE, "was not built with upstare cc"),
        (plain, EXIT_NOT_UPDATABLE, "stripped of its version description"),
        (old, EXIT_UNCHANGED, "same sources: nothing changed"),
    ]
    for path, code, message in cases:
        result, out, err = run(capsys, old, path, "-o", output, "--json")
        assert (result, message in err) == (code, True), (path, err)
        assert message in json.loads(out)["reason"]
    assert not output.exists()
    assert run(capsys, old, new)[0] == EXIT_USAGE


def test_description_damaged_or_foreign(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, _, other = pair(plain, tmp_path)
    other.description.abi = 7
    foreign = updateable(plain, tmp_path / "foreign", other)
    assert "ABI 7" in run(capsys, old, foreign, "-o", tmp_path / "x")[2]
    other.description.abi, other.description.scheme = ABI, "flag"
    flag = updateable(plain, tmp_path / "flag", other)
    assert "'trap'" in run(capsys, old, flag, "-o", tmp_path / "x")[2]
    content = new.read_bytes()
    begin = content.index(b"UPSD0002")
    header, body = struct.unpack_from("<II", content, begin + 8)
    for at in (begin + 17, begin + 16 + header, begin + 16 + header + body // 2):
        new.write_bytes(content[:at] + b"damaged!" + content[at + 8 :])
        code, _, err = run(capsys, old, new, "-o", tmp_path / "x")
        assert code == EXIT_ERROR and "description is damaged" in err


def test_text_in_a_description_damaged() -> None:
    version = Version("1.0")
    whole = container(version.description, [b"int main(void) { return 0; }\n"])
    text = unpack(whole).units[0]
    assert unit_text(whole, text) == b"int main(void) { return 0; }\n"
    at = text.blob[0] + text.blob[1] // 2
    for damaged in (whole[:-9], whole[:at] + b"damaged!" + whole[at + 8 :]):
        with pytest.raises(UpstareError, match=r"the text of .* is damaged"):
            unit_text(damaged, text)


def test_report_of_open_decisions(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, _, _ = pair(plain, tmp_path)
    output = tmp_path / "out"
    code, out, _ = run(capsys, old, new, "-o", output, "--json")
    report = json.loads(out)
    assert code == EXIT_NOT_UPDATABLE and report["outcome"] == "undecided" and not output.exists()
    [decision] = report["decisions"]
    assert "handle: local map" in decision["subject"] and decision["old"] == decision["new"] == "a.c:2"
    assert report["removed"] == ["a.c:gone"]
    assert [m["old"] for m in report["missing"]] == ["a.c:5", "a.c:100"]
    code, out, _ = run(capsys, old, new, "-o", output)
    assert code == EXIT_NOT_UPDATABLE
    assert "a.c:2 -> a.c:2: handle: local map" in out and "a.c:100: function gone" in out
    assert "no patch: 1 decision must be made by a person" in out


def test_report_for_people_has_everything() -> None:
    old, new = Version("1.0"), Version("1.1")
    old.record("struct s", a="int")
    new.record("struct s", a="long")
    for version in (old, new):
        version.variable("x", "struct s")
    new.function("f", [loop(live="n")], [slot("n", "int", initial="3")])
    old.function("f", [loop()])
    report = propose(old.description, new.description, Mapping(), UserTransformers())[0]
    report.file, report.size = "x.upatch", 5
    console = Console(width=60, record=True, file=io.StringIO())
    show(report, console)
    text = console.export_text()
    assert "x: struct s (4 bytes, a.c:1) -> struct s (8 bytes, a.c:1), generated" in text
    assert "starts as 3" in text and "x.upatch: 5 bytes" in text


def test_objects_tell_initial_values_and_functions(tmp_path: Path) -> None:
    source = tmp_path / "unit.c"
    source.write_text(
        """
int zero __asm__("up$1$zero");
int five __asm__("up$1$five") = 5;
int *where __asm__("up$1$where") = &five;
char large[100000] __asm__("up$1$large") = {1};
__attribute__((noinline)) static int hidden(int n) { return n + 1; }
int (*slot)(int) __asm__("ups$slot$abc$hidden") = hidden;
extern int elsewhere(int);
int (*other)(int) __asm__("ups$slot$abc$elsewhere") = elsewhere;
"""
    )
    unit = source.with_suffix(".o")
    subprocess.run(["cc", "-O2", "-fPIC", "-ffunction-sections", "-c", source, "-o", unit], check=True, timeout=60)
    sizes = {"zero": 4, "five": 4, "where": 8, "large": 100000}
    variables = [Variable(n, None, None, f"up$1${n}", "int", "int", size, "unit.c", 1) for n, size in sizes.items()]
    index = ObjectIndex([unit])
    pristine = index.pristine(variables)
    assert pristine.content == {"up$1$five": (5).to_bytes(4, "little")}
    assert pristine.alias == {name: f"upi${name}" for name in ("up$1$where", "up$1$large")}

    def function(name: str) -> Function:
        return Function("0" * 16, "unit.c", name, "unit.c", 1, True, "", "", "", False, entry=f"abc${name}")

    index.add_entries([function("hidden")])
    with pytest.raises(UpstareError, match="the entry of elsewhere leads to nothing"):
        index.add_entries([function("elsewhere")])
    with pytest.raises(UpstareError, match="no entry for none"):
        index.add_entries([function("none")])
    with pytest.raises(UpstareError, match="does not define up"):
        index.pristine([Variable("n", None, None, "up$1$n", "int", "int", 4, "unit.c", 1)])
    [copy] = index.apply(tmp_path)
    index.close()
    symbols = subprocess.run(["nm", copy], check=True, capture_output=True, text=True, timeout=60).stdout
    assert re.search(r"T upf\$abc\$hidden$", symbols, re.MULTILINE)
    assert re.search(r"D upi\$up\$1\$where$", symbols, re.MULTILINE)


def test_entry_of_an_inline_function(tmp_path: Path) -> None:
    """The unit that has the entry need not be the one that has the code."""
    text = """inline int f(int n) { return n + 1; }
int (*slot)(int) __asm__("ups$slot$f") = f;"""
    made = []
    for name, source in (("one", text), ("two", "int f(int n) { return n + 1; }")):
        (tmp_path / f"{name}.c").write_text(source)
        made.append(tmp_path / f"{name}.o")
        subprocess.run(["cc", "-O0", "-fPIC", "-c", tmp_path / f"{name}.c", "-o", made[-1]], check=True, timeout=60)
    index = ObjectIndex(made)
    index.add_entries([Function("0" * 16, "one.c", "f", "one.c", 1, False, "", "", "", False, entry="f")])
    first, second = index.apply(tmp_path)
    index.close()
    assert first == made[0]
    symbols = subprocess.run(["nm", second], check=True, capture_output=True, text=True, timeout=60).stdout
    assert re.search(r"T upf\$f$", symbols, re.MULTILINE)


def test_what_opaque_code_uses_by_name() -> None:
    """It stays with a variable whose type changes, and with the type of a function: both are said."""
    old, new = Version("1.0"), Version("1.1")
    for version, kind in ((old, "int"), (new, "long")):
        version.variable("seen", kind)
        version.variable("own", kind)
        version.function("called", type=f"void ({kind})", entry="called")
        version.function("passed", type=f"void ({kind})", entry="passed")
        version.description.outside = ["called", "seen"]
    report = propose(old.description, new.description, Mapping(), UserTransformers())[0]
    assert [f"{w.subject}: {w.text}" for w in report.warnings] == [
        "variable seen: its type changes from 'int' to 'long': opaque code that uses it by its name stays with the old "
        "one",
        "function called: its type changes from 'void (int)' to 'void (long)': opaque code that calls it by its name "
        "goes on calling it as it was",
    ]


def test_initial_values_that_changed(tmp_path: Path) -> None:
    made: list[Path] = []
    for number in (1, 2):
        source = tmp_path / f"v{number}.c"
        source.write_text(
            f"""char wider[{number * 64}] = "{number}"; int n = {number};
int same = 7; int zero{" = 1" if number == 2 else ""}; const char *text = "{number}";
__thread int own = {number}; int *place = &same;
int main(void) {{ return n + same + zero + own + (text != 0) + *place; }}
"""
        )
        made.append(source.with_suffix(""))
        subprocess.run([*UPSTARE_CC.split(), "-rdynamic", "-o", made[-1], source], check=True, timeout=120)
    names = {name for path in made for name in read_bindings(path) if "up$" in name}
    sizes = {name: 8 if name.endswith(("text", "place")) else 4 for name in names}
    symbols = {name.rpartition("$")[2]: name for name in sizes}
    assert {"n", "same", "zero", "text", "place"} <= symbols.keys() and "own" not in symbols
    assert changed_initials(made[0], made[1], sizes) == sorted([symbols["n"], symbols["zero"]])
    assert changed_initials(made[0], made[1], {"up$1$none": 4}) == []
    known = [s.name for s in elf.read(made[0]).symbols(".dynsym") if s.name.startswith(elf.SHARED_NAMES)]
    assert [name.rpartition("$")[2] for name in known] == ["own"], "the dynamic linker knows more than it must"
