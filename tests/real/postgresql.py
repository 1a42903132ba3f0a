"""PostgreSQL 15, built with ``upstare cc``, runs its own regression suite: ``python -m tests.real.postgresql``.

The server, its shared libraries and its tools are built as a user would build them, and ``make check`` runs against the
result. The server refuses to run as root, so root hands the directory over to an unprivileged user for that. Nothing is
updated. It takes too long for the test-suite (942 units): the exit code says whether the suite passed.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.support import source
from tests.support.tool import UPSTARE_CC, environment
from upstare.driver.elf import SECTION_POINTS, read_section
from upstare.points.table import read_table

CONFIGURE = ("./configure", "--without-readline", "--without-zlib", "--without-icu")
SERVER = Path("src/backend/postgres")


def main() -> int:
    """Build, check, and print what the suite says of itself."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", type=Path, help="an unpacked source tree (default: Debian's source package)")
    parser.add_argument("--work", type=Path, required=True, help="where to build; used again if it is there")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--flags", default="-O1", help="CFLAGS")
    parser.add_argument("--user", default="nobody", help="who runs the suite if root builds")
    parser.add_argument("--storm", help="UPSTARE_STORM for the suite")
    given = parser.parse_args()
    tree: Path = given.work.absolute()
    if not tree.exists():
        if given.source is not None:
            shutil.copytree(given.source, tree, symlinks=True)
        else:
            source.unpack("postgresql-15", "bookworm", tree)
    if not (tree / "config.status").exists():
        step(tree, [*supported(tree), f"CC={UPSTARE_CC}", f"CFLAGS={given.flags}"])
    began = time.monotonic()
    make = ["make", f"-j{given.jobs}", "-s"]
    step(tree, make)
    step(tree, [*make, "-C", "src/test/regress"])
    print(f"built in {time.monotonic() - began:.0f} s")
    print(described(tree / SERVER))
    passed, summary = check(tree, given.user, given.storm)
    print(summary)
    return 0 if passed else 1


def supported(tree: Path) -> list[str]:
    """The command that configures, with the options that this release knows."""
    known = subprocess.run(["./configure", "--help"], cwd=tree, capture_output=True, text=True, check=True).stdout
    return [word for word in CONFIGURE if word == "./configure" or word.removeprefix("--without-") in known]


def step(tree: Path, command: list[str]) -> None:
    """One step of the build; ends the program if it fails."""
    log = tree / "upstare-build.log"
    with log.open("a") as file:
        done = subprocess.run(
            command, cwd=tree, env=environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
        )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed; see {log}:\n{log.read_text(errors='replace')[-3000:]}")


def described(server: Path) -> str:
    """What there is to update in the server; ends the program if there is nothing."""
    table = read_section(server, SECTION_POINTS)
    if table is None:
        sys.exit(f"{server} is not updateable")
    points = read_table(table)
    return f"server: {len(points.functions)} functions can be rebuilt, {len(points.points)} update points"


def check(tree: Path, user: str, storm: str | None) -> tuple[bool, str]:
    """Runs the suite as somebody other than root: whether it passed, and its summary."""
    identity: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        subprocess.run(["chown", "-R", f"{entry.pw_uid}:{entry.pw_gid}", tree], check=True)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    variables = {"HOME": str(tree), **({"UPSTARE_STORM": storm} if storm else {})}
    done = subprocess.run(
        ["make", "check", "MAX_CONNECTIONS=4"], cwd=tree, env={**environment(), **variables}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **identity,  # type: ignore[call-overload]
    )  # fmt: skip
    output: str = done.stdout
    (tree / "upstare-check.log").write_text(output)
    passed = re.search(r"All \d+ tests passed", output)
    failed = re.findall(r"^.*\.\.\. FAILED.*$|^ \d+ of \d+ tests failed.*$", output, re.MULTILINE)
    if done.returncode == 0 and passed is not None and not failed:
        return True, passed.group()
    return False, "\n".join(failed or [output[-3000:]])


if __name__ == "__main__":
    sys.exit(main())
