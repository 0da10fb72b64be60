"""Records of deployments: what was deployed to an environment, when, by whom and from where.

An SSM parameter in the environment's account. SSM keeps its last hundred versions: they are the
history of the environment.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal

from operations.release.assembly import title
from operations.release.deployment_lock import DeploymentLock
from operations.shared.environment import DeployedEnvironment


@dataclass(frozen=True, kw_only=True)
class Record:
    """One deployment of one build to one environment. The names are the parameter's interface.

    It is written when the deployment begins and again when it ends, so that the history also shows
    a deployment that did not finish.
    """

    commit: str
    clean: bool
    assetHash: str  # noqa: N815
    codeSha256: str | None  # noqa: N815
    """Lambda's hash of the code that runs after the deployment; None while it is pending."""
    source: str | None
    """The environment that the build was promoted from; None if it was not promoted."""
    target: str
    at: str
    """When it was written: ISO 8601, UTC."""
    by: str
    """The ARN of the caller."""
    smoke: Literal["pending", "passed", "failed"]
    """The result of the smoke test; pending if the deployment did not get that far."""
    digest: str | None = None
    """The digest of the assembly, by which the build is stored; None in records of older tools."""
    rolledBackFrom: str | None = None  # noqa: N815
    """What this deployment rolled back, by its `build`; None if it was no rollback."""

    @property
    def title(self) -> str:
        """Name the build in a few words."""
        return title(self.commit, clean=self.clean)

    @property
    def build(self) -> str:
        """Tell this build from others: commit, bundle, and whether it is exactly that commit."""
        changes = "" if self.clean else " with uncommitted changes"
        return f"{self.commit}{changes}, bundle {self.assetHash[:12]}"


def parameter(environment: str) -> str:
    """The name of the SSM parameter of an environment."""
    return f"/business-connections/{environment}/deployment"


def newest(environment: DeployedEnvironment) -> tuple[Record | None, int]:
    """The last deployment, and the version of the parameter: how often it was written.

    The record is None if there was no deployment, or not with these tools; the version is 0 if
    there is no parameter.
    """
    ssm = environment.client("ssm")
    try:
        found = ssm.get_parameter(Name=parameter(environment.name))["Parameter"]
    except ssm.exceptions.ParameterNotFound:
        return None, 0
    return _parse(found["Value"]), int(found["Version"])


def history(environment: DeployedEnvironment) -> list[Record]:
    """The deployments of an environment that SSM remembers, the newest first."""
    ssm = environment.client("ssm")
    pages = ssm.get_paginator("get_parameter_history").paginate(Name=parameter(environment.name))
    try:
        versions = [version for page in pages for version in page["Parameters"]]
    except ssm.exceptions.ParameterNotFound:
        return []
    versions.sort(key=lambda version: int(version["Version"]), reverse=True)
    return [record for version in versions if (record := _parse(version["Value"])) is not None]


def _parse(value: str) -> Record | None:
    """Read one version; None if it is no record. Ignore fields that newer tools wrote."""
    try:
        found = json.loads(value)
        return Record(
            **{field.name: found[field.name] for field in fields(Record) if field.name in found}
        )
    except (TypeError, ValueError):
        return None


def write(environment: DeployedEnvironment, record: Record, lock: DeploymentLock) -> None:
    """Write a record. Raises `LockLost` if another deployment holds the lock."""
    lock.confirm()
    environment.client("ssm").put_parameter(
        Name=parameter(environment.name),
        Description="What is deployed of business-connections; its history says what was",
        Value=json.dumps(asdict(record), indent=1),
        Type="String",
        Overwrite=True,
    )


def delete(environment: DeployedEnvironment, lock: DeploymentLock) -> None:
    """Delete the record with its whole history. Raises `LockLost`."""
    lock.confirm()
    environment.client("ssm").delete_parameter(Name=parameter(environment.name))
