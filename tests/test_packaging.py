"""What is installed is what is on disk, and nothing else."""

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ltxvfs.backends.registry import EXTRAS, GROUP

ROOT = Path(__file__).resolve().parents[1]
# Where the name to import is not the name to install.
DISTRIBUTIONS = {
    "azure": "azure-storage-blob",
    "google": "google-cloud-storage",
    "google_crc32c": "google-crc32c",
    "nats": "nats-py",
    "yaml": "PyYAML",
}
FOLDERS = {"vfs": "ltxvfs", "core": "ltxvfs.core", "backends": "ltxvfs.backends"}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(code: str) -> str:
    """Run *code* away from the repository root, as an installed user would."""
    argv = [sys.executable, "-I", "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def packages_on_disk() -> set[str]:
    inits = [(f, p.parent) for f in FOLDERS for p in (ROOT / f).rglob("__init__.py")]
    return {".".join([FOLDERS[f], *d.relative_to(ROOT / f).parts]) for f, d in inits}


def native_module() -> str:
    return python("from ltxvfs.core import _native; print(_native.__file__)")


def test_every_package_is_declared() -> None:
    assert set(project()["tool"]["setuptools"]["packages"]) == packages_on_disk()


def test_every_extra_is_in_all() -> None:
    extras = project()["project"]["optional-dependencies"]
    named = extras["all"][0].removeprefix("ltxvfs[").removesuffix("]").split(",")
    assert set(named) == set(extras) - {"all", "dev"}


def test_every_scheme_has_an_extra() -> None:
    schemes = set(project()["project"]["entry-points"][GROUP]) - {"file", "memory"}
    extras = project()["project"]["optional-dependencies"]
    assert {EXTRAS.get(scheme, scheme) for scheme in schemes} <= set(extras)


def third_party_imports() -> set[str]:
    # The stores' conformance suite is for who has the test tools anyway.
    paths = [p for f in FOLDERS for p in (ROOT / f).rglob("*.py") if p.name != "testing.py"]
    trees = [ast.parse(p.read_text()) for p in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"ltxvfs"}


def test_every_import_is_a_declared_dependency() -> None:
    extras = project()["project"]["optional-dependencies"]
    users = [lines for name, lines in extras.items() if name not in ("all", "dev")]
    lines = [*project()["project"]["dependencies"], *(line for extra in users for line in extra)]
    declared = {re.split(r"[^\w-]", line)[0] for line in lines}
    assert {DISTRIBUTIONS.get(name, name) for name in third_party_imports()} <= declared


@pytest.mark.parametrize("name", ["vfs", "core", "backends", "csrc"])
def test_no_stray_top_level_module(name: str) -> None:
    assert python(f"import importlib.util as u; print(u.find_spec({name!r}))") == "None"


def test_types_are_shipped() -> None:
    files = "import importlib.resources as r; print((r.files('ltxvfs') / 'py.typed').is_file())"
    assert python(files) == "True"


def test_core_pulls_in_no_upper_floor() -> None:
    loaded = python("import sys, ltxvfs.core._native; print(*sys.modules)").split()
    allowed = {"ltxvfs", "ltxvfs.core"}
    ours = {m for m in loaded if m.split(".")[0] == "ltxvfs" and not m.startswith("ltxvfs.core.")}
    assert ours == allowed


def test_the_native_module_exports_only_its_two_doors() -> None:
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", native_module()], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    exported = {name for line in lines if (name := line.split()[-1]) not in ("_init", "_fini")}
    assert "PyInit__native" in exported
    assert exported <= {"PyInit__native", "sqlite3_ltxvfs_init"}


@pytest.mark.slow
def test_the_sdist_holds_what_a_build_needs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", tmp_path, ROOT],
        capture_output=True,
        check=True,
    )
    (archive,) = tmp_path.glob("ltxvfs-*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "csrc").iterdir() if p.is_file()}
    assert sources | {"setup.py", "vfs/py.typed", "core/_native.pyi", "LICENSE"} <= names
