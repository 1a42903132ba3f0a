"""Keeping and minimising programs that differ.

    python -m tests.stress.reduce DIR/r17.c

minimises a program that the campaign kept, with ``creduce`` (a Debian package) and the script beside the program. The
result replaces the program; the original stays in ``DIR/r17.c.orig``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.stress.compare import Outcome
from tests.stress.generate import flags, scheme
from tests.support.tool import REPOSITORY

#: Interesting is what compiles without a warning that hints at undefined behaviour, ends, and differs.
_QUESTION = """\
#!/bin/sh
# Does {name} behave differently when it is updateable? 0: yes.
export PYTHONPATH={repository} UPSTARE_POINTS={placement} UPSTARE_SCHEME={scheme}
cc -O1 -Wall -Wextra -Wno-unused {include} {name} -o checked -fsanitize=address,undefined -fno-sanitize-recover=all \\
  2>warnings || exit 1
grep -q -e uninitialized -e 'without a cast' -e 'makes .* from' -e 'return type defaults' -e implicit warnings && exit 1
timeout 20 ./checked >checked.out 2>&1 || exit 1
cc {flags} {name} -o plain || exit 1
timeout 2 ./plain >plain.out || exit 1
if timeout 100 {python} -m upstare cc {flags} {name} -o program 2>messages; then
  {storm}timeout 10 ./program >program.out
  test $? -ne 124 || exit 1
  ! cmp -s plain.out program.out
else
  {unbuilt}
fi
"""


def keep(source: Path, outcome: Outcome, folder: Path) -> None:
    """Copy a program that differs to ``folder``, with the script that asks whether it still does."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, folder)
    first = outcome.differences[0]
    said = re.match(r"(\w+)(?:, storm (\d+))?", first)
    assert said is not None
    storm = f"UPSTARE_STORM={said.group(2)} " if said.group(2) else ""
    script = folder / f"{source.stem}.sh"
    options = flags(outcome.seed)
    include = " ".join(options[2:])
    script.write_text(
        _QUESTION.format(
            name=source.name, repository=REPOSITORY, placement=said.group(1), scheme=scheme(outcome.seed),
            include=include, flags=" ".join(options), python=sys.executable, storm=storm,
            unbuilt="exit 0" if "does not build" in first else "exit 1",
        )
    )  # fmt: skip
    script.chmod(0o755)


def main() -> int:
    """Minimise one program."""
    program = Path(sys.argv[1]).resolve()
    if shutil.which("creduce") is None:
        print("creduce is not installed; the program stays as it is", file=sys.stderr)
        return 1
    return subprocess.run(["creduce", f"{program.stem}.sh", program.name], cwd=program.parent).returncode


if __name__ == "__main__":
    sys.exit(main())
