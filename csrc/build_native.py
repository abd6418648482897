"""Describe the C core to cffi (API mode).

Run by setuptools through ``cffi_modules``; the paths are relative to the repository root.
Each ``NAME.cdef.h`` is what Python may call of ``NAME.h``.
"""

import os
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
CDEFS = sorted(HERE.glob("*.cdef.h"))

FLAGS = ["-O3", "-std=gnu11", "-Wall", "-Wextra", "-fvisibility=hidden"]
# What cffi generates is not ours to mend: its warnings are silenced, ours are not.
FLAGS += ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]
if os.environ.get("LTXVFS_WERROR"):
    FLAGS.append("-Werror")
SANITIZE = os.environ.get("LTXVFS_SANITIZE", "")
LINK = []
if SANITIZE:
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g", "-O1"]
    LINK += [f"-fsanitize={SANITIZE}"]

ffi = FFI()
for path in CDEFS:
    ffi.cdef(path.read_text())
ffi.set_source(
    "ltxvfs.core._native",
    "".join(f'#include "{path.name.replace(".cdef.h", ".h")}"\n' for path in CDEFS),
    sources=[f"csrc/{path.name}" for path in sorted(HERE.glob("*.c"))],
    include_dirs=["csrc"],
    depends=[f"csrc/{path.name}" for path in sorted(HERE.glob("*.h"))],
    libraries=["lz4", "pthread"],
    extra_compile_args=FLAGS,
    extra_link_args=LINK,
)
