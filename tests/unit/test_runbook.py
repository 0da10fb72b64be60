"""The commands in docs/runbook.md work, and the names in it exist."""

import ast
import json
import re
import subprocess
import sys
from typing import Any

import botocore.session
import jmespath  # type: ignore[import-untyped]  # has no types
import pytest
from aws_lambda_powertools import Logger
from botocore import xform_name
from botocore.model import OperationModel, Shape
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]  # as above

from lambdas import observability, protocol
from lambdas.domain.cleanup_report import CleanupReport
from lambdas.domain.model import Attention
from lambdas.routes import methods_by_path
from lambdas.use_cases.cleanup_run import CleanupRun
from tests.monitoring.aws_metrics import DOCUMENTED
from tests.runbook import (
    OPERATORS,
    RUNBOOK,
    alarm_sections,
    blocks,
    commands,
    inline_commands,
    sections,
)

ROOT = RUNBOOK.parent.parent

PARTS = ("First look", "Causes", "fix", "It worked when", "It does not")
"""The parts of an alarm's section, in order. Two may share a label: "Causes and fix"."""

GLOBAL_OPTIONS = {
    "--query",
    "--output",
    "--region",
    "--endpoint-url",
    "--cli-input-json",
    "--cli-read-timeout",
    "--cli-binary-format",
    "--max-items",
}
"""Options of the AWS CLI 2 itself: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html"""

PUT_METRIC_DATA = {"--metric-name", "--dimensions", "--value"}
"""The short form of the CLI: https://docs.aws.amazon.com/cli/latest/reference/cloudwatch/put-metric-data.html"""

_VALUES = {
    f"${name}": values.split()
    for name, values in re.findall(r"for ([A-Z]+) in (.+?); do", "\n".join(blocks("sh")))
} | {"$1": [words[1] for words in commands("websocket_metric")]}
"""The names of metrics that a variable takes: that of a loop, or the one of `websocket_metric`."""

AWS = [command for document in OPERATORS for command in commands("aws", document)]
INSIGHTS = commands("insights")
METRIC = commands("metric")
CALL = commands("call")


# The sections.


@pytest.mark.parametrize("heading", sorted(set(alarm_sections()) - {"Planned work"}))
def test_the_section_of_an_alarm_has_all_that_is_needed_at_night(heading: str) -> None:
    labels = re.findall(r"^\*\*(.+?)\*\*", sections()[heading], flags=re.MULTILINE)[1:]
    wanted = iter(PARTS)
    part = next(wanted)
    for label in " | ".join(labels).split(" | "):
        while part in label or part.capitalize() in label:
            part = next(wanted, "")
            if not part:
                return
    pytest.fail(f"{part!r} is missing in: {labels}")


# The commands.


@pytest.mark.parametrize("block", blocks("sh"))
def test_the_shell_can_read_a_block(block: str) -> None:
    read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


def test_no_command_of_the_aws_cli_is_missed() -> None:
    text = "\n".join(
        text
        for document in OPERATORS
        for text in (*blocks("sh", document), *inline_commands(document))
    )
    assert len(AWS) == len(re.findall(r"\baws (?=[a-z])", text))
    assert len(AWS) > 50


@pytest.mark.parametrize("command", AWS, ids=lambda command: " ".join(command[1:3]))
def test_a_command_of_the_aws_cli_exists_with_its_options(command: list[str]) -> None:
    _, service, operation, *words = command
    if operation == "wait":
        waiters = botocore.session.get_session().get_waiter_model(service).waiter_names
        waiter, *words = words
        assert waiter in {_dashed(name) for name in waiters}
        return
    model = _operation(service, operation)
    allowed = GLOBAL_OPTIONS | set(_options(model))
    if operation == "put-metric-data":
        allowed |= PUT_METRIC_DATA
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    assert set(given) <= allowed
    if "--cli-input-json" not in given:
        # `--no-…` gives the option too.
        assert _required_options(model) <= {each.replace("--no-", "--") for each in given}
    # `invoke` takes one file after its options. No other command takes any.
    assert (operation == "invoke") == words[-1].endswith(".json") or "--cli-input-json" in given


