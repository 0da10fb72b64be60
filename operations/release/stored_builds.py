"""The builds that were deployed, kept where they were deployed: a rollback needs nothing else.

Each is an archive in the bucket of the CDK bootstrap, named after its commit and its digest.
"""

import io
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from botocore.exceptions import BotoCoreError, ClientError

from operations.release.assembly import Build, NoBuild
from operations.release.bootstrap_bucket import FOLDER, REFUSED_WRITES, BootstrapBucket
from operations.release.records import Record
from operations.shared.environment import DeployedEnvironment, error_code
from operations.shared.verbs import CannotBegin


class NotKept(Exception):
    """The build of a deployment is not kept. The text says why."""


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
    """Fetch the build of a deployment into a temporary folder.

    Raises `NotKept`, and `CannotBegin` if it may be kept and cannot be read now: a rollback must
    not go further back for that.
    """
    if record.digest is None:
        raise NotKept("it was deployed before builds were kept")
    key = _key(record.commit, record.digest)
    try:
        content, _ = BootstrapBucket(environment).get(key)
    except ClientError as error:
        if error_code(error) == "NoSuchKey":
            raise NotKept("its build is not kept") from error
        raise _unreadable(key, error) from error
    except BotoCoreError as error:
        raise _unreadable(key, error) from error
    with tempfile.TemporaryDirectory(prefix="rollback-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        try:
            _unpack(content, folder)
            build = Build.read(folder)
        except (zipfile.BadZipFile, NoBuild) as error:
            raise NotKept(f"what is kept of it is damaged ({error})") from error
        if build.manifest.digest != record.digest or not build.is_intact():
            raise NotKept("what is kept of it is not what was deployed")
        yield build


def _unreadable(key: str, error: Exception) -> CannotBegin:
    return CannotBegin(
        f"the kept build {FOLDER}/{key} cannot be read: {error}. docs/deploying.md lists the"
        " permissions"
    )


def _key(commit: str, digest: str) -> str:
    return f"builds/{commit}-{digest}.zip"


def _pack(build: Build, archive: IO[bytes]) -> None:
    """Write an archive of what belongs to the build, without what a deployment added."""
    folder = build.assembly.folder
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(folder.parent / "manifest.json", "manifest.json")
        for path in build.assembly.files():
            packed.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")


def _unpack(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        for name in packed.namelist():
            # Lambda runs as another user, who must be able to read the code.
            Path(packed.extract(name, folder)).chmod(0o644)
