"""vsftpd: every transfer and reply is right under the storm, in both of its process models.

As root the sessions run in a chroot with dropped privileges, as a user with that user's own. The seccomp filter is off
under the storm: it kills a process for the system calls with which the runtime takes a stack down.
"""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

import pytest

from tests.support.build import run_build
from tests.support.process import storms
from tests.support.real import RealProgram, every_nth, needs_file, placements
from tests.support.vsftpd import Session, running_vsftpd

SESSIONS = 3


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    run_build(["make", "-j2", f"CC={compiler}", "LIBS=-lcrypt -lpam -lcap"], place, **env)


@pytest.fixture(scope="module")
def vsftpd(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    needs_file("/usr/include/security/pam_appl.h", "libpam0g-dev")
    needs_file("/usr/include/sys/capability.h", "libcap-dev")
    return RealProgram("vsftpd", "sid", tmp_path_factory.mktemp("vsftpd"), build)


def serve(port: int, size: int) -> None:
    """Several sessions at once, each with transfers of that size."""

    def one(number: int) -> None:
        session = Session(port, f"session{number}")
        session.work(size)
        session.quit()

    with concurrent.futures.ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(one, range(SESSIONS)))


@every_nth
@placements
@pytest.mark.parametrize("one_process", ["YES", "NO"])
def test_transfers_under_the_storm(
    vsftpd: RealProgram, placement: str, every: int, one_process: str, tmp_path: Path
) -> None:
    log = tmp_path / "storm.log"
    storm = {"UPSTARE_STORM": str(every), "UPSTARE_STORM_LOG": str(log)}
    settings = {"one_process_model": one_process, "seccomp_sandbox": "NO"}
    with running_vsftpd(vsftpd.built(placement) / "vsftpd", settings, storm) as (program, port):
        serve(port, 500_000)
        assert program.poll() is None, program.log()
    assert storms(log) > 2000 // every


@pytest.mark.parametrize("placement", ["plain", "default"])
def test_transfers_in_the_sandbox(vsftpd: RealProgram, placement: str) -> None:
    settings = {"seccomp_sandbox": "YES"}
    with running_vsftpd(vsftpd.built(placement) / "vsftpd", settings) as (program, port):
        serve(port, 500_000)
        assert program.poll() is None, program.log()
