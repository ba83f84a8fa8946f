"""The house: what is packaged, which way imports point, what an import does."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
ALLOWED = {
    "screening": {"screening"},
    "stores": {"screening", "stores"},
    "analysis": {"screening", "stores", "analysis"},
    "workflows": {"screening", "stores", "analysis", "workflows"},
}


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def test_every_package_is_installed():
    found = {
        ".".join(("rocksalt", *init.parent.relative_to(ROOT).parts))
        for folder in ALLOWED
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(SETUPTOOLS["packages"])
    for package, folder in SETUPTOOLS["package-dir"].items():
        assert package == f"rocksalt.{folder}"
    assert set(SETUPTOOLS["package-dir"].values()) == set(ALLOWED)


@pytest.mark.parametrize("folder", ALLOWED)
def test_every_folder_of_modules_is_a_package_and_typed(folder):
    assert (ROOT / folder / "py.typed").exists()
    for path in modules(folder):
        assert (path.parent / "__init__.py").exists(), path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, node.module or ""
            if node.module == "rocksalt":
                yield from ((node.lineno, f"rocksalt.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_one_way(folder):
    wrong = []
    for path in modules(folder):
        for line, name in imported(path):
            first, *rest = name.split(".")
            other = first == "rocksalt" and rest and rest[0] not in ALLOWED[folder]
            if first in ALLOWED or other:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert wrong == []


def test_imports_are_found_by_the_test_above(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import json\ndef f():\n    from rocksalt import stores\n    import rocksalt.analysis.x\n"
    )
    assert [name for _, name in imported(path)] == [
        "json",
        "rocksalt",
        "rocksalt.stores",
        "rocksalt.analysis.x",
    ]


def printed_by(code, folder):
    """Return what a fresh interpreter prints that knows nothing of this one's surroundings."""
    environment = {"HOME": str(folder), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


HEAVY = {
    *("ase", "atomate2", "chgnet", "emmet", "gpaw", "matplotlib", "networkx", "pandas", "pymatgen"),
    *("scipy", "sevenn", "spglib", "sympy", "torch"),
}
"""Packages that take long to import."""

OTHER_STORES = {"boto3", "jobflow", "maggma.stores", "paramiko"}
"""What only writing, or a store that is no file, needs."""


def test_importing_the_command_line_loads_little_and_writes_nothing(tmp_path):
    code = (
        "import sys, rocksalt.workflows.cli; "
        f"heavy = {HEAVY | {'jobflow', 'maggma', 'numpy', 'pydantic'}}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert printed_by(code, tmp_path) == "[]\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], {*HEAVY, "jobflow", "maggma", "numpy"}),
        (["status"], HEAVY | OTHER_STORES | {"maggma", "mongomock_ng", "numpy", "pymongo"}),
        (
            ["query", "--role", "mixture", "--state", "done"],
            HEAVY | OTHER_STORES | {"maggma", "mongomock_ng", "numpy", "pymongo"},
        ),
        (["results"], {"emmet.core.structure", "matplotlib", "pandas", "sympy", "torch"}),
    ],
)
def test_a_command_that_looks_into_a_store_loads_little(arguments, heavy, tmp_path, finished_file):
    shutil.copy(finished_file, tmp_path / "results.sqlite")
    code = f"""
import sys
from rocksalt.workflows.cli import main

try:
    main({arguments})
except SystemExit as end:
    assert not end.code
print("loaded:", sorted({heavy} & set(sys.modules)))
"""
    answer = printed_by(code, tmp_path)
    assert "small" in answer or "Ti" in answer or "rocksalt run" in answer
    assert answer.endswith("loaded: []\n")


def test_importing_everything_that_runs_a_campaign_loads_no_torch(tmp_path):
    code = (
        "import sys, rocksalt.workflows.run, rocksalt.workflows.makers, rocksalt.workflows.report; "
        "print(sorted({'torch', 'chgnet', 'sevenn'} & set(sys.modules)))"
    )
    assert printed_by(code, tmp_path) == "[]\n"
