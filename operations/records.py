"""What was deployed to an environment, when, by whom and from where: kept with the deployment.

An SSM parameter in the environment's account. SSM keeps its last hundred versions, so its history
is the history of the environment.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal

from operations.deployment import Deployment


@dataclass(frozen=True, kw_only=True)
class Record:
    """One deployment of one build to one environment. The names are the parameter's interface.

    It is written when the deployment begins, and again when it is done, so that a deployment that
    did not finish is in the history too.
    """

    commit: str
    clean: bool
    assetHash: str  # noqa: N815
    codeSha256: str | None  # noqa: N815
    """Lambda's hash of the code that runs after the deployment; none while it is pending."""
    source: str | None
    """The environment that the build was promoted from; none for the first one."""
    target: str
    at: str
    """When it was written: ISO 8601, UTC."""
    by: str
    """Who did it, as STS says."""
    smoke: Literal["pending", "passed", "failed"]
    """The result of the smoke test; pending if the deployment did not get that far."""
    rolledBackFrom: str | None = None  # noqa: N815
    """The commit that this deployment rolled back; none if it was no rollback."""


def parameter(environment: str) -> str:
    """The name of the SSM parameter of an environment."""
    return f"/business-connections/{environment}/deployment"


def read(deployment: Deployment) -> Record | None:
    """Say what was deployed last; `None` if nothing was, or not with these tools."""
    ssm = deployment.client("ssm")
    try:
        parameter_now = ssm.get_parameter(Name=parameter(deployment.environment))["Parameter"]
    except ssm.exceptions.ParameterNotFound:
        return None
    return _parse(parameter_now["Value"])


def history(deployment: Deployment) -> list[Record]:
    """Return the deployments of an environment that SSM remembers, the newest first."""
    ssm = deployment.client("ssm")
    pages = ssm.get_paginator("get_parameter_history").paginate(
        Name=parameter(deployment.environment)
    )
    try:
        versions = [version for page in pages for version in page["Parameters"]]
    except ssm.exceptions.ParameterNotFound:
        return []
    versions.sort(key=lambda version: int(version["Version"]), reverse=True)
    return [record for version in versions if (record := _parse(version["Value"])) is not None]


def _parse(value: str) -> Record | None:
    """Read one version; `None` if it is no record. Fields that newer tools wrote are ignored."""
    try:
        found = json.loads(value)
        return Record(
            **{field.name: found[field.name] for field in fields(Record) if field.name in found}
        )
    except (TypeError, ValueError):
        return None


def write(deployment: Deployment, record: Record) -> None:
    """Keep a record; the earlier ones stay in the parameter's history."""
    deployment.client("ssm").put_parameter(
        Name=parameter(deployment.environment),
        Description="What is deployed of business-connections; its history says what was",
        Value=json.dumps(asdict(record), indent=1),
        Type="String",
        Overwrite=True,
    )


def who(deployment: Deployment) -> str:
    """The caller, as STS says."""
    arn: str = deployment.client("sts").get_caller_identity()["Arn"]
    return arn
