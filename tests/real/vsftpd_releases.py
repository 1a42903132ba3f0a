"""Releases of vsftpd, each updated to the next with transfers in flight, in both process models: a table.

    python -m tests.real.vsftpd_releases REPOSITORY [--first 2.0.0]

REPOSITORY is a git repository with a tag for each release (dagwieers/vsftpd is one). A release that does not compile
with today's compiler is left out, and so its neighbours become neighbours. Where the patch maker asks, the answer is
that an update is refused while a frame is at the place that it asks about.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.support import tool
from tests.support.build import run_build
from tests.support.vsftpd import Session, Transfer, running_vsftpd

IN_FLIGHT = 4
SIZE = 8_000_000
FLAGS = "-O2 -w -idirafter dummyinc"


@dataclass
class Pair:
    """What became of one release on its way to the next. ``updates``: by process model, 'updated' or the reason."""

    old: str
    new: str
    decisions: int = 0
    obstacle: str = ""  # why there is no patch
    updates: dict[str, str] = field(default_factory=dict)


def releases(repository: Path, first: str) -> list[str]:
    """The tags that are releases, from ``first`` on, in their order."""
    said = subprocess.run(["git", "-C", repository, "tag"], capture_output=True, text=True, check=True).stdout
    numbered = {tag: tuple(map(int, tag.split("."))) for tag in said.split() if re.fullmatch(r"\d+(\.\d+)+", tag)}
    return sorted((t for t in numbered if numbered[t] >= numbered.get(first, ())), key=numbered.__getitem__)


def build(repository: Path, tag: str, place: Path) -> Path | None:
    """The updateable executable of a release; None if it does not compile plainly either."""
    for compiler, folder in (("cc", place / f"{tag}-plain"), (tool.UPSTARE_CC, place / tag)):
        folder.mkdir()
        text = subprocess.run(["git", "-C", repository, "archive", tag], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=text, check=True)
        words = ["make", "-j2", f"CC={compiler}", f"CFLAGS={FLAGS}", "LINK=", "LIBS=-lcrypt -lpam -lcap"]
        try:
            run_build(words, folder, UPSTARE_VERSION=tag)
        except AssertionError:
            if compiler == "cc":
                return None
            raise
    return place / tag / "vsftpd"


def try_pair(old: Path, new: Path, pair: Pair, place: Path) -> None:
    """Make the patch and, if there is one, update a server in both process models."""
    patch = place / f"{pair.old}-{pair.new}.upatch"
    made = tool.patch(old, new, patch)
    pair.decisions = len(made.data.get("decisions", []))
    if pair.decisions:
        answer = place / "mapping.toml"
        answer.write_text('[undecided]\npoints = "none"\n')
        made = tool.patch(old, new, patch, "--mapping", answer)
    if made.exit_code != 0:
        found = [*made.data.get("decisions", []), *made.data.get("refusals", [])]
        reasons = [f"{f['subject']}: {f['text']}" for f in found]
        pair.obstacle = "; ".join(reasons) or str(made.data.get("reason") or made.err)
        return
    for model in ("YES", "NO"):
        pair.updates[model] = _update(old, patch, model)


def _update(old: Path, patch: Path, model: str) -> str:
    settings = {"one_process_model": model, "seccomp_sandbox": "NO"}
    with running_vsftpd(old, settings) as (program, port):
        sessions = [Session(port, f"flying{number}") for number in range(IN_FLIGHT)]
        transfers = [Transfer(session, up=number % 2 == 0, size=SIZE) for number, session in enumerate(sessions)]
        done = tool.upstare("apply", patch, "--pid", program.pid, "--tree", "--timeout", 20)
        for transfer in transfers:
            transfer.finish()
            transfer.session.quit()
        late = Session(port, "late")
        late.quit()
        assert program.poll() is None, program.log()
    return "updated" if done.exit_code == 0 else str(done.data.get("reason") or done.err)


def main() -> int:
    """Try all pairs and print the table. A transfer or a reply that goes wrong is an AssertionError or ftplib.Error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--first", default="2.0.0")
    options = parser.parse_args()
    console = Console(width=160)
    left_out: list[str] = []
    built: list[tuple[str, Path]] = []
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        place = Path(directory)
        for tag in track(releases(options.repository, options.first), "building", console=Console(stderr=True)):
            executable = build(options.repository, tag, place)
            if executable is None:
                left_out.append(tag)
            else:
                built.append((tag, executable))
        for (old, before), (new, after) in zip(built, built[1:], strict=False):
            pairs.append(Pair(old, new))
            try_pair(before, after, pairs[-1], place)
    table = Table(title=f"vsftpd, {IN_FLIGHT} transfers in flight")
    for column in ("from", "to", "open decisions", "one process a session", "two processes", "reason"):
        table.add_column(column)
    for pair in pairs:
        ways = [pair.updates.get(model, "-") for model in ("YES", "NO")]
        reasons = "; ".join(dict.fromkeys(way for way in ways if way not in ("updated", "-")))
        shown = [way if way in ("updated", "-") else "refused" for way in ways]
        table.add_row(pair.old, pair.new, str(pair.decisions), *shown, pair.obstacle or reasons)
    console.print(table)
    if left_out:
        console.print(f"do not compile: {', '.join(left_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
