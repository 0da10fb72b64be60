"""The lock of an environment: one deployment or smoke test at a time, whoever starts it.

It is an object in the bucket of the CDK bootstrap. S3 writes it only if it is still the one that
was read (`If-Match`), so of two that want it at the same moment, one gets it. Its holder renews it
once a minute. One that has crashed stops doing so, and after five minutes anybody may take it.
"""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.shared.bootstrap_bucket import REFUSED_WRITES, BootstrapBucket, error_code
from operations.shared.environment import DeployedEnvironment
from operations.shared.exit_codes import CannotBegin, DeploymentFailed, Refused

LEASE_SECONDS: Final = 300
"""How long a lock holds after it was last written."""

RENEWAL_SECONDS: Final = 60

_ATTEMPTS: Final = 3
"""S3 refuses a write that meets another one, and the SDK repeats one that was not answered."""


class LockLost(DeploymentFailed):
    """Another deployment has the lock now. What this one did is not recorded."""


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """What the object says. The names are its interface."""

    id: str | None
    """None if nobody holds the lock."""
    by: str
    """The ARN of the holder."""
    since: str
    """ISO 8601, UTC."""
    what: str
    """What the holder does."""
    leaseSeconds: int  # noqa: N815
    renewals: int = 0
    """How often the lock was renewed. Each renewal must change the object, and so its ETag: a lock
    that is renewed at the last moment cannot be taken over.
    """


@dataclass(frozen=True)
class _Found:
    """The lock as another deployment left it."""

    holder: _Holder
    etag: str
    free_at: datetime
    now: datetime
    """The time by S3's clock, which is the same for everybody."""

    @property
    def is_free(self) -> bool:
        return self.holder.id is None or self.free_at <= self.now


class DeploymentLock:
    """A lock that this process holds, until `release`."""

    def __init__(self, bucket: BootstrapBucket, key: str, holder: _Holder, etag: str) -> None:
        self._bucket: Final = bucket
        self._key: Final = key
        self._holder = holder
        self._etag = etag
        self._writing: Final = threading.Lock()

    def confirm(self) -> None:
        """Renew the lock: for the next five minutes, nobody else can take it. Raises `LockLost`."""
        with self._writing:
            self._holder = replace(self._holder, renewals=self._holder.renewals + 1)
            self._write(self._holder)

    def release(self) -> None:
        """Let others take the lock. Does nothing if another deployment has it already."""
        with self._writing, suppress(LockLost, BotoCoreError, ClientError):  # it ends by itself
            self._write(replace(self._holder, id=None))

    def _write(self, wanted: _Holder) -> None:
        for _ in range(_ATTEMPTS):
            try:
                self._etag = _put(self._bucket, self._key, wanted, IfMatch=self._etag)
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    raise LockLost("somebody deleted the lock: nothing more is recorded") from error
                if error_code(error) not in REFUSED_WRITES:
                    raise
                found = _read(self._bucket, self._key)
                self._etag = found.etag
                if found.holder == wanted:
                    return  # the answer to our own write was lost
                if found.holder.id != self._holder.id:
                    raise LockLost(
                        f"{found.holder.by} has taken over the lock, because this deployment"
                        f" seemed to have crashed: {found.holder.what}, since {found.holder.since}."
                        " Nothing more is recorded"
                    ) from error
            else:
                return
        raise LockLost("the lock cannot be renewed: nothing more is recorded")


@contextmanager
def deployment_lock(environment: DeployedEnvironment, what: str) -> Iterator[DeploymentLock]:
    """Hold the lock of an environment. `what` says to others what is being done.

    Raises `Refused` if somebody else holds it, and `CannotBegin` if it cannot be had.
    """
    try:
        lock = _acquire(environment, what)
    except (BotoCoreError, ClientError) as error:
        raise CannotBegin(
            f"the lock of {environment.name} cannot be read or written ({error}):"
            " docs/deploying.md lists the permissions"
        ) from error
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEWAL_SECONDS):
            try:
                lock.confirm()
            except LockLost:
                return  # `confirm` says so again, before anything is recorded
            except (BotoCoreError, ClientError):
                continue  # the next attempt may succeed, and the lease is longer

    renewal = threading.Thread(target=renew, name="deployment-lock", daemon=True)
    renewal.start()
    try:
        yield lock
    finally:
        done.set()
        lock.release()


def _acquire(environment: DeployedEnvironment, what: str) -> DeploymentLock:
    bucket, key = BootstrapBucket(environment), f"{environment.name}/lock.json"
    holder = _Holder(
        id=str(uuid.uuid4()),
        by=environment.caller["Arn"],
        since=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        what=what,
        leaseSeconds=LEASE_SECONDS,
    )
    try:
        etag = _put(bucket, key, holder, IfNoneMatch="*")
    except ClientError as error:
        if error_code(error) not in REFUSED_WRITES:
            raise
    else:
        return DeploymentLock(bucket, key, holder, etag)
    found = _read(bucket, key)
    if found.holder.id == holder.id:  # the answer to our own write was lost
        return DeploymentLock(bucket, key, holder, found.etag)
    if not found.is_free:
        raise _held(environment, found)
    try:
        etag = _put(bucket, key, holder, IfMatch=found.etag)
    except ClientError as error:
        if error_code(error) not in REFUSED_WRITES:
            raise
        found = _read(bucket, key)
        if found.holder.id != holder.id:
            raise _held(environment, found) from error
        etag = found.etag
    return DeploymentLock(bucket, key, holder, etag)


def _held(environment: DeployedEnvironment, found: _Found) -> Refused:
    return Refused(
        f"{found.holder.by} is at work on {environment.name}: {found.holder.what}, since"
        f" {found.holder.since}. Wait until that is done. If it has crashed, the lock ends by"
        f" itself at {found.free_at.isoformat(timespec='seconds')}"
    )


def _put(bucket: BootstrapBucket, key: str, holder: _Holder, **condition: str) -> str:
    answer = bucket.put(key, Body=json.dumps(asdict(holder), indent=1).encode(), **condition)
    return str(answer["ETag"])


def _read(bucket: BootstrapBucket, key: str) -> _Found:
    answer = bucket.get(key)
    holder = _parse(answer["Body"].read())
    headers: dict[str, Any] = answer["ResponseMetadata"]["HTTPHeaders"]
    return _Found(
        holder,
        etag=answer["ETag"],
        free_at=answer["LastModified"] + timedelta(seconds=holder.leaseSeconds),
        now=parsedate_to_datetime(headers["date"]),
    )


def _parse(text: bytes) -> _Holder:
    """Read the object. Something that no tool wrote is held by somebody unknown for a lease."""
    try:
        return _Holder(**json.loads(text))
    except (TypeError, ValueError):
        return _Holder(
            id="unknown",
            by="somebody",
            since="an unknown time",
            what="unknown",
            leaseSeconds=LEASE_SECONDS,
        )
