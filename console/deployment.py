"""What the page must know of an environment: its timings, and what runs there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from console.alarms import Alarms
from console.cached import Cached
from console.errors import Unanswered
from infra import names
from infra.names import DEPLOYMENT
from lambdas import variables
from lambdas.bootstrap import Configuration, MissingConfiguration
from lambdas.domain.rules import Rules
from operations.shared.environment import DeployedEnvironment

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

_CHECK_EVERY: Final = 60.0
"""Seconds until a new deployment is noticed."""


@dataclass(frozen=True)
class Deployment:
    """What is deployed in an environment."""

    deployed: str | None
    """Which build runs, and when it was deployed; None if nobody said."""
    interval: int
    """Seconds from one cleanup to the next."""
    rules: Rules
    feed: bool
    """Whether it has the change feed."""


class DeploymentReader:
    """Reads the deployment from CloudFormation, the cleanup's settings and the alarms."""

    def __init__(self, environment: DeployedEnvironment, alarms: Alarms) -> None:
        self._environment = environment
        self._alarms = alarms
        self._cloudformation: Any = environment.client("cloudformation")
        self._lambda: LambdaClient = environment.client("lambda")
        self._cached = Cached(self._load, seconds=_CHECK_EVERY)

    def get(self) -> Deployment:
        """The deployment. Raises `Unanswered`."""
        return self._cached.get()

    def _load(self) -> Deployment:
        outputs = self._environment.outputs
        (stack,) = self._cloudformation.describe_stacks(
            StackName=self._environment.stack("Monitoring")
        )["Stacks"]
        parameters = {
            each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())
        }
        settings = self._lambda.get_function_configuration(
            FunctionName=outputs[names.CLEANUP_FUNCTION_NAME]
        )["Environment"]["Variables"]
        return Deployment(
            deployed=parameters.get(DEPLOYMENT),
            interval=self._alarms.census().period,
            rules=_rules(settings),
            feed=variables.HISTORY_TABLE_NAME in settings,
        )


def _rules(settings: Mapping[str, str]) -> Rules:
    try:
        return Configuration.from_environ(settings).rules
    except MissingConfiguration as error:
        raise Unanswered(
            f"the deployed cleanup does not have the settings of this version: {error}"
        ) from error
