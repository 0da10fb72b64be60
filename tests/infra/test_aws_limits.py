"""Values that we choose and that only AWS would refuse: names, lengths, ranges and combinations.

Each rule is what the reference of the service says, and is checked in the templates of all
environments. cfn-lint, in `make check`, checks the types and the values that a schema can hold.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.infra.synthesis import Templates
from tests.infra.template import Properties, Template, as_list, flat

Rule = Callable[[Any], bool]


def _matches(pattern: str) -> Rule:
    return lambda value: re.fullmatch(pattern, flat(value)) is not None


def _text(longest: int) -> Rule:
    """Printable ASCII: CloudFormation turns other characters of a description into `?`."""
    return _matches(rf"[ -~]{{1,{longest}}}")


def _between(low: float, high: float) -> Rule:
    return lambda value: low <= float(value) <= high


def _json_up_to(longest: int) -> Rule:
    return lambda value: len(json.dumps(value, separators=(",", ":"))) <= longest


def _one_of(*values: object) -> Rule:
    return lambda value: value in values


_PERIOD: Final[Rule] = lambda value: value in {10, 20, 30} or value % 60 == 0 < value  # noqa: E731

# https://docs.aws.amazon.com/waf/latest/APIReference/API_VisibilityConfig.html
_WAF_METRIC: Final = _matches(r"(?!(All|Default_Action)$)[A-Za-z0-9_-]{1,128}")

RULES: Final[dict[str, dict[str, Rule]]] = {
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
    "AWS::DynamoDB::Table": {
        "AttributeDefinitions[].AttributeName": _matches(r".{1,255}"),
        "GlobalSecondaryIndexes[].IndexName": _matches(r"[A-Za-z0-9_.-]{3,255}"),
    },
    # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateEventBus.html
    "AWS::Events::EventBus": {
        "Name": _matches(r"(?!aws\.)[./_A-Za-z0-9-]{1,256}"),
        "Description": _text(512),
    },
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
    "AWS::KMS::Key": {"Description": _text(8_192), "KeyPolicy": _json_up_to(32_768)},
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    "AWS::Lambda::Function": {
        "Handler": _matches(r"\S{1,128}"),
        "MemorySize": _between(128, 10_240),
        "Timeout": _between(1, 900),
        "Environment.Variables": _json_up_to(4_096),
        "Environment.Variables{}": _matches(r"(?!AWS_)(?!LAMBDA_)[A-Za-z][A-Za-z0-9_]+"),
    },
    "AWS::Lambda::Alias": {"Name": _matches(r"(?!\d+$)[A-Za-z0-9_-]{1,128}")},
    # https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
    "AWS::Lambda::EventInvokeConfig": {
        "MaximumEventAgeInSeconds": _between(60, 21_600),
        "MaximumRetryAttempts": _between(0, 2),
    },
    # https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
    "AWS::Lambda::EventSourceMapping": {
        "BatchSize": _between(1, 10_000),
        "MaximumBatchingWindowInSeconds": _between(0, 300),
        "MaximumRecordAgeInSeconds": _between(60, 604_800),
        "MaximumRetryAttempts": _between(-1, 10_000),
        "FilterCriteria.Filters": lambda filters: 1 <= len(filters) <= 5,
        "FilterCriteria.Filters[].Pattern": _matches(r".{1,4096}"),
    },
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    "AWS::SQS::Queue": {"MessageRetentionPeriod": _between(60, 1_209_600)},
    # https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    "AWS::Scheduler::Schedule": {
        "Description": _text(512),
        "ScheduleExpression": _matches(
            r"rate\(1 (minute|hour)\)|rate\(([2-9]|\d\d+) (minutes|hours)\)"
        ),
        "Target.RetryPolicy.MaximumEventAgeInSeconds": _between(60, 86_400),
        "Target.RetryPolicy.MaximumRetryAttempts": _between(0, 185),
    },
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
    "AWS::ApiGateway::RestApi": {"Name": _text(128)},
    "AWS::ApiGateway::Model": {"Schema": _json_up_to(400_000)},
    "AWS::ApiGateway::Authorizer": {
        "Name": _text(128),
        "AuthorizerResultTtlInSeconds": _between(0, 3_600),
    },
    "AWS::ApiGateway::Stage": {
        "StageName": _matches(r"[A-Za-z0-9_]{1,128}"),
        "AccessLogSetting.Format": _matches(r".*\$context\.(requestId|extendedRequestId).*"),
    },
    "AWS::ApiGateway::GatewayResponse": {
        "StatusCode": _matches(r"[1-5]\d\d"),
        "ResponseParameters{}": _matches(r"gatewayresponse\.header\.[A-Za-z0-9-]+"),
    },
    "AWS::ApiGatewayV2::Api": {"Name": _text(128)},
    "AWS::ApiGatewayV2::Authorizer": {"Name": _text(128)},
    "AWS::ApiGatewayV2::Stage": {
        "StageName": _matches(r"[A-Za-z0-9_-]{1,128}"),
        "AccessLogSettings.Format": _matches(r".*\$context\.requestId.*"),
    },
    # https://docs.aws.amazon.com/waf/latest/APIReference/API_CreateWebACL.html
    "AWS::WAFv2::WebACL": {
        "VisibilityConfig.MetricName": _WAF_METRIC,
        "Rules[].VisibilityConfig.MetricName": _WAF_METRIC,
        "Rules[].Name": _matches(r"[\w-]{1,128}"),
        "Rules[].Statement.RateBasedStatement.Limit": _between(10, 2_000_000_000),
        "Rules[].Statement.RateBasedStatement.EvaluationWindowSec": _one_of(60, 120, 300, 600),
        # https://docs.aws.amazon.com/waf/latest/developerguide/customizing-the-response-status-codes.html
        "Rules[].Action.Block.CustomResponse.ResponseCode": _one_of(403, 429, 503),
        "Rules[].Action.Block.CustomResponse.ResponseHeaders[].Name": _matches(
            r"(?i)(?!content-type$)[a-z0-9-]{1,64}"
        ),
        "CustomResponseBodies{}": _matches(r"[\w-]{1,128}"),
        "CustomResponseBodies[].Content": _matches(r".{1,4096}"),
    },
    # https://docs.aws.amazon.com/xray/latest/api/API_SamplingRule.html
    "AWS::XRay::SamplingRule": {
        "SamplingRule.RuleName": _matches(r"(?!Default$)[ -~]{1,32}"),
        "SamplingRule.Priority": _between(1, 9_999),
        "SamplingRule.FixedRate": _between(0, 1),
        "SamplingRule.ServiceType": _text(64),
    },
    # https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html
    "AWS::CodeDeploy::DeploymentGroup": {
        "AlarmConfiguration.Alarms": lambda alarms: len(alarms) <= 10,
    },
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    "AWS::IAM::Policy": {"PolicyName": _matches(r"[\w+=,.@-]{1,128}")},
    "AWS::IAM::Role": {"AssumeRolePolicyDocument": _json_up_to(2_048)},
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
    "AWS::SecretsManager::Secret": {"Description": _text(2_048)},
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    "AWS::CloudWatch::Alarm": {
        "AlarmDescription": _text(1_024),
        "Period": _PERIOD,
        "Metrics": lambda metrics: len([m for m in metrics if "MetricStat" in m]) <= 10,
        "Metrics[].Id": _matches(r"[a-z][A-Za-z0-9_]{0,254}"),
        "Metrics[].Expression": _matches(r".{1,2048}"),
        "Metrics[].MetricStat.Period": _PERIOD,
    },
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
    "AWS::CloudWatch::CompositeAlarm": {
        "AlarmName": _text(255),
        "AlarmDescription": _text(1_024),
        "AlarmRule": lambda rule: flat(rule).count("ALARM(") <= 100,
    },
    # https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
    "AWS::SNS::Topic": {"DisplayName": _text(100)},
}


def test_every_value_is_one_that_the_service_accepts(templates: Templates) -> None:
    unused = {(kind, path) for kind, rules in RULES.items() for path in rules}
    for name, template in _each(templates):
        for kind, rules in RULES.items():
            for logical_id, properties in template.properties(kind).items():
                for path, accepts in rules.items():
                    for value in _values(properties, path):
                        unused.discard((kind, path))
                        assert accepts(value), f"{name}: {logical_id}.{path} is {value!r}"
    assert not unused, "nothing has these properties: remove their rules"


def test_every_tag_is_one_that_every_service_accepts(templates: Templates) -> None:
    for name, template in _each(templates):
        for logical_id, properties in template.all_properties():
            for tag in _tags(properties):
                assert re.fullmatch(r"(?!aws:)[\w .:/=+@-]{1,128}", tag["Key"]), (name, logical_id)
                assert re.fullmatch(r"[\w .:/=+@-]{1,256}", tag["Value"]), (name, logical_id)


def test_a_template_is_small_enough_and_its_names_are_legal(templates: Templates) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
    for name, template in _each(templates):
        assert len(template.text) < 1_000_000, name
        assert len(list(template.all_properties())) <= 500, name
        assert len(template.outputs) <= 200, name
        assert re.fullmatch(r"[ -~]{1,1024}", template.description), name
        for output, properties in template.outputs.items():
            assert re.fullmatch(r"[A-Za-z0-9]{1,255}", output), (name, output)
            export = properties.get("Export", {"Name": "none"})["Name"]
            assert re.fullmatch(r"[A-Za-z0-9:-]{1,255}", export), (name, output)
        for parameter, properties in template.parameters.items():
            assert len(properties.get("Description", "")) <= 4_000, (name, parameter)


def test_the_inline_policies_of_a_role_are_small_enough(templates: Templates) -> None:
    """10,240 characters in all. A reference becomes an ARN of up to 200 characters."""
    for name, template in _each(templates):
        sizes: dict[str, int] = {}
        for policy in template.properties("AWS::IAM::Policy").values():
            references = str(policy["PolicyDocument"]).count("Fn::") * 200
            size = len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) + references
            for role in policy["Roles"]:
                sizes[str(role)] = sizes.get(str(role), 0) + size
        assert all(size <= 10_240 for size in sizes.values()), (name, sizes)


def test_alarms_look_back_no_longer_than_cloudwatch_does(templates: Templates) -> None:
    """A day, or a week if the period is an hour or longer."""
    for name, template in _each(templates):
        for logical_id, alarm in template.properties("AWS::CloudWatch::Alarm").items():
            periods = [alarm.get("Period"), *_values(alarm, "Metrics[].MetricStat.Period")]
            period = max(each for each in periods if each is not None)
            longest = 604_800 if period >= 3_600 else 86_400
            assert period * alarm["EvaluationPeriods"] <= longest, (name, logical_id)
            assert 1 <= alarm.get("DatapointsToAlarm", 1) <= alarm["EvaluationPeriods"]
            returned = [m for m in alarm.get("Metrics", ()) if m.get("ReturnData", True)]
            assert len(returned) == ("Metrics" in alarm), (name, logical_id)


def test_a_composite_alarm_has_a_rule_that_cloudwatch_accepts(templates: Templates) -> None:
    """10,240 characters, with the ARNs of its alarms (here of 200 each)."""
    for name, template in _each(templates):
        for alarm in template.properties("AWS::CloudWatch::CompositeAlarm").values():
            rule = flat(alarm["AlarmRule"])
            assert len(rule) + 150 * rule.count("ALARM(") <= 10_240, name


def test_functions_combine_only_what_lambda_lets_them(templates: Templates) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html#snapstart-supported-regions
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    for name, template in _each(templates):
        for logical_id, function in template.properties("AWS::Lambda::Function").items():
            if "SnapStart" in function:
                assert "FileSystemConfigs" not in function, (name, logical_id)
                assert function.get("EphemeralStorage", {"Size": 512})["Size"] <= 512
            logging = function.get("LoggingConfig", {})
            if "ApplicationLogLevel" in logging or "SystemLogLevel" in logging:
                assert logging["LogFormat"] == "JSON", (name, logical_id)
        for alias in template.properties("AWS::Lambda::Alias").values():
            assert "ProvisionedConcurrencyConfig" not in alias, "not together with SnapStart"


@pytest.mark.parametrize("key", ["Name", "Priority"])
def test_each_rule_of_a_web_acl_has_a_name_and_a_priority_of_its_own(
    templates: Templates, key: str
) -> None:
    for name, template in _each(templates):
        for acl in template.properties("AWS::WAFv2::WebACL").values():
            values = [rule[key] for rule in acl["Rules"]]
            assert len(set(values)) == len(values), name


def test_metrics_of_a_web_acl_are_told_apart(templates: Templates) -> None:
    for name, template in _each(templates):
        for acl in template.properties("AWS::WAFv2::WebACL").values():
            metrics = [each["VisibilityConfig"]["MetricName"] for each in (acl, *acl["Rules"])]
            assert len(set(metrics)) == len(metrics), name


def test_a_dashboard_has_no_more_than_cloudwatch_shows(templates: Templates) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"""
    for name, template in _each(templates):
        for dashboard in template.properties("AWS::CloudWatch::Dashboard").values():
            widgets = json.loads(flat(dashboard["DashboardBody"]))["widgets"]
            assert len(widgets) <= 500, name
            for widget in widgets:
                assert len(widget["properties"].get("metrics", ())) <= 500, name
                assert len(widget["properties"].get("alarms", ())) <= 100, name


def _each(templates: Templates) -> Iterator[tuple[str, Template]]:
    for name, stacks in templates.items():
        for part, template in stacks.items():
            yield f"{name} {part}", template


def _tags(properties: Properties) -> list[dict[str, Any]]:
    tags = properties.get("Tags", [])
    return [{"Key": k, "Value": v} for k, v in tags.items()] if isinstance(tags, dict) else tags


def _values(value: Any, path: str) -> Iterator[Any]:
    """Yield what is at a path: `[]` is each element, and `{}` is each key."""
    head, _, rest = path.partition(".")
    name = head.removesuffix("[]").removesuffix("{}")
    if not isinstance(value, dict) or name not in value:
        return
    found = value[name]
    if head.endswith("{}"):
        yield from found
    elif head.endswith("[]"):
        elements = found.values() if isinstance(found, dict) else as_list(found)
        for element in elements:
            yield from _values(element, rest) if rest else (element,)
    else:
        yield from _values(found, rest) if rest else (found,)
