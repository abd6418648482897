"""The part of the build that needs code; everything declarative is in pyproject.toml."""

import sys
import sysconfig

from setuptools import setup

# One wheel for every CPython from 3.11; free-threaded builds and PyPy have no stable ABI.
GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")
STABLE_ABI = GIL and sys.implementation.name == "cpython"

setup(
    cffi_modules=["csrc/build_native.py:ffi"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
