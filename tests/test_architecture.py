"""The house rules that a program can check; import-linter (make lint) keeps the floors apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(p for f in ("vfs", "core", "backends") for p in (ROOT / f).rglob("*.py"))
C_FILES = sorted((ROOT / "csrc").glob("*.[ch]"))
LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Who may import what: everybody else goes through these.
ONLY = {
    "_native": ("core/kernels.py", "vfs/door"),
    "asyncssh": ("backends/sftp/",),
    "azure": ("backends/azure/",),
    "boto3": ("backends/s3/client.py",),
    "botocore": ("backends/s3/client.py",),
    "cryptography": ("backends/age/",),
    "google": ("backends/gcs/",),
    "httpx": ("backends/webdav/",),
    "nats": ("backends/nats/",),
    "apsw": ("vfs/api.py", "vfs/integrity.py", "vfs/cli/version.py"),
    "click": ("vfs/cli/",),
    "rich": ("vfs/cli/",),
}


def imported(path: Path) -> Iterator[str]:
    """Every name a module imports: the module's first part, and names taken from a package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]
            yield from (alias.name for alias in node.names)


def c_blocks(text: str) -> Iterator[int]:
    """The number of lines of every function, from the brace in or after its head to its end."""
    begun = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{" or (line.endswith(") {") and not line[0].isspace()):
            begun = number
        elif line == "}" and begun:
            yield number - begun
            begun = 0


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_named_modules_import_the_library(path: Path) -> None:
    reserved = {module for module, homes in ONLY.items() if not name_of(path).startswith(homes)}
    assert not reserved & set(imported(path))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for_and_stays_small(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    long = {f.name for f in functions if (f.end_lineno or 0) - f.lineno >= FUNCTION_LINES_MAX}
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= LINES_MAX
    assert not long


@pytest.mark.parametrize("path", C_FILES, ids=name_of)
def test_a_c_file_and_its_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    assert all(lines <= FUNCTION_LINES_MAX for lines in c_blocks(text))
