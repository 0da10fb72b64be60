"""Builds the folder that becomes the code of every Lambda function, without Docker.

The same source and lock file give the same bytes on every machine, and so the same asset hash in
every environment.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

PYTHON_VERSION: Final = "3.14"
PLATFORM: Final = "aarch64-manylinux2014"

_ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = _ROOT / "lambdas"
LOCK: Final = SOURCE / "requirements.txt"
BUILD: Final = _ROOT / "build"


def build_bundle(*, dependencies: bool = True, build: Path = BUILD) -> Path:
    """Build the bundle below `build`, in a folder named after what goes into it, and return it.

    Without `dependencies` it holds only the source. With them, it runs only on arm64. They are
    installed again, from the network, only when the lock file has changed.
    Raises subprocess.CalledProcessError if an installation fails.
    """
    installed = _dependencies(build) if dependencies else None

    def fill(folder: Path) -> None:
        if installed is not None:
            shutil.copytree(installed, folder, dirs_exist_ok=True)
        for path in _source_files():
            copy = folder / SOURCE.name / path.relative_to(SOURCE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

    digest = hashlib.sha256(installed.name.encode() if installed else b"")
    for path in _source_files():
        digest.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes() + b"\0")
    parent = build / ("bundle" if dependencies else "source")
    known = (parent / _folder_name(digest.hexdigest())).exists()
    built = _built_once(parent, digest.hexdigest(), fill)
    if not known:
        # Not on standard output, where `cdk synth` prints a template.
        print(f"bundle: {size(built) / 1e6:.1f} MB, in {built}", file=sys.stderr)  # noqa: T201
    return built


def size(bundle: Path) -> int:
    """How many bytes the files of a bundle hold, unpacked."""
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
    """The folder for this digest. Fill it first if it does not exist yet.

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