@pytest.mark.parametrize(
    "command",
    [command for command in AWS if "--query" in command],
    ids=lambda command: " ".join(command[1:3]),
)
def test_a_query_of_the_aws_cli_asks_for_fields_of_the_answer(command: list[str]) -> None:
    query = re.sub(r"\$\{?\w+\}?", "VARIABLE", command[command.index("--query") + 1])
    try:
        parsed = jmespath.compile(query).parsed
    except JMESPathError as error:
        pytest.fail(f"{query}: {error}")
    shape = _operation(command[1], command[2]).output_shape
    assert shape is not None
    assert _fields(parsed) - {"VARIABLE"} <= _members(shape) | _KEYS_OF_MAPS


def test_metrics_of_this_service_are_published() -> None:
    published = {name.value for name in observability.MetricName}
    own = [words for words in METRIC if words[1] == observability.NAMESPACE]
    assert own
    for _, _, name, _, *dimensions in own:
        assert name in published
        assert dimensions == [f"Name={observability.DIMENSION},Value=$ENVIRONMENT"]


@pytest.mark.parametrize("words", METRIC, ids=lambda words: words[2])
def test_a_metric_of_aws_is_documented_with_its_dimensions(words: list[str]) -> None:
    _, namespace, name, statistic, *dimensions = words
    assert statistic in {"Sum", "Maximum", "Average"}
    pairs = [re.fullmatch(r"Name=(\w+),Value=.+", dimension) for dimension in dimensions]
    asked = frozenset(str(pair[1]) for pair in pairs if pair)
    assert len(asked) == len(dimensions)
    if namespace == observability.NAMESPACE:
        return
    for each in _VALUES.get(name, [name]):
        assert any(
            (known.namespace, known.dimensions) == (namespace, asked) and each in known.names
            for known in DOCUMENTED
        ), each


@pytest.mark.parametrize("words", CALL, ids=lambda words: words[-1])
def test_a_call_of_the_rest_api_is_one_of_its_routes(words: list[str]) -> None:
    _, *options, url = words
    method = options[options.index("-X") + 1] if "-X" in options else "GET"
    path, _, query = url.removeprefix("$REST").partition("?")
    if query:
        name, _, value = query.partition("=")
        assert name == "attention"
        assert value in set(Attention)
    path = path.replace("$BUSINESS", "{businessId}")
    path = re.sub(r"/connections/.+", "/connections/{connectionId}", path)
    assert method in methods_by_path()[path]
    if "-d" in options:
        json.loads(options[options.index("-d") + 1])


@pytest.mark.parametrize("words", commands("run_cleanup"), ids=lambda words: words[-1])
def test_the_cleanup_takes_the_payload(words: list[str]) -> None:
    from lambdas.handlers.cleanup import _Options

    _Options.from_event(json.loads(words[1]))


# The queries of Logs Insights.


@pytest.mark.parametrize("words", INSIGHTS, ids=lambda words: words[2])
def test_a_query_of_logs_uses_fields_that_are_logged(words: list[str]) -> None:
    _, group, query, *_ = words
    fields = _insights_fields(query)
    known = _access_log_fields(group) if group.endswith("_LOG") else _FUNCTION_FIELDS
    assert {field for field in fields if not field.startswith("@")} <= known
    assert {field for field in fields if field.startswith("@")} <= _DISCOVERED


@pytest.mark.parametrize("words", INSIGHTS, ids=lambda words: words[2])
def test_a_query_of_logs_looks_for_messages_that_are_logged(words: list[str]) -> None:
    for message in re.findall(r'message = "([^"]+)"', words[2]):
        assert message in _LOGGED_MESSAGES


