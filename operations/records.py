"""What was deployed to an environment, when, by whom and from where: kept with the deployment.

An SSM parameter in the environment's account. SSM keeps its last hundred versions, so its history
is the history of the environment.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from operations.deployment import Deployment


@dataclass(frozen=True, kw_only=True)
class Record:
    """One deployment of one build to one environment. The names are the parameter's interface."""

    commit: str
    clean: bool
    assetHash: str  # noqa: N815
    codeSha256: str  # noqa: N815
    """What Lambda says of the code that the deployment left running."""
    source: str | None
    """The environment that the build was promoted from; none for the first one."""
    target: str
    at: str
    """When the deployment was done: ISO 8601, UTC."""
    by: str
    """Who did it, as STS says."""
    smoke: Literal["passed", "failed"]


def parameter(environment: str) -> str:
    """The name of the SSM parameter of an environment."""
    return f"/business-connections/{environment}/deployment"


def read(deployment: Deployment) -> Record | None:
    """Say what was deployed last; `None` if nothing was, or not with these tools."""
    ssm = deployment.client("ssm")
    try:
        value = ssm.get_parameter(Name=parameter(deployment.environment))["Parameter"]["Value"]
        return _record(json.loads(value))
    except ssm.exceptions.ParameterNotFound:
        return None
    except (TypeError, ValueError):
        return None  # written by hand, or by an older version of these tools


def _record(fields: dict[str, Any]) -> Record:
    return Record(**fields)


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
