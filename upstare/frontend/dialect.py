"""Which C a unit is written in, as far as libclang must know: its arguments for the text of the real preprocessor."""

from __future__ import annotations

from collections.abc import Sequence

_ALWAYS = (
    "-x", "c", "-undef", "-w", "-ferror-limit=0", "-D_Float32=float", "-D_Float64=double", "-D_Float32x=double",
    "-D_Float64x=long double", "-D_Float128=long double", "-D__malloc__(...)=",
    "-Wno-implicit-function-declaration", "-Wno-implicit-int", "-Wno-int-conversion",
    "-Wno-incompatible-function-pointer-types",
)  # fmt: skip

# gcc's <stdatomic.h> uses operations that clang does not let work on _Atomic types.
_PLAIN_ATOMICS = "-D_Atomic="

# These change what words mean, or how large things are.
_MEANING = frozenset(
    "-funsigned-char -fno-unsigned-char -fsigned-char -fno-signed-char -fshort-enums -fno-short-enums "
    "-fshort-wchar -fno-short-wchar -fms-extensions -fno-ms-extensions -fasm -fno-asm -mlong-double-64 "
    "-mlong-double-80 -mlong-double-128 -malign-double -mms-bitfields -mno-ms-bitfields -fgnu89-inline".split()
)


def parse_arguments(flags: Sequence[str], text: bytes) -> list[str]:
    """The arguments with which libclang reads a unit as the compiler with ``flags`` does."""
    arguments = list(_ALWAYS)
    if b"__c11_atomic_" not in text:
        arguments.append(_PLAIN_ATOMICS)
    standard = [f for f in flags if f.startswith(("-std=", "--std=")) or f == "-ansi"]
    if any(s == "-ansi" or s.endswith(("89", "90", "iso9899:199409")) for s in standard):
        arguments.append("-fgnu89-inline")
    arguments += standard or ["-std=gnu17"]
    for flag in flags:
        if flag in _MEANING or flag.startswith("-fpack-struct"):
            arguments.append(flag)
        elif flag == "-fplan9-extensions":
            arguments.append("-fms-extensions")
    return arguments