WENT_WRONG = {
    "an error that the code raised": (
        '{"timestamp": "2026-01-31T12:00:00Z", "level": "ERROR", "errorMessage": "no table",'
        ' "errorType": "Unavailable", "requestId": "r1", "stackTrace": ["  File \\"x.py\\""]}'
    ),
    "a module that cannot be imported": (
        '{"timestamp": "2026-01-31T12:00:00Z", "level": "ERROR", "errorMessage": "Unable to import'
        ' module", "errorType": "Runtime.ImportModuleError", "requestId": "", "stackTrace": []}'
    ),
    "a time-out": (
        '{"time":"2026-01-31T12:00:10.000Z","type":"platform.report","record":{"requestId":"r1",'
        '"metrics":{"durationMs":10000.0,"billedDurationMs":10000,"memorySizeMB":256,'
        '"maxMemoryUsedMB":86},"status":"timeout"}}'
    ),
    "a lack of memory": (
        '{"time":"2026-01-31T12:00:00.000Z","type":"platform.report","record":{"requestId":"r1",'
        '"status":"error","errorType":"Runtime.OutOfMemory","metrics":{"durationMs":800.1,'
        '"billedDurationMs":801,"memorySizeMB":128,"maxMemoryUsedMB":128}}}'
    ),
    "a process that ended": (
        '{"time":"2026-01-31T12:00:00.000Z","type":"platform.report","record":{"requestId":"r1",'
        '"metrics":{"durationMs":8.1,"billedDurationMs":9,"memorySizeMB":256,"maxMemoryUsedMB":86},'
        '"status":"error"}}'
    ),
    "a start that took too long": (
        '{"time":"2026-01-31T12:00:10.000Z","type":"platform.initReport","record":'
        '{"initializationType":"on-demand","phase":"init","status":"timeout",'
        '"metrics":{"durationMs":10000.487}}}'
    ),
}
"""What Lambda and its Python runtime write, at the levels that all functions log.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
https://github.com/aws/aws-lambda-python-runtime-interface-client (awslambdaric/bootstrap.py)
"""


@pytest.mark.parametrize("what", WENT_WRONG)
def test_the_command_for_crashes_finds(what: str) -> None:
    assert re.search(_crash(), WENT_WRONG[what])


def test_the_command_for_crashes_finds_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = Logger(service="test", stream=sys.stdout)
    ours.info("cleanup", extra={"report": {"complete": True}, "status": 503})
    ours.warning("refused", extra={"reason": "error"})
    ordinary = capsys.readouterr().out.splitlines()
    assert len(ordinary) == 2
    for line in (*ordinary, _PLATFORM_REPORT):
        assert not re.search(_crash(), line), line


def _crash() -> str:
    """The pattern by which the runbook's `crashes` finds a line."""
    text = RUNBOOK.read_text()
    (pattern,) = re.findall(r"^crashes\(\) \{.*\n.*@message like /(.+)/$", text, re.MULTILINE)
    return str(pattern)


