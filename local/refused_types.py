"""Makes MiniStack take templates with the resources that it refuses, for one version of it.

- A composite alarm is put as the API call PutCompositeAlarm does it, which MiniStack knows: it
  follows its rule. Its suppressor is ignored.
- An alarm with metric math is stored and listed, and changes its state only by SetAlarmState.
- The other types are listed as resources of their stack, and nothing more: no response route, no
  sampling, no web ACL in front of a stage. CodeDeploy shifts nothing and watches no alarm: an alias
  changes at once.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Final

Created = tuple[str, dict[str, Any]]
"""The physical id of a resource, and its attributes."""

_LISTED: Final = (
    "AWS::ApiGatewayV2::RouteResponse",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::WAFv2::WebACLAssociation",
    "AWS::XRay::SamplingRule",
)


def patch() -> None:
    """Add the missing types. Raises `AttributeError` if MiniStack has no place for them."""
    provisioners: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
    handlers = provisioners._RESOURCE_HANDLERS
    for listed in _LISTED:
        handlers[listed] = {"create": _list, "update": _keep, "delete": _forget}
    handlers["AWS::CloudWatch::CompositeAlarm"] = {
        "create": lambda _logical_id, properties, _stack: _put_composite_alarm(properties),
        "update": lambda _id, _old, properties, _stack: _put_composite_alarm(properties),
        "delete": lambda name, _properties: _cloudwatch("_delete_alarms", {"AlarmNames": [name]}),
    }
    ordinary_record = provisioners._cw_metric_alarm_record

    def record(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """How an alarm is stored."""
        if "Metrics" not in properties:
            return dict(ordinary_record(name, properties))
        simple = {**properties, "Metrics": None, "MetricName": "-", "Namespace": "-"}
        left_out = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit")
        stored = {k: v for k, v in ordinary_record(name, simple).items() if k not in left_out}
        return {**stored, "Metrics": properties["Metrics"]}

    provisioners._cw_metric_alarm_record = record


def _list(logical_id: str, _properties: Mapping[str, Any], stack: str) -> Created:
    return f"{stack}-{logical_id}", {}


def _keep(
    physical_id: str, _old: Mapping[str, Any], _new: Mapping[str, Any], _stack: str
) -> Created:
    return physical_id, {}


def _forget(_physical_id: str, _properties: Mapping[str, Any]) -> None:
    """Do nothing: there is nothing but the list of the stack."""


def _put_composite_alarm(properties: Mapping[str, Any]) -> Created:
    name: str = properties["AlarmName"]
    _cloudwatch("_put_composite_alarm", {k: v for k, v in properties.items() if k != "Tags"})
    stored = importlib.import_module("ministack.services.cloudwatch")._composite_alarms[name]
    return name, {"Arn": stored["AlarmArn"]}


def _cloudwatch(action: str, request: Mapping[str, Any]) -> None:
    """Call an action of CloudWatch. Raises `ValueError` if it is refused."""
    cloudwatch = importlib.import_module("ministack.services.cloudwatch")
    status, _headers, body = getattr(cloudwatch, action)({}, request, False, True)
    if status >= 400:
        raise ValueError(body)
