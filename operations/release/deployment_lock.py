"""The lock of an environment: one deployment or smoke test at a time, whoever starts it.

It is an object in the bucket of the CDK bootstrap. S3 writes it only if it is still the one that
was read (`If-Match`), so of two that want it at the same moment, one gets it. Its holder renews it
all the time. One that has crashed stops doing so, and after five minutes anybody may take it. One
that only seemed to have crashed is stopped when it notices that.
"""

import json
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.release.bootstrap_bucket import REFUSED_WRITES, BootstrapBucket
from operations.shared.environment import DeployedEnvironment, error_code
from operations.shared.verbs import CannotBegin, DeploymentFailed, Refused

LEASE_SECONDS: Final = 300
"""How long a lock holds after it was last written."""

RENEWAL_SECONDS: Final = 20

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
        self.lost: LockLost | None = None
        """Why this process no longer holds the lock; None if it does."""

    def confirm(self) -> None:
        """Renew the lock: for the next five minutes, nobody else can take it. Raises `LockLost`."""
        with self._writing:
            if self.lost is not None:
                raise self.lost
            self._holder = replace(self._holder, renewals=self._holder.renewals + 1)
            try:
                self._write(self._holder)
            except LockLost as lost:
                self.lost = lost
                raise

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
                    raise LockLost("somebody deleted the lock: this stops here") from error
                if error_code(error) not in REFUSED_WRITES:
                    raise
                found = _read(self._bucket, self._key)
                self._etag = found.etag
                if found.holder == wanted:
                    return  # the answer to our own write was lost
                if found.holder.id != self._holder.id:
                    raise LockLost(
                        f"{found.holder.by} has taken over the lock, because this seemed to have"
                        f" crashed: {found.holder.what}, since {found.holder.since}. This stops"
                        " here, and records nothing more. CloudFormation goes on with a stack that"
                        " it has begun: check what runs when both are done"
                    ) from error
            else:
                return
        raise LockLost("the lock cannot be renewed: this stops here")


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
                # Whoever has the lock now must not be overwritten: stop what the main thread does.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
            except (BotoCoreError, ClientError):
                continue  # the next attempt may succeed, and the lease is longer

    renewal = threading.Thread(target=renew, name="deployment-lock", daemon=True)
    renewal.start()
    try:
        yield lock
    except KeyboardInterrupt:
        if lock.lost is not None:
            raise lock.lost from None
        raise
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
    for _ in range(_ATTEMPTS):
        try:
            return DeploymentLock(bucket, key, holder, _put(bucket, key, holder, IfNoneMatch="*"))
        except ClientError as error:
            if error_code(error) not in REFUSED_WRITES:
                raise
        try:
            found = _read(bucket, key)
            if found.holder.id != holder.id:  # if it is, the answer to our own write was lost
                if not found.is_free:
                    raise _held(environment, found)
                _put(bucket, key, holder, IfMatch=found.etag)
                found = _read(bucket, key)
        except ClientError as error:
            if error_code(error) not in {*REFUSED_WRITES, "NoSuchKey"}:
                raise
        else:
            if found.holder.id == holder.id:
                return DeploymentLock(bucket, key, holder, found.etag)
    raise Refused(f"others take the lock of {environment.name} at this moment: try again")


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
    content, answer = bucket.get(key)
    holder = _parse(content)
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
        found = json.loads(text)  # newer tools may write more
        return _Holder(**{each.name: found[each.name] for each in fields(_Holder)})
    except (KeyError, TypeError, ValueError):
        return _Holder(
            id="unknown",
            by="somebody",
            since="an unknown time",
            what="unknown",
            leaseSeconds=LEASE_SECONDS,
        )
