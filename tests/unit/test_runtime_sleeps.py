"""What only an update needs is called by the rest of the runtime in a few places only, each of which knows that it is
awake: anything else would run code that is not mapped as text."""

from __future__ import annotations

from pathlib import Path

from upstare.driver import elf, runtime

# By the function, why it is awake.
KNOWN = {
    "ups_walk_init": "ups_wake itself",
    "ups_attend": "on_attention has woken it",
    "ups_point_trapped": "on_trap asks",
    "ups_point_at_call": "ups_blocking_point asks",
    "ups_point_at_stop": "ups_blocking_stop asks",
    "ups_regions_release": "thread_end asks",
    "ups_agent_child": "begin_process asks",
    "ups_guest_wait": "ups_futex_wait asks",
    "ups_guest_woken": "ups_futex_wake asks",
    "ups_storm_start": "start_runtime has woken it",
    "ups_storm_count": "there is a storm",
    "ups_points_arm": "an update is under way",
    "ups_frame_push": "the stack comes down",
    "ups_returned": "the stack comes down",
    "ups_save": "the stack comes down",
    "ups_save_kept": "the stack comes down",
    "ups_at_point": "upstare_flag is set",
    "ups_rebuild": "the stack is built up",
    "upstare_resume_begin": "the stack is built up",
}


def test_nothing_else_calls_what_sleeps(tmp_path: Path) -> None:
    files = runtime.sources()
    sleeping = runtime.runtime_directory() / runtime.SLEEPING
    objects = runtime._compile(["cc"], files, tmp_path)
    asleep: set[str] = set()
    wanted: set[str] = set()
    for file, path in zip(files, objects, strict=True):
        symbols = [s for s in elf.read(path).symbols() if not s.local]
        if sleeping in file.parents:
            asleep |= {s.name for s in symbols if s.defined and s.type == elf.STT_FUNC}
        else:
            wanted |= {s.name for s in symbols if not s.defined}
    assert asleep & wanted == set(KNOWN)
