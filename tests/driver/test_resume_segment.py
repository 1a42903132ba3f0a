"""What of the runtime only an update needs, and resume clones that are inside, are in the executable, but no text until
then."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.constants import P_FLAGS, SH_FLAGS
from elftools.elf.elffile import ELFFile

from tests.support.build import run_build
from tests.support.process import storms
from tests.support.tool import UPSTARE
from upstare.coordinator.process import Process
from upstare.coordinator.protocol import connect
from upstare.errors import NotUpdatable

FORBID = """
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
static int forbid(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
"""
FORBIDDEN = FORBID + """
int main(void) {
  char c;
  if (forbid() != 0) return 1;
  printf("ready\\n");
  fflush(stdout);
  while (read(0, &c, 1) == 1) putchar(c), fflush(stdout);
  return 5;
}
"""
#: What the runtime would wake for, in a process in which it cannot.
SELDOM = FORBID + """
#include <pthread.h>
static pthread_mutex_t robust;
static int ends[2];
static void *wait_for_input(void *nothing) { char c; return read(ends[0], &c, 1) == 1 ? &robust : nothing; }
static void *wait_for_line(void *nothing) {
  char line[9];
  return fgets(line, sizeof line, fdopen(ends[0], "r")) ? &robust : nothing;
}
static void *hold(void *nothing) {
  pthread_mutex_lock(&robust);
  write(ends[1], "", 1);
  usleep(200000);
  pthread_mutex_unlock(&robust);
  return nothing;
}
static void cancel(void *(*function)(void *)) {
  pthread_t thread;
  void *result;
  pthread_create(&thread, NULL, function, NULL);
  usleep(200000);
  pthread_cancel(thread);
  pthread_join(thread, &result);
  printf("cancelled %d\\n", result == PTHREAD_CANCELED);
}
int main(void) {
  pthread_mutexattr_t attributes;
  pthread_t thread;
  char c;
  if (forbid() != 0 || pipe(ends) != 0) return 1;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  pthread_create(&thread, NULL, hold, NULL);
  if (read(ends[0], &c, 1) != 1) return 2;
  printf("locked %d\\n", pthread_mutex_lock(&robust) == 0);
  pthread_join(thread, NULL);
  cancel(wait_for_input);
  cancel(wait_for_input);
  cancel(wait_for_line);
  return 0;
}
"""
SOURCE = """
#include <stdio.h>
#include <unistd.h>
static int walk(int n) { if (n == 0) return 1; usleep(1); return walk(n - 1) + n; }
int main(void) { printf("%d\\n", walk(20)); return 0; }
"""


def build(directory: Path, *flags: str, source: str = SOURCE, clones: str = "apart") -> Path:
    (directory / "program.c").write_text(source)
    run_build([*UPSTARE, "cc", "-O2", *flags, "program.c", "-o", "program"], directory, UPSTARE_CLONES=clones)
    return directory / "program"


def segment_of_clones(program: Path) -> int:
    """The permissions of the one segment that holds the resume clones; it must hold only what sleeps."""
    with program.open("rb") as file:
        elf = ELFFile(file)
        section: Any = elf.get_section_by_name("upstare_resume")
        at = section["sh_addr"]
        [segment] = [s for s in elf.iter_segments("PT_LOAD") if s["p_vaddr"] <= at < s["p_vaddr"] + s["p_memsz"]]
        loaded = [s for s in elf.iter_sections() if s["sh_flags"] & SH_FLAGS.SHF_ALLOC and s["sh_type"] != "SHT_NOBITS"]
        addresses = range(segment["p_vaddr"], segment["p_vaddr"] + segment["p_memsz"])
        inside = {s.name for s in loaded if s["sh_addr"] in addresses}
        assert inside == {"upstare_update", "upstare_resume"}
        return int(segment["p_flags"])


@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie", "-fno-pie"), ("-s",)], ids=lambda f: f[0])
def test_clones_are_no_text_but_run(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = build(tmp_path, *flags, clones="inside")
    assert segment_of_clones(program) == P_FLAGS.PF_R
    log = tmp_path / "storms"
    done = subprocess.run(
        [program], env={"UPSTARE_STORM": "1", "UPSTARE_STORM_LOG": str(log)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "211\n")
    assert storms(log) > 0


def test_tools_leave_the_segment_alone(tmp_path: Path) -> None:
    program = build(tmp_path, "-g", clones="inside")
    for command in (["strip", "--strip-debug"], ["objcopy", "--remove-section=.comment"]):
        subprocess.run([*command, str(program)], check=True)
        assert segment_of_clones(program) == P_FLAGS.PF_R
    log = tmp_path / "storms"
    subprocess.run([program], env={"UPSTARE_STORM": "1", "UPSTARE_STORM_LOG": str(log)}, check=True, timeout=60)
    assert storms(log) > 0


def test_process_that_may_make_no_text_refuses_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's MemoryDenyWriteExecute, for one, is such a filter. Others (SELinux) cannot be seen beforehand."""
    program = build(tmp_path, source=FORBIDDEN)
    monkeypatch.setattr("upstare.coordinator.seccomp.verify", lambda process: None)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        target = Process(process.pid, os.pidfd_open(process.pid))
        with pytest.raises(NotUpdatable, match="may not make its own code executable"):
            connect(target, 60.0)
        target.close()
        assert process.communicate("x", timeout=60)[0] == "x"
    assert process.returncode == 5


def test_process_that_may_make_no_text_does_what_it_does(tmp_path: Path) -> None:
    program = build(tmp_path, "-pthread", source=SELDOM)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "locked 1\n" + 3 * "cancelled 1\n"


def test_process_has_no_library_only_for_updates(tmp_path: Path) -> None:
    program = build(tmp_path)
    with program.open("rb") as file:
        dynamic: Any = ELFFile(file).get_section_by_name(".dynamic")
        assert [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")] == ["libc.so.6"]


def test_a_name_that_is_the_end_of_another_is_awake(tmp_path: Path) -> None:
    """Assemblers keep such a name as the end of the longer one."""
    source = """
#include <setjmp.h>
#include <unistd.h>
static jmp_buf one;
static sigjmp_buf other;
int my_upstare_read(int x) { return x + 1; }
int main(int count, char **words) {
  char c;
  if (count > 1) siglongjmp(other, words != 0);
  if (setjmp(one) == 0) longjmp(one, 1);
  return read(0, &c, 1) + my_upstare_read(3);
}
"""
    program = build(tmp_path, source=source)
    done = subprocess.run([program], input=b"x", timeout=30)
    assert done.returncode == 5