def test_the_table_of_a_cleanups_answer_names_all_its_fields() -> None:
    rows = re.findall(r"^\| (`.+?) \|", sections()["Dry run of a cleanup"], flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == _REPORT - {"worker", "workers", "dryRun"}


# What the AWS CLI derives from the models of botocore.


def _operation(service: str, operation: str) -> OperationModel:
    service = {"deploy": "codedeploy"}.get(service, service)  # as the CLI names it
    model = botocore.session.get_session().get_service_model(service)
    (name,) = (name for name in model.operation_names if _dashed(name) == operation)
    return model.operation_model(name)


def _dashed(name: str) -> str:
    return str(xform_name(name, "-"))


def _options(model: OperationModel) -> dict[str, Shape]:
    assert model.input_shape is not None
    options: dict[str, Shape] = {}
    for name, shape in model.input_shape.members.items():
        options[f"--{_dashed(name)}"] = shape
        if shape.type_name == "boolean":
            options[f"--no-{_dashed(name)}"] = shape
    return options


def _required_options(model: OperationModel) -> set[str]:
    assert model.input_shape is not None
    return {f"--{_dashed(name)}" for name in model.input_shape.required_members}


def _fields(node: dict[str, Any]) -> set[str]:
    """The names that a JMESPath expression reads."""
    own = {node["value"]} if node["type"] == "field" else set()
    return own.union(*(_fields(child) for child in node["children"] if isinstance(child, dict)))


def _members(shape: Shape, seen: frozenset[str] = frozenset()) -> set[str]:
    """The names anywhere in a shape."""
    if shape.name in seen:
        return set()
    seen |= {shape.name}
    names: set[str] = set()
    for name, member in getattr(shape, "members", {}).items():
        names |= {name} | _members(member, seen)
    for inner in ("member", "value"):
        if hasattr(shape, inner):
            names |= _members(getattr(shape, inner), seen)
    return names


_KEYS_OF_MAPS = {
    *("WEBSOCKET_MANAGEMENT_URL", "OIDC_JWKS_URL"),  # of functions
    *("ERROR_CODE", "ERROR_MESSAGE", "SentTimestamp"),  # of a dead letter
    "connectionId",  # of an item of the table
}
"""Keys of maps in the answers. The models of botocore do not name them."""


# What the code logs.


def _trees(folder: str) -> list[ast.AST]:
    return [ast.parse(path.read_text()) for path in sorted((ROOT / folder).rglob("*.py"))]


def _logged() -> tuple[set[str], set[str]]:
    """The messages and the fields of all logging calls in the functions."""
    messages, fields = {observability.NEEDS_ATTENTION}, set(observability.ATTENTION_FIELDS)
    for tree in _trees("lambdas"):
        for node in ast.walk(tree):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "logger"
            ):
                continue
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            if node.func.attr == "append_keys":
                fields |= {name for name in keywords if name}
            elif node.args and isinstance(node.args[0], ast.Constant):
                messages.add(str(node.args[0].value))
                if isinstance(extra := keywords.get("extra"), ast.Dict):
                    fields |= {str(ast.literal_eval(key)) for key in extra.keys if key}
    return messages, fields


def _access_log_fields(group: str) -> set[str]:
    name = {"$REST_LOG": "rest_api", "$WEBSOCKET_LOG": "websocket_api"}[group]
    tree = ast.parse((ROOT / "infra" / "service" / f"{name}.py").read_text())
    (fields,) = (
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "access_log_format"
    )
    assert isinstance(fields, ast.Dict)
    return {str(ast.literal_eval(key)) for key in fields.keys if key}


_REPORT = set(
    protocol.cleanup_document(
        CleanupRun(CleanupReport(), complete=True, dry_run=False, attention_reports=())
    )
) | {"worker", "workers", "milliseconds", "readUnits"}

_LOGGED_MESSAGES, _LOGGED_FIELDS = _logged()

_POWERTOOLS = {"message", "level", "timestamp", "exception", "exception_name"}

_PLATFORM_REPORT = (
    '{"time":"2026-01-31T12:00:00.000Z","type":"platform.report","record":{"requestId":"r1",'
    '"metrics":{"durationMs":20.1,"billedDurationMs":21,"memorySizeMB":512,"maxMemoryUsedMB":86,'
    '"initDurationMs":397.68},"status":"success"}}'
)
"""What Lambda logs of a call that went well, if it is asked to.
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

_PLATFORM = {"type"} | {
    f"record.metrics.{name}" for name in json.loads(_PLATFORM_REPORT)["record"]["metrics"]
}

_FUNCTION_FIELDS = _LOGGED_FIELDS | _POWERTOOLS | _PLATFORM | {f"report.{name}" for name in _REPORT}

_DISCOVERED = {"@timestamp", "@message"}
"""Fields that every line has in Logs Insights."""

_WORDS = {
    *("and", "or", "not", "in", "as", "by", "like", "asc", "desc", "limit", "sort", "fields"),
    *("filter", "stats", "count", "max", "min", "sum", "pct", "bin", "latest", "ispresent"),
}


def _insights_fields(query: str) -> set[str]:
    """The fields that a query reads: its words except literals, keywords and its own names."""
    query = re.sub(r"""/(?:[^/\\]|\\.)+/|"[^"]*"|'[^']*'""", "", query)
    query = re.sub(r"\b\d+[mh]?\b", "", query)
    named = set(re.findall(r"\bas (\w+)", query))
    return set(re.findall(r"@?[A-Za-z_][\w.]*", query)) - _WORDS - named
