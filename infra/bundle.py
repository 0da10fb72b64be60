"""Builds the folder that becomes the code of every Lambda function, without Docker.

The same source and lock file give the same bytes on every machine, and so the same asset hash in
every environment. With bytecode, the version of the Python that compiles it counts too.
"""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PYTHON_VERSION: Final = "3.14"
PLATFORM: Final = "aarch64-manylinux2014"

_ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = _ROOT / "lambdas"
LOCK: Final = SOURCE / "requirements.txt"
BUILD: Final = _ROOT / "build"


UNPACKED: Final = Path("/var/task")
"""Where Lambda unpacks a bundle."""


class NoInterpreter(Exception):
    """The Python that can compile the bundle is not here. The message says how to get it."""


@dataclass(frozen=True)
class Interpreter:
    """A CPython that compiles bytecode."""

    executable: str
    version: str
    """All of it, like `3.14.2`: another patch release may compile to other bytes."""

    @classmethod
    def find(cls, version: str) -> Self:
        """Find a release of CPython on this machine. Raises `NoInterpreter`."""
        if not re.fullmatch(re.escape(PYTHON_VERSION) + r"\.\d+", version):
            raise NoInterpreter(
                f"BYTECODE in infra/environments.py must be a release of CPython {PYTHON_VERSION},"
                f" the version of the Lambda runtime, like '{PYTHON_VERSION}.2', is {version!r}"
            )
        found = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            [
                *(sys.executable, "-m", "uv", "python", "find", f"cpython@{version}"),
                *("--no-python-downloads", "--no-project"),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if found.returncode != 0:
            raise NoInterpreter(
                f"BYTECODE in infra/environments.py takes CPython {version}, which is not on this"
                f" machine: run `uv python install {version}`, or set BYTECODE to None"
            )
        return cls(found.stdout.strip(), version)

    @classmethod
    def running(cls) -> Self:
        """The Python that runs this."""
        return cls(sys.executable, platform.python_version())


def build_bundle(
    *, dependencies: bool, interpreter: Interpreter | None = None, build: Path = BUILD
) -> Path:
    """Build the bundle below `build`, in a folder named after what goes into it, and return it.

    Without `dependencies` it holds only the source. With them, it runs only on arm64. They are
    installed again, from the network, only when the lock file has changed. The bundle brings
    bytecode if there is an `interpreter` to compile it; otherwise each cold start compiles it.
    Raises subprocess.CalledProcessError if an installation or the compiler fails.
    """
    installed = _dependencies(build) if dependencies else None

    def fill(folder: Path) -> None:
        if installed is not None:
            shutil.copytree(installed, folder, dirs_exist_ok=True)
        for path in _source_files():
            copy = folder / SOURCE.name / path.relative_to(SOURCE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        if interpreter is not None:
            compile_bytecode(folder, interpreter)

    digest = hashlib.sha256(installed.name.encode() if installed else b"")
    if interpreter is not None:
        digest.update(f"bytecode of {interpreter.version}\0".encode())
    for path in _source_files():
        digest.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes() + b"\0")
    parent = build / ("bundle" if dependencies else "source")
    known = (parent / _folder_name(digest.hexdigest())).exists()
    built = _built_once(parent, digest.hexdigest(), fill)
    if not known:
        # Not on standard output, where `cdk synth` prints a template.
        compiled = f"bytecode of {interpreter.version}" if interpreter else "no bytecode"
        print(f"bundle: {size(built) / 1e6:.1f} MB, {compiled}, in {built}", file=sys.stderr)  # noqa: T201
    return built


def compile_bytecode(folder: Path, interpreter: Interpreter) -> None:
    """Compile all modules of a folder. Lambda loads the bytecode without looking at the source.

    It holds no path and no time of this machine.
    Raises subprocess.CalledProcessError if something cannot be compiled.
    """
    subprocess.run(  # noqa: S603 - nothing in it comes from outside
        [
            *(interpreter.executable, "-P", "-s", "-S", "-m", "compileall", "-q"),
            *("--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder), "-p", str(UNPACKED), str(folder)),
        ],
        # Otherwise the order of constants could change from one run to the next.
        env={"PYTHONHASHSEED": "0"},
        check=True,
    )


def size(bundle: Path) -> int:
    """Return how many bytes the files of a bundle hold, unpacked."""
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def _folder_name(digest: str) -> str:
    return digest[:16]


def _source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def _dependencies(build: Path) -> Path:
    """Install what the lock names, and return the folder."""
    recipe = f"{PYTHON_VERSION} {PLATFORM}\n{LOCK.read_text()}"
    digest = hashlib.sha256(recipe.encode()).hexdigest()

    def fill(folder: Path) -> None:
        _install(folder)
        _strip(folder)

    return _built_once(build / "dependencies", digest, fill)


def _built_once(parent: Path, digest: str, fill: Callable[[Path], None]) -> Path:
    """Return the folder for this digest. Fill it first if it does not exist yet.

    It is complete as soon as it exists, and never changes, so several syntheses can share it.
    """
    target = parent / _folder_name(digest)
    if target.exists():
        return target
    parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    fresh.chmod(0o755)
    try:
        fill(fresh)
        fresh.rename(target)
    except OSError:
        # Another process may have been faster. Its folder holds the same.
        if not target.exists():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _install(into: Path) -> None:
    subprocess.run(  # noqa: S603 - nothing in it comes from outside
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet"),
            *("--target", str(into), "--requirement", str(LOCK)),
            *("--python-version", PYTHON_VERSION, "--python-platform", PLATFORM),
            *("--only-binary", ":all:", "--require-hashes", "--no-deps"),
            *("--no-compile-bytecode", "--link-mode", "copy"),
        ],
        check=True,
    )


def _strip(folder: Path) -> None:
    """Remove what the installer adds about this machine."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    for metadata in folder.glob("*.dist-info"):
        for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"):
            (metadata / name).unlink(missing_ok=True)
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
