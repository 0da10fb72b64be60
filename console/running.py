"""Puts the sources of the console together."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from console.alarms import Alarms
from console.application import Application, Sources
from console.deployment import DeploymentReader
from console.devices import Devices
from console.metrics import Metrics
from console.rest import RestApi
from console.server import port_of, serve
from console.tokens import operator_token
from infra import names
from operations.shared.environment import LOCAL, DeployedEnvironment

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient


@contextmanager
def running_console(
    environment: DeployedEnvironment,
    listener: socket.socket,
    *,
    token: str | None = None,
    devices: Devices | None = None,
) -> Iterator[None]:
    """Serve the console of an environment until the end of the block. Raises `CannotBegin`."""
    cloudwatch: CloudWatchClient = environment.client("cloudwatch")
    alarms = Alarms(cloudwatch, stack=environment.stack("Monitoring"))
    rest_url = environment.output("Service", names.REST_URL)
    with operator_token(environment, token) as operator:
        sources = Sources(
            environment_name=environment.name,
            region=environment.region,
            deployment=DeploymentReader(environment, alarms).get,
            metrics=Metrics(cloudwatch, environment_name=environment.name, alarms=alarms),
            alarms=alarms,
            rest=RestApi(rest_url, operator),
            dashboard_url=_dashboard_url(environment),
            devices=devices,
        )
        with serve(Application(sources, port=port_of(listener)), listener):
            yield


def _dashboard_url(environment: DeployedEnvironment) -> str | None:
    """Where CloudWatch shows the dashboard; None for the local system, which has no page."""
    if environment.name == LOCAL:
        return None
    name, region = environment.output("Monitoring", names.DASHBOARD_NAME), environment.region
    return (
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#dashboards/dashboard/{name}"
    )
