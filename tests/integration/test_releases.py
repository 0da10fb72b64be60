"""The lock of an environment and the builds that are kept, on a real S3 API."""

import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody

from operations.release import deployment_lock as module
from operations.release import records, stored_builds
from operations.release.assembly import Build, Manifest
from operations.release.bootstrap_bucket import BootstrapBucket
from operations.release.deployment_lock import LockLost, deployment_lock
from operations.release.stored_builds import NotKept, stored
from operations.shared.environment import DeployedEnvironment
from operations.shared.repository import run_group
from operations.shared.verbs import CannotBegin, Refused
from tests.unit.operations.builders import BUNDLE, assembly, record

BUCKET = "cdk-hnb659fds-assets-000000000000-us-east-1"


@pytest.fixture
def s3(shell: None) -> Any:
    """A client of S3, which has the bucket of the bootstrap."""
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def environment(s3: Any) -> DeployedEnvironment:
    """An environment that nobody has deployed to."""
    return DeployedEnvironment(f"e{uuid.uuid4().hex[:10]}")


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """A build that nobody has deployed."""
    made = assembly(tmp_path / "assembly", {"dev": BUNDLE})
    (made.folder / f"asset.{BUNDLE}").mkdir()
    (made.folder / f"asset.{BUNDLE}" / "code.py").write_text("pass\n")
    Manifest(
        commit=uuid.uuid4().hex,
        clean=True,
        committedAt="2026-11-23T00:00:00+00:00",
        environments=made.environments(),
        digest=made.digest(),
    ).write(tmp_path)
    return Build.read(tmp_path)


# The lock.


def change_lock(s3: Any, environment: DeployedEnvironment, **changes: Any) -> None:
    """Change what the lock says, behind the back of its holder."""
    key = f"business-connections/{environment.name}/lock.json"
    held = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps({**held, **changes}))


def end_lease(s3: Any, environment: DeployedEnvironment) -> None:
    """Leave the lock as its holder would five minutes after it crashed."""
    change_lock(s3, environment, leaseSeconds=-1)


def test_a_second_deployment_is_refused_and_told_who_deploys_what_since_when(
    environment: DeployedEnvironment,
) -> None:
    with (
        deployment_lock(environment, "commit 0123"),
        pytest.raises(
            Refused,
            match=r"^arn:aws:.*000000000000.* is at work on e\w+: commit 0123, since 20",
        ),
        deployment_lock(environment, "commit 4567"),
    ):
        pytest.fail("both deploy")
    with deployment_lock(environment, "commit 4567"):
        pass


def test_of_many_that_begin_at_once_one_deploys(environment: DeployedEnvironment) -> None:
    """Also where the lock of a crashed deployment, or of one that is done, is taken over."""

    def deploys(_: int) -> bool:
        try:
            held.enter_context(deployment_lock(environment, "a build"))
        except Refused:
            return False
        return True

    for _ in range(3):
        with ExitStack() as held, ThreadPoolExecutor(10) as pool:
            assert sum(pool.map(deploys, range(20))) == 1


def test_a_crashed_deployment_locks_nobody_out_for_ever_and_records_nothing_afterwards(
    environment: DeployedEnvironment, s3: Any
) -> None:
    with deployment_lock(environment, "commit 0123") as lost:
        end_lease(s3, environment)  # as if its machine had slept for an hour
        with deployment_lock(environment, "commit 4567") as lock:
            with pytest.raises(LockLost, match="crashed: commit 4567, since"):
                records.write(environment, record(commit="0123", smoke="passed"), lost)
            records.write(environment, record(commit="4567"), lock)
            with pytest.raises(LockLost):
                records.delete(environment, lost)
    assert [each.commit for each in records.history(environment)] == ["4567"]


