"""What is installed is locked with hashes, and whoever deploys installs only what that needs."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOCKS = ("requirements.txt", "requirements-dev.txt", "lambdas/requirements.txt")
DEPLOYING = (
    "build",
    "deploy",
    "diff",
    "import",
    "promote",
    "replay",
    "restore",
    "rollback",
    "smoke",
)


def locked(lock: str) -> list[str]:
    """The requirements of a lock file, each with its hashes."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", (ROOT / lock).read_text())
    return re.split(r"\n(?=\S)", text.strip())


def names(lock: str) -> set[str]:
    """The distributions that a lock file pins, in their normalized spelling."""
    return {normalized(each.partition("==")[0]) for each in locked(lock)}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_locked_to_a_version_with_hashes(lock: str) -> None:
    for requirement in locked(lock):
        assert re.match(r"[\w.-]+==[\w.]+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement
    wanted = re.findall(r"(?m)^\w[\w-]*", (ROOT / lock).with_suffix(".in").read_text())
    assert {normalized(each) for each in wanted} <= names(lock)


def test_the_runtime_brings_boto3_not_the_bundle() -> None:
    assert not [name for name in names("lambdas/requirements.txt") if name.startswith("boto")]


def test_the_locks_work_with_any_package_index() -> None:
    for lock in LOCKS:
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert "index-url" not in text
    node = json.loads((ROOT / "package-lock.json").read_text())
    assert not [package for package in node["packages"].values() if "resolved" in package]


def test_deploying_needs_no_package_of_npm_but_the_cdk_cli() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    assert package["dependencies"].keys() == {"aws-cdk"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["dependencies"]["aws-cdk"])


def test_the_readme_and_npm_ask_for_the_same_node() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    wanted = re.fullmatch(r">=(\d+)", package["engines"]["node"])
    assert wanted is not None
    assert f"Node {wanted[1]} or newer" in (ROOT / "README.md").read_text()


def test_the_set_up_installs_nothing_without_its_hash() -> None:
    plan = planned("--always-make", "setup", "tools")
    pip = [line for line in plan if "pip install" in line]
    assert len(pip) == 2
    assert not [line for line in pip if "--require-hashes" not in line]
    npm = [line for line in plan if line.startswith("npm ")]
    assert npm
    assert not [line for line in npm if not line.startswith("npm ci ")]


@pytest.mark.parametrize("verb", [*DEPLOYING, "test"])
def test_verbs_that_deploy_install_only_what_deploying_needs(verb: str) -> None:
    """As if that were installed, and all else were not."""
    (described,) = re.findall(rf"(?m)^{verb}:.*## .*", (ROOT / "Makefile").read_text())
    names = ("ENVIRONMENT", "FROM", "TO", "FILE", "RESTORED")
    given = [f"{name}=e" for name in names if re.search(rf"\b{name}=", described)]
    plan = planned(
        *("--old-file=.venv/.tools", "--old-file=node_modules/.tools"),
        *("--what-if=requirements-dev.txt", "--what-if=package-lock.json", verb, *given),
    )
    installs = [line for line in plan if "pip install" in line or line.startswith("npm ")]
    assert bool(installs) == (verb not in DEPLOYING)


def test_what_deploys_imports_only_what_deploying_needs() -> None:
    pinned = names("requirements.txt")
    provided_by = packages_distributions()
    imported = third_party([ROOT / "app.py", *(ROOT / "operations").rglob("*.py")])
    assert {"aws_cdk", "boto3", "websockets"} <= imported.keys()
    missing = {
        module: importers
        for module, importers in imported.items()
        if not pinned & {normalized(each) for each in provided_by.get(module, [])}
    }
    assert missing == {}, "requirements.in does not bring these modules, which the files import"


def third_party(files: list[Path]) -> dict[str, set[str]]:
    """Which modules of others these files import, themselves or through ours.

    What a function of `lambdas` imports when it is called is left out: `lambdas/bootstrap.py` names
    the parts of all functions that way, and no verb builds them.
    """
    found: dict[str, set[str]] = {}
    seen: set[Path] = set()
    while files:
        file = files.pop()
        if file in seen:
            continue
        seen.add(file)
        everywhere = not file.is_relative_to(ROOT / "lambdas")
        for name in imports(ast.parse(file.read_text()), everywhere=everywhere):
            first = name.partition(".")[0]
            path = ROOT.joinpath(*name.split("."))
            if (ROOT / first).is_dir():
                candidates = (path.with_suffix(".py"), path / "__init__.py")
                files.extend(each for each in candidates if each.exists())
            elif first not in sys.stdlib_module_names:
                found.setdefault(first, set()).add(str(file.relative_to(ROOT)))
    return found


def imports(tree: ast.AST, *, everywhere: bool) -> Iterator[str]:
    """Yield what a module imports, without what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node, everywhere=everywhere)


def test_the_package_and_the_readme_agree_on_the_license_and_on_node() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    readme = (ROOT / "README.md").read_text()
    assert "Apache License\n" in (ROOT / "LICENSE").read_text()
    assert "[Apache License 2.0](LICENSE)" in readme
    assert package["license"] == "Apache-2.0"
    (oldest,) = re.findall(r"Node (\d+) or newer", readme)
    assert package["engines"]["node"] == f">={oldest}"
    locked_package = json.loads((ROOT / "package-lock.json").read_text())["packages"][""]
    for name in ("license", "engines"):
        assert locked_package[name] == package[name]


def test_no_warning_of_node_buries_what_a_verb_says() -> None:
    """Node 20 works, and the CDK warns of it on each import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JSII_")}
    done = subprocess.run(
        [sys.executable, "-c", "import infra, aws_cdk; print('imported')"],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        check=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("imported\n", "")


def planned(*arguments: str) -> list[str]:
    """The commands that `make` would run."""
    plan = subprocess.run(
        ["make", "--just-print", *arguments], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return plan.stdout.replace("\\\n", " ").splitlines()
