"""Builds the folder that becomes the code of every Lambda function. Needs no Docker.

The same source and the same lock give the same bytes on every machine, and so the same asset hash
in every environment.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PYTHON_VERSION: Final = "3.14"
PLATFORM: Final = "aarch64-manylinux2014"

_ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = _ROOT / "lambdas"
LOCK: Final = SOURCE / "requirements.txt"
BUILD: Final = _ROOT / "build"


def build_bundle(*, dependencies: bool, build: Path = BUILD) -> Path:
    """Build the bundle below `build` and return its folder.

    Without `dependencies` it holds the source alone. With them it is good for arm64 functions only;
    they are installed again only if the lock has changed, which alone needs the network.
    Raises subprocess.CalledProcessError if an installation fails.
    """
    target = build / ("bundle" if dependencies else "source")
    with _replacing(target) as fresh:
        if dependencies:
            shutil.copytree(_dependencies(build), fresh, dirs_exist_ok=True)
        shutil.copytree(
            SOURCE,
            fresh / SOURCE.name,
            ignore=shutil.ignore_patterns("__pycache__", LOCK.name, "requirements.in"),
        )
    return target


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which then becomes `target`: whole, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    fresh.chmod(0o755)
    try:
        yield fresh
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _dependencies(build: Path) -> Path:
    """Install what the lock names, once for each lock, and return the folder."""
    recipe = f"{PYTHON_VERSION} {PLATFORM}\n{LOCK.read_text()}"
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    target = build / "dependencies" / digest
    if not target.exists():
        with _replacing(target) as fresh:
            _install(fresh)
            _strip(fresh)
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
    """Remove what the installer adds: it names the machine, and differs from one to the next."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    for metadata in folder.glob("*.dist-info"):
        for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"):
            (metadata / name).unlink(missing_ok=True)
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
