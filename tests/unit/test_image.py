"""What an image says of itself is what the runtime's header reads there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from upstare.build import image_source
from upstare.driver.runtime import include_directory
from upstare.model.unit import Options
from upstare.release import ABI

READER = r"""
#include <stdio.h>
#include "upstare_abi.h"
extern const struct upstare_image_info upstare_image_self __attribute__((visibility("hidden")));
int main(void) {
  const struct upstare_image_info *i = &upstare_image_self;
  printf("%u %u %u|%s|%s|", i->abi, i->scheme, i->apart, i->program, i->version);
  for (unsigned n = 0; n < sizeof i->build; n++) printf("%02x", i->build[n]);
  return sizeof *i != 64;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("options", [Options(), Options(scheme="flag", clones=False)], ids=["trap", "flag, apart"])
def test_image_source(options: Options, compiler: str, tmp_path: Path) -> None:
    build, program, version = bytes(range(200, 232)).hex(), 'a "program" \\ é\n', "1.0 \udcff %s"
    (tmp_path / "image.s").write_text(image_source(build, program, version, options))
    (tmp_path / "main.c").write_text(READER)
    command = [compiler, "-Werror", f"-I{include_directory()}", "main.c", "image.s", "-o", "read"]
    subprocess.run(command, check=True, cwd=tmp_path)
    done = subprocess.run([tmp_path / "read"], capture_output=True, check=True)
    scheme, apart = int(options.scheme == "flag"), int(not options.clones)
    expected = f"{ABI} {scheme} {apart}|{program}|{version}|{build}"
    assert done.stdout == expected.encode(errors="surrogateescape")