def test_a_lock_that_is_renewed_at_the_last_moment_is_not_taken_over(
    environment: DeployedEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = module._read
    monkeypatch.setattr(module, "LEASE_SECONDS", -1)
    with deployment_lock(environment, "commit 0123") as held:

        def read_and_renewed(*where: Any) -> Any:
            found = read(*where)
            held.confirm()
            return found

        monkeypatch.setattr(module, "_read", read_and_renewed)
        with pytest.raises(Refused), deployment_lock(environment, "commit 4567"):
            pass
        monkeypatch.setattr(module, "_read", read)
        held.confirm()


@pytest.mark.parametrize("losing", ["the lock", "a renewal", "a takeover"])
def test_an_answer_of_s3_that_is_lost_loses_no_lock(
    environment: DeployedEnvironment, monkeypatch: pytest.MonkeyPatch, losing: str
) -> None:
    """The SDK repeats the write, which then meets its own effect."""
    put: Any = module._put

    def repeated(*what: Any, **condition: str) -> Any:
        put(*what, **condition)
        return put(*what, **condition)

    if losing == "a takeover":
        with deployment_lock(environment, "commit 0123"):
            pass
    if losing != "a renewal":
        monkeypatch.setattr(module, "_put", repeated)
    with deployment_lock(environment, "commit 4567") as lock:
        monkeypatch.setattr(module, "_put", repeated)
        lock.confirm()
        lock.confirm()
    with deployment_lock(environment, "commit 89ab"):
        pass


def test_who_lost_the_lock_is_stopped(
    environment: DeployedEnvironment, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it waits for a program: that would overwrite what the new holder deploys."""
    monkeypatch.setattr(module, "RENEWAL_SECONDS", 0.2)

    def work_until_another_one_deploys() -> None:
        with deployment_lock(environment, "commit 0123"):
            change_lock(s3, environment, id="another", what="commit 4567")
            run_group(["sleep", "60"], cwd=Path.cwd(), env=os.environ)

    with pytest.raises(LockLost, match="crashed: commit 4567"):
        work_until_another_one_deploys()


def test_a_lock_with_fields_of_newer_tools_is_understood(
    environment: DeployedEnvironment, s3: Any
) -> None:
    with deployment_lock(environment, "commit 0123"):
        pass
    change_lock(s3, environment, somethingNew=1)
    with deployment_lock(environment, "commit 4567"):
        pass


def test_a_lock_is_released_by_its_holder_alone(environment: DeployedEnvironment, s3: Any) -> None:
    with ExitStack() as lost:
        lost.enter_context(deployment_lock(environment, "commit 0123"))
        end_lease(s3, environment)
        with deployment_lock(environment, "commit 4567"):
            lost.close()
            with pytest.raises(Refused), deployment_lock(environment, "commit 89ab"):
                pass


def test_an_environment_whose_account_was_not_bootstrapped_says_how_to_do_it(
    environment: DeployedEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeployedEnvironment, "region", "eu-north-1")
    with pytest.raises(CannotBegin, match=f"make bootstrap ENVIRONMENT={environment.name}"):
        deployment_lock(environment, "commit 0123").__enter__()


# The builds.


def deployed(build: Build, **changes: Any) -> records.Record:
    return record(**{"commit": build.manifest.commit, "digest": build.manifest.digest, **changes})


def test_a_build_comes_back_as_it_was_deployed(
    environment: DeployedEnvironment, build: Build
) -> None:
    cache = build.assembly.folder / ".cache"
    cache.mkdir()
    (cache / "asset.zip").write_text("what a deployment adds")
    for _ in range(2):  # each environment of the account keeps it
        stored_builds.store(environment, build)
    with stored(environment, deployed(build)) as again:
        assert again.manifest == build.manifest
        assert again.is_intact()
        assert not (again.assembly.folder / ".cache").exists()
        folder = again.assembly.folder.parent
    assert not folder.exists()


def test_what_is_not_kept_cannot_be_had(environment: DeployedEnvironment, build: Build) -> None:
    with (
        pytest.raises(NotKept, match="its build is not kept"),
        stored(environment, deployed(build)),
    ):
        pass
    old = deployed(build, digest=None)
    with pytest.raises(NotKept, match="before builds were kept"), stored(environment, old):
        pass


def test_a_build_that_cannot_be_read_now_is_not_taken_for_one_that_is_not_kept(
    environment: DeployedEnvironment, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one error of the network would make a rollback go back too far."""
    stored_builds.store(environment, build)
    monkeypatch.setattr(BootstrapBucket, "get", _denied)
    with (
        pytest.raises(CannotBegin, match=r"business-connections/builds/.*AccessDenied"),
        stored(environment, deployed(build)),
    ):
        pass


def _denied(*_: Any) -> Any:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")


def test_a_transfer_that_ends_early_is_repeated(
    environment: DeployedEnvironment, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK does not repeat what fails while it is read."""
    stored_builds.store(environment, build)
    read, failures = StreamingBody.read, [1, 2]

    def fails_twice(body: StreamingBody, *amount: Any, **named: Any) -> bytes:
        if failures:
            failures.pop()
            raise ReadTimeoutError(endpoint_url="s3")
        return bytes(read(body, *amount, **named))

    monkeypatch.setattr(StreamingBody, "read", fails_twice)
    with stored(environment, deployed(build)) as again:
        assert again.is_intact()


def test_a_build_of_other_tools_with_more_and_fewer_fields_can_be_read(
    environment: DeployedEnvironment, build: Build
) -> None:
    path = build.assembly.folder.parent / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "somethingNew": True}))
    stored_builds.store(environment, build)
    with stored(environment, deployed(build)) as again:
        assert again.manifest == build.manifest


@pytest.mark.parametrize("damage", ["another build", "half of it", "no archive"])
def test_what_is_not_the_build_that_was_deployed_is_not_taken_for_it(
    environment: DeployedEnvironment, build: Build, s3: Any, damage: str
) -> None:
    stored_builds.store(environment, build)
    key = f"business-connections/builds/{build.manifest.commit}-{build.manifest.digest}.zip"
    body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    if damage == "another build":
        (build.assembly.folder / "more.json").write_text("{}")
        changed = replace(build.manifest, digest="e" * 64)
        changed.write(build.assembly.folder.parent)
        stored_builds.store(environment, Build(build.assembly, changed))
        other = key.replace(build.manifest.digest, "e" * 64)
        body = s3.get_object(Bucket=BUCKET, Key=other)["Body"].read()
    elif damage == "half of it":
        body = body[: len(body) // 2]
    else:
        body = b"no archive"
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    with pytest.raises(NotKept), stored(environment, deployed(build)):
        pass
