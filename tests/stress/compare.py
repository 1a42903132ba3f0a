"""One random program, plain against updateable under the storm, with both placements of points."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.stress.generate import flags, generate, scheme
from tests.support.tool import environment

PLACEMENTS = ("default", "strict")
STORMS = (1, 7, 101, 1009, 10007)  # what is too slow at one is tried at the next
PLAIN_SECONDS = 1.0
BUILD_SECONDS = 240.0


@dataclass
class Outcome:
    """What became of one program.

    ``state``: 'same', 'different', 'no point' (strict placement, and yet no storm: nothing was compared), 'slow' (at
    none of the distances it ended in time), 'undefined' (it differs, and the compiler's checks find undefined
    behaviour) or 'passed over' (plain, it does not compile, fails, does not end, or prints something else when it is
    not optimised).
    """

    seed: int
    state: str
    differences: list[str] = field(default_factory=list)
    storms: dict[str, int] = field(default_factory=dict)  # by "placement/distance": the storms of a run that ended
    seconds: float = 0.0

    def data(self) -> dict[str, Any]:
        """For the log."""
        return asdict(self)


def _run(command: list[str], seconds: float, **more: str) -> tuple[int, str] | None:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds, env=environment(**more)
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _plain(source: Path, options: list[str]) -> tuple[int, str] | None:
    """What the plain program prints; None if it does not compile, fails or does not end."""
    program = source.with_suffix(".plain")
    compiled = subprocess.run(["cc", *options, str(source), "-o", str(program)], capture_output=True)
    result = _run([str(program)], PLAIN_SECONDS) if compiled.returncode == 0 else None
    return result if result is not None and result[0] == 0 else None


def _is_undefined(source: Path, options: list[str]) -> bool:
    """Whether the plain program does what C does not define, so that any result is right (csmith: ctz of zero)."""
    program = source.with_suffix(".checked")
    checks = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    compiled = subprocess.run(["cc", *options, *checks, str(source), "-o", str(program)], capture_output=True)
    result = _run([str(program)], 20 * PLAIN_SECONDS) if compiled.returncode == 0 else None
    return result is not None and result[0] != 0


def _upstare(arguments: list[str], program: Path, messages: Path, settings: dict[str, str]) -> None:
    """Builds the program and its twin, in a process of its own, which has the tool in memory already."""
    from upstare.cli import main
    from upstare.errors import UpstareError
    from upstare.patch.make import read_executable
    from upstare.patch.twin import twin

    with messages.open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.environ.update(settings)
    code = main(arguments)
    try:
        if code == 0:
            twin(read_executable(program))
    except UpstareError as error:
        print(error, flush=True)
        code = 1
    os._exit(code)


def build(source: Path, program: Path, options: list[str], placement: str, points: str) -> str | None:
    """Build an updateable program; what went wrong, or None."""
    messages = program.with_suffix(".messages")
    arguments = ["cc", *options, str(source), "-o", str(program)]
    settings = {"UPSTARE_POINTS": placement, "UPSTARE_SCHEME": points}
    process = get_context("fork").Process(target=_upstare, args=(arguments, program, messages, settings))
    process.start()
    process.join(BUILD_SECONDS)
    if process.is_alive():
        process.terminate()
        process.join()
        return f"{placement}: the build took more than {BUILD_SECONDS:.0f} s"
    if process.exitcode != 0:
        return f"{placement}: does not build: {messages.read_text(errors='replace').strip()[:300]}"
    return None


def _storms(log: Path) -> int:
    words = log.read_text().split() if log.exists() else []
    return sum(int(words[i + 1]) for i, word in enumerate(words) if word == "storms")


def compare(seed: int, source: Path, expected: tuple[int, str], options: list[str], patience: float) -> Outcome:
    """Build and run the program in ``source``; a run under the storm may take ``patience`` seconds."""
    outcome = Outcome(seed, "same")
    for placement in PLACEMENTS:
        program = source.with_suffix(f".{placement}")
        problem = build(source, program, options, placement, scheme(seed))
        if problem is not None:
            outcome.differences.append(problem)
            continue
        result = _run([str(program)], patience)
        if result != expected:
            outcome.differences.append(f"{placement}, no storm: {result} instead of {expected}")
        ended = 0
        for distance in STORMS:
            log = source.with_suffix(".storms")
            log.unlink(missing_ok=True)
            settings = {"UPSTARE_STORM": str(distance), "UPSTARE_STORM_LOG": str(log)}
            result = _run([str(program)], patience, **settings)
            if result is None:
                continue
            outcome.storms[f"{placement}/{distance}"] = _storms(log)
            if result != expected:
                outcome.differences.append(f"{placement}, storm {distance}: {result} instead of {expected}")
            ended += 1
            if ended == 2 or distance > STORMS[1]:
                break
        if not ended:
            outcome.state = "slow"
    if outcome.differences:
        outcome.state = "different"
    elif outcome.state == "same" and not any(n for key, n in outcome.storms.items() if key.startswith("strict")):
        outcome.state = "no point"
    return outcome


def try_program(seed: int, directory: Path, patience: float = 10.0, small: bool = False) -> Outcome:
    """Generate, build and compare the program of one seed."""
    start = time.monotonic()
    source = directory / f"r{seed}.c"
    outcome = Outcome(seed, "passed over")
    if generate(seed, source, small):
        options = flags(seed, small)
        expected = _plain(source, options)
        # Without the optimiser, which takes endless loops away, it has to end, too; and to print the same.
        if expected is not None and expected == _plain(source, [*options, "-O0"]):
            outcome = compare(seed, source, expected, options, patience)
            built = not any("does not build" in difference for difference in outcome.differences)
            if outcome.differences and built and _is_undefined(source, options):
                outcome.state, outcome.differences = "undefined", []
    outcome.seconds = round(time.monotonic() - start, 1)
    return outcome
