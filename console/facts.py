"""What the page must know of an environment: its timings, and what runs there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from console.alarms import Alarms
from console.recent import Recent
from infra.parameters import DEPLOYMENT
from operations.shared.environment import DeployedEnvironment

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

_CHECK_EVERY: Final = 60.0
"""Seconds until a new deployment is noticed."""


@dataclass(frozen=True)
class Facts:
    """The timings (seconds) and parts of an environment, as it is deployed."""

    deployed: str | None
    """Which build runs, and when it was deployed; None if nobody said."""
    interval: int
    """How long from one cleanup to the next."""
    attention_grace: int
    feed: bool


class DeployedFacts:
    """Reads the facts from CloudFormation, the cleanup's settings and the alarms."""

    def __init__(self, environment: DeployedEnvironment, alarms: Alarms) -> None:
        self._environment = environment
        self._alarms = alarms
        self._cloudformation: Any = environment.client("cloudformation")
        self._lambda: LambdaClient = environment.client("lambda")
        self._recent = Recent(self._load, seconds=_CHECK_EVERY)

    def get(self) -> Facts:
        """Return the facts. Raises `Unanswered`."""
        return self._recent.get()

    def _load(self) -> Facts:
        outputs = self._environment.outputs
        (stack,) = self._cloudformation.describe_stacks(
            StackName=self._environment.stack("Monitoring")
        )["Stacks"]
        parameters = {
            each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())
        }
        settings = self._lambda.get_function_configuration(
            FunctionName=outputs["CleanupFunctionName"]
        )["Environment"]["Variables"]
        return Facts(
            deployed=parameters.get(DEPLOYMENT),
            interval=self._alarms.census().period,
            attention_grace=int(settings["ATTENTION_GRACE"]),
            feed="HISTORY_TABLE_NAME" in settings,
        )
