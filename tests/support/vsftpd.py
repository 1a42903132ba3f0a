"""vsftpd: its configuration, and sessions whose every transfer and reply is checked."""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.process import Program, free_port, server

DEADLINE = 120.0
SETTINGS = {
    "listen": "YES",
    "listen_address": "127.0.0.1",
    "background": "NO",
    "anonymous_enable": "YES",
    "anon_upload_enable": "YES",
    "anon_mkdir_write_enable": "YES",
    "anon_other_write_enable": "YES",
    "anon_umask": "022",
    "write_enable": "YES",
    "ascii_upload_enable": "YES",
    "ascii_download_enable": "YES",
    "no_anon_password": "NO",
    "port_enable": "YES",
    "connect_from_port_20": "NO",
    "xferlog_enable": "NO",
    "idle_session_timeout": "300",
    "ftpd_banner": "checked transfers",
}


@contextlib.contextmanager
def running_vsftpd(
    executable: Path,
    settings: Mapping[str, str],
    env: Mapping[str, str] | None = None,
    user: int | None = None,
    under: Sequence[str | Path] = (),
) -> Iterator[tuple[Program, int]]:
    """The server and its port, for the length of a block; anonymous users may write to the directory ``files``.

    As root the sessions are in a chroot with dropped privileges; otherwise (and as ``user``, which takes root) they are
    the user's own. ``under``: a command that runs the server, such as valgrind.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:  # not below pytest's directory: that is closed to other users
        directory = Path(scratch)
        directory.chmod(0o755)
        root = directory / "served"
        (directory / "empty").mkdir()
        (root / "files").mkdir(parents=True)
        (root / "files").chmod(0o777)
        if os.getuid() == 0 and user is None:
            dropped = {"ftp_username": "daemon", "nopriv_user": "nobody", "secure_chroot_dir": str(directory / "empty")}
        else:
            dropped = {"run_as_launching_user": "YES", "ftp_username": "nobody"}  # it must exist, no more
        config = directory / "vsftpd.conf"
        all_settings = {**SETTINGS, **dropped, "anon_root": str(root), "listen_port": str(port), **settings}
        known = executable.read_bytes()  # an older release ends at a setting that it does not know
        lines = [f"{key}={value}\n" for key, value in all_settings.items() if key.encode() in known]
        config.write_text("".join(lines))
        if user is not None:
            os.chown(config, user, user)  # vsftpd wants it so
            executable = Path(shutil.copy(executable, directory))
        with server([*under, executable, config], port, cwd=directory, env=env, user=user) as program:
            yield program, port


def content(name: str, size: int) -> bytes:
    """The bytes of a file of this name and size."""
    return hashlib.shake_128(name.encode()).digest(size)


class Session:
    """One logged-in control connection."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self.ftp = ftplib.FTP(timeout=DEADLINE)
        assert self.ftp.connect("127.0.0.1", port).startswith("220 checked transfers")
        self._refused("PWD", "530")
        self.ftp.login("anonymous", "someone@example.org")
        self.ftp.cwd("files")

    def _refused(self, command: str, code: str) -> None:
        try:
            reply = self.ftp.sendcmd(command)
        except ftplib.Error as error:
            reply = str(error)
        assert reply.startswith(code), f"{self.name}: {command}: {reply}"

    def put(self, name: str, data: bytes, start: int | None = None) -> None:
        """Stores a file, or its rest from ``start`` on."""
        self.ftp.storbinary(f"STOR {name}", io.BytesIO(data[start or 0 :]), rest=start)

    def get(self, name: str, start: int | None = None) -> bytes:
        """The file, or its rest."""
        got = io.BytesIO()
        self.ftp.retrbinary(f"RETR {name}", got.write, rest=start)
        return got.getvalue()

    def work(self, size: int) -> None:
        """Transfers and commands of all kinds; a wrong byte or reply is an AssertionError or ftplib.Error."""
        ftp, name = self.ftp, self.name
        data = content(name, size)
        assert ftp.pwd().endswith("/files")
        assert ftp.mkd(name).endswith(name)
        ftp.cwd(name)
        self.put("whole", data)
        assert ftp.size("whole") == size
        assert self.get("whole") == data
        assert self.get("whole", start=size // 3) == data[size // 3 :]
        self.put("pieces", data[: size // 2])
        self.put("pieces", data, start=size // 2)
        ftp.set_pasv(False)  # the server connects to us
        assert self.get("pieces") == data
        ftp.storbinary("APPE pieces", io.BytesIO(b"appended"))
        ftp.set_pasv(True)
        assert self.get("pieces") == data + b"appended"

        lines = [f"line {n} of {name}" for n in range(500)]
        ftp.storlines("STOR text", io.BytesIO("".join(f"{line}\r\n" for line in lines).encode()))
        got: list[str] = []
        ftp.retrlines("RETR text", got.append)
        assert got == lines

        for number in range(30):
            self.put(f"small{number}", data[:number])
        expected = sorted(["whole", "pieces", "text", *(f"small{n}" for n in range(30))])
        assert sorted(ftp.nlst()) == expected
        long: list[str] = []
        ftp.retrlines("LIST", long.append)
        assert {line.split()[8]: int(line.split()[4]) for line in long}["whole"] == size
        assert sorted(line.split()[8] for line in long) == expected
        assert sorted(ftp.nlst("small1*")) == sorted(f"small{n}" for n in [1, *range(10, 20)])

        assert ftp.sendcmd("MDTM whole").startswith("213 20")
        ftp.rename("whole", "renamed")
        self._refused("RETR whole", "425")
        self._refused("SIZE whole", "550")
        self._refused("CWD nowhere", "550")
        self._refused("RMD .", "550")
        self._refused("NOSUCH", "500")
        self._refused("SITE CHMOD 600 renamed", "550")
        assert "211" in ftp.sendcmd("FEAT")
        assert ftp.sendcmd("STAT").startswith("211")
        assert ftp.sendcmd("HELP").startswith("214")
        assert ftp.sendcmd("SYST").startswith("215")
        self.break_off("renamed")
        for entry in ftp.nlst():
            ftp.delete(entry)
        ftp.cwd("..")
        ftp.rmd(name)

    def break_off(self, name: str) -> None:
        """Closes the data connection within a download; the session goes on."""
        connection = self.ftp.transfercmd(f"RETR {name}")
        assert isinstance(connection, socket.socket)
        connection.recv(1000)
        connection.close()
        reply = self.ftp.getmultiline()
        assert reply[:3] in ("426", "226"), reply
        assert self.ftp.sendcmd("NOOP").startswith("200")

    def quit(self) -> None:
        """Logs out."""
        assert self.ftp.quit().startswith("221")


class Transfer:
    """A file on its way, stopped in the middle: the server is in the middle of its loop, mostly blocked."""

    def __init__(self, session: Session, up: bool, size: int) -> None:
        self.session = session
        self.up = up
        self.data = content(session.name, size)
        self.received = b""
        if not up:
            session.put(session.name, self.data)
        session.ftp.voidcmd("TYPE I")
        command = f"{'STOR' if up else 'RETR'} {session.name}"
        connection = session.ftp.transfercmd(command)
        assert isinstance(connection, socket.socket)
        self.connection = connection
        if up:
            self.connection.sendall(self.data[: size // 2])
        else:
            self._receive(size // 4)

    def _receive(self, upto: int) -> None:
        while len(self.received) < upto:
            more = self.connection.recv(min(1 << 16, upto - len(self.received)))
            assert more, f"{self.session.name}: ended after {len(self.received)} of {len(self.data)} bytes"
            self.received += more

    def finish(self) -> None:
        """Lets it go on to its end; every byte must be there."""
        if self.up:
            self.connection.sendall(self.data[len(self.data) // 2 :])
        else:
            self._receive(len(self.data))
            assert self.connection.recv(1) == b""
        self.connection.close()
        reply = self.session.ftp.getmultiline()
        assert reply.startswith("226"), reply
        got = self.session.get(self.session.name) if self.up else self.received
        assert hashlib.sha256(got).digest() == hashlib.sha256(self.data).digest(), self.session.name
