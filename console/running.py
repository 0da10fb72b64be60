"""Puts the parts of the console together."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from console.alarms import Alarms
from console.application import Application, Parts
from console.dashboard import Dashboard
from console.devices import Devices
from console.facts import DeployedFacts
from console.metrics import Metrics
from console.rest import RestApi
from console.server import port_of, serve
from console.tokens import operator_token
from infra import names
from operations.shared.environment import DeployedEnvironment

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
        parts = Parts(
            environment_name=environment.name,
            region=environment.region,
            facts=DeployedFacts(environment, alarms).get,
            metrics=Metrics(cloudwatch, environment_name=environment.name, alarms=alarms),
            alarms=alarms,
            rest=RestApi(rest_url, operator),
            dashboard=Dashboard(
                cloudwatch,
                name=environment.output("Monitoring", "DashboardName"),
                alarms=alarms,
            ).page,
            devices=devices,
        )
        with serve(Application(parts, port=port_of(listener)), listener):
            yield
