"""The structure of the package: names that mean one thing, no import circles, files and functions of a readable size."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from fruitscale.display.events import STAGES
from fruitscale.runs.record import StageSeconds

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fruitscale"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES, MOST_ROOT_MODULES = 400, 50, 6


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_the_root_has_few_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ROOT_MODULES


def test_no_two_modules_have_the_same_name() -> None:
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if path.name != "__init__.py":
            by_name[path.stem].append(_module(path))
    assert {name: modules for name, modules in by_name.items() if len(modules) > 1} == {}


def test_no_two_classes_have_the_same_name() -> None:
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                by_name[node.name].append(_module(path))
    assert {name: modules for name, modules in by_name.items() if len(modules) > 1} == {}


def test_no_subpackage_hides_a_public_name() -> None:
    """Importing `fruitscale.erase.x` would replace the function `fruitscale.erase` by the subpackage."""
    import fruitscale

    assert not {path.stem for path in PACKAGE.iterdir()} & set(fruitscale.__all__)


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES
    functions = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length >= MOST_FUNCTION_LINES} == {}


def test_no_import_circle() -> None:
    """Imports inside functions and for type checkers count too, which import-linter's layers leave out."""
    imports = {_module(path): set(_imports(path)) for path in FILES}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module not in done:
            for imported in sorted(imports[module]):
                visit(imported, (*above, module))
            done.add(module)

    for module in imports:
        visit(module, ())


def _imports(path: Path) -> Iterator[str]:
    modules = {_module(file) for file in FILES}
    for node in ast.walk(_tree(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parent = name.rpartition(".")[0]
            found = name if name in modules else parent if parent in modules else None
            if found is not None and found != _module(path):
                yield found


def test_a_record_times_the_stages_in_the_order_of_the_one_list() -> None:
    *timed, total = StageSeconds.model_fields
    assert timed == [stage for stage in STAGES if stage not in ("finish", "report")]  # these follow the record
    assert total == "total"
