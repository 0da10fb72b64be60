"""The builds that were deployed, kept where they were deployed: a rollback needs nothing else.

Each is an archive in the bucket of the CDK bootstrap, named after its commit and its digest.
"""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.shared.assembly import Build, NoBuild
from operations.shared.bootstrap_bucket import REFUSED_WRITES, BootstrapBucket, error_code
from operations.shared.environment import DeployedEnvironment
from operations.shared.records import Record

_MISSING: Final = frozenset({"NoSuchKey", "AccessDenied"})
"""Without the right to list a bucket, S3 answers 403 for a key that does not exist."""


class NotKept(Exception):
    """The build of a deployment cannot be had. The text says why."""


def store(environment: DeployedEnvironment, build: Build) -> None:
    """Keep a build in the account of an environment, unless it is there already.

    Raises `ClientError`.
    """
    with tempfile.TemporaryFile() as archive:
        _pack(build, archive)
        archive.seek(0)
        try:
            BootstrapBucket(environment).put(
                _key(build.manifest.commit, build.manifest.digest), Body=archive, IfNoneMatch="*"
            )
        except ClientError as error:
            if error_code(error) not in REFUSED_WRITES:
                raise


@contextmanager
def stored(environment: DeployedEnvironment, record: Record) -> Iterator[Build]:
    """Fetch the build of a deployment into a temporary folder. Raises `NotKept`."""
    if record.digest is None:
        raise NotKept("it was deployed before builds were kept")
    with tempfile.TemporaryDirectory(prefix="rollback-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        try:
            answer = BootstrapBucket(environment).get(_key(record.commit, record.digest))
            archive = folder / "build.zip"
            archive.write_bytes(answer["Body"].read())
            _unpack(archive, folder)
            build = Build.read(folder)
        except ClientError as error:
            missing = error_code(error) in _MISSING
            raise NotKept("its build is not kept" if missing else str(error)) from error
        except (BotoCoreError, OSError, zipfile.BadZipFile, NoBuild) as error:
            raise NotKept(f"its build cannot be read ({error})") from error
        if build.manifest.digest != record.digest or not build.is_intact():
            raise NotKept("what is kept of it is not what was deployed")
        yield build


def _key(commit: str, digest: str) -> str:
    return f"builds/{commit}-{digest}.zip"


def _pack(build: Build, archive: IO[bytes]) -> None:
    """Write an archive of what belongs to the build, without what a deployment added."""
    folder = build.assembly.folder
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(folder.parent / "manifest.json", "manifest.json")
        for path in build.assembly.files():
            packed.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            # Lambda runs as another user, who must be able to read the code.
            Path(packed.extract(name, folder)).chmod(0o644)
