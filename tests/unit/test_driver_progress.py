"""Progress is shown to people who wait, and to nobody else."""

from __future__ import annotations

import sys

import pytest

from upstare.driver import progress


def run(monkeypatch: pytest.MonkeyPatch, terminal: bool, patience: float) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress, "PATIENCE", patience)
    with progress.LinkProgress("program") as bars:
        for stage in ("summarise", "compile"):
            for done in range(3):
                bars.report(stage, done + 1, 3)


@pytest.mark.parametrize(("terminal", "patience"), [(False, 0.0), (True, 60.0)], ids=["no terminal", "quick"])
def test_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool, patience: float
) -> None:
    run(monkeypatch, terminal, patience)
    assert capsys.readouterr() == ("", "")


def test_bars_on_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, True, 0.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "program: compile" in err
