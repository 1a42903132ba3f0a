"""vsftpd: every transfer and reply is right under the storm and over an update, in both of its process models.

As root the sessions run in a chroot with dropped privileges, forbidden to make processes or threads, and in name spaces
of their own; as a user with that user's own. The seccomp filter is off under the storm and for the update: it kills a
process for the system calls with which the runtime takes a stack down.
"""

from __future__ import annotations

import concurrent.futures
import ftplib
import os
from pathlib import Path

import pytest

from tests.support import tool
from tests.support.build import run_build
from tests.support.process import storms
from tests.support.real import RealProgram, every_nth, needs_file, placements
from tests.support.vsftpd import Session, Transfer, running_vsftpd

NOBODY = 65534
SESSIONS = 3
IN_FLIGHT = 10
NOT_YET = 'vsf_cmdio_write(p_sess, FTP_NOOPOK, "NOOP ok.");'
#: What the new version has: another reply, a command, and a session loop that counts for it. (old text, new text)
CHANGES = (
    (NOT_YET, NOT_YET.replace("ok", "ok, and new")),
    ("void\nprocess_post_login(struct", "static unsigned int commands;\n\nvoid\nprocess_post_login(struct"),
    ("  while(1)\n  {\n    int cmd_ok = 1;\n", "  while(1)\n  {\n    int cmd_ok = 1;\n    commands++;\n"),
    (
        '    else if (str_equal_text(&p_sess->ftp_cmd_str, "SYST"))\n',
        """    else if (str_equal_text(&p_sess->ftp_cmd_str, "SERVED"))
    {
      struct mystr number_str = INIT_MYSTR;
      str_append_ulong(&number_str, commands);
      vsf_cmdio_write_str(p_sess, FTP_NOOPOK, &number_str);
      str_free(&number_str);
    }
    else if (str_equal_text(&p_sess->ftp_cmd_str, "SYST"))
""",
    ),
)


def build(place: Path, compiler: str, env: dict[str, str]) -> None:
    run_build(["make", "-j2", f"CC={compiler}", "LIBS=-lcrypt -lpam -lcap"], place, **env)


@pytest.fixture(scope="module")
def vsftpd(tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    needs_file("/usr/include/security/pam_appl.h", "libpam0g-dev")
    needs_file("/usr/include/sys/capability.h", "libcap-dev")
    return RealProgram("vsftpd", "sid", tmp_path_factory.mktemp("vsftpd"), build)


def build_new(place: Path, compiler: str, env: dict[str, str]) -> None:
    loop = place / "postlogin.c"
    text = loop.read_text()
    for before, after in CHANGES:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    loop.write_text(text)
    build(place, compiler, env)


@pytest.fixture(scope="module")
def new_vsftpd(vsftpd: RealProgram, tmp_path_factory: pytest.TempPathFactory) -> RealProgram:
    return RealProgram("vsftpd", "sid", tmp_path_factory.mktemp("vsftpd-new"), build_new)


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


def begin(port: int) -> list[Transfer]:
    """Sessions that are each in the middle of an upload or a download."""
    sessions = [Session(port, f"flying{number}") for number in range(IN_FLIGHT)]
    return [Transfer(session, up=number % 2 == 0, size=20_000_000) for number, session in enumerate(sessions)]


@pytest.mark.parametrize("user", [None, NOBODY], ids=["as_we_are", "as_a_user"])
@pytest.mark.parametrize("one_process", ["YES", "NO"])
def test_update_with_transfers_in_flight(
    vsftpd: RealProgram, new_vsftpd: RealProgram, one_process: str, user: int | None, tmp_path: Path
) -> None:
    if user is not None and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    old, new = vsftpd.built("default") / "vsftpd", new_vsftpd.built("default") / "vsftpd"
    patch = tmp_path / "new.upatch"
    tool.expect(tool.patch(old, new, patch))
    settings = {"one_process_model": one_process, "seccomp_sandbox": "NO"}
    with running_vsftpd(old, settings, user=user) as (program, port):
        transfers = begin(port)
        with pytest.raises(ftplib.error_perm):
            Session(port, "other").ftp.sendcmd("SERVED")
        words = ("apply", patch, "--pid", program.pid, "--tree", "--timeout", 20)
        done = tool.expect(tool.upstare(*words) if user is None else tool.upstare_as(user, *words), outcome="updated")
        assert len(done["processes"]) > IN_FLIGHT
        late = Session(port, "late")
        for transfer in transfers:
            transfer.finish()
            ftp = transfer.session.ftp
            assert ftp.sendcmd("NOOP") == "200 NOOP ok, and new."
            assert ftp.sendcmd("SERVED").startswith("200 ")
            transfer.session.quit()
        late.work(500_000)
        late.quit()
        assert program.poll() is None, program.log()
