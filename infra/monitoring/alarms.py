"""What tells somebody, what it means, and how urgent it is."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Environment
from infra.data.table import ATTENTION_INDEX, CONNECTION_INDEX
from infra.monitoring.metrics import ServiceMetrics, aws_metric
from infra.service.rest_api import STAGE as REST_STAGE
from infra.service.rest_api import RestApi
from infra.service.websocket_api import STAGE as WEBSOCKET_STAGE
from infra.service.websocket_api import WebSocketApi
from lambdas.metrics import MetricName

CLEANUP_MISSED_RUNS: Final = 3
"""Runs that may fail in a row, one being a hiccup, before somebody is told."""

PLANNED_WORK_MINUTES: Final = 60
"""How long the announcement of planned work holds."""

# How long a page waits for an announcement that was just made to be seen, and how long everything
# may take to recover once it is over. CloudWatch looks at an alarm once a minute.
_SUPPRESSION_WAIT: Final = cdk.Duration.minutes(1)
_SUPPRESSION_EXTENSION: Final = cdk.Duration.minutes(10)

TABLE_OPERATIONS: Final = (
    "GetItem",
    "Query",
    "Scan",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "TransactWriteItems",
)
"""What the code asks of the table."""

_AT_LEAST: Final = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_BELOW: Final = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
_Missing = cloudwatch.TreatMissingData


class Severity(Enum):
    """Whom an alarm tells. The value is what its description says."""

    PAGE = "PAGE"
    """Somebody, now, and each time."""
    IMPAIRED = "PAGE (as part of ServiceImpaired)"
    """Somebody, now, and once, whatever else is wrong with the service."""
    TICKET = "TICKET"
    """Somebody, in the morning."""
    NOBODY = "NO ACTION"


class Alarms(Construct):
    """The alarms of one environment. Each tells its topic when it goes off and when it is over.

    What is wrong with the service itself pages through the composite `ServiceImpaired`: one
    incident is one page. Where the environment has no composite alarms, each of those pages by
    itself; where it has no metric math, the alarms that need it are left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        metrics: ServiceMetrics,
        page: sns.ITopic,
        ticket: sns.ITopic,
        websocket: WebSocketApi,
        rest: RestApi,
        functions: Mapping[str, lambda_.IFunction],
        dead_letters: sqs.IQueue,
        table: dynamodb.ITable,
    ) -> None:
        super().__init__(scope, construct_id)
        self._environment = environment
        self._metrics = metrics
        self._page = page
        self._ticket = ticket
        self.paging: list[cloudwatch.AlarmBase] = []
        """Those that page by themselves."""
        self.behind: list[cloudwatch.AlarmBase] = []
        """All others: they say what is wrong when the service is impaired, or can wait."""
        self._impairing: dict[str, cloudwatch.Alarm] = {}
        self.sections: list[str] = []
        """The sections of the runbook that the alarms refer to."""

        unreachable = self._add_businesses()
        self._add_cleanup(functions["Cleanup"], dead_letters)
        for name, function in functions.items():
            self._add_function(name, function)
        self._add_rest(rest)
        self._add_websocket(websocket)
        self._add_table(table)
        if environment.emulator is None:
            self._add_composite(unreachable)
        self.all = (*self.paging, *self.behind)

    # The businesses: can they hear their orders?

    def _add_businesses(self) -> cloudwatch.Alarm:
        """Add what is about businesses; return UnreachableBusinesses."""
        environment, gauge = self._environment, self._metrics.gauge
        sustained = (
            environment.alarms.businesses.datapoints,
            environment.alarms.businesses.periods,
        )
        # Without a census nothing is known, and least of all that it is over: hence IGNORE. That
        # there was none is CleanupDidNotComplete's to say.
        self._add(
            "VirtualWithoutReal",
            "Virtual without real",
            Severity.PAGE,
            "Businesses look open to customers, but no device of theirs is connected: their"
            " orders go nowhere.",
            metric=gauge(MetricName.VIRTUAL_ONLY_BUSINESSES),
            threshold=environment.alarms.virtual_only,
            sustained=sustained,
            missing=_Missing.IGNORE,
        )
        if environment.emulator is None:
            self._add(
                "VirtualWithoutRealShare",
                "Virtual without real, share",
                Severity.PAGE,
                "So large a share of the open businesses has no device connected that it is not"
                " the businesses: look for one common cause.",
                metric=cloudwatch.MathExpression(
                    expression="IF(online > 0, 100 * virtual_only / online, 0)",
                    using_metrics={
                        "virtual_only": gauge(MetricName.VIRTUAL_ONLY_BUSINESSES),
                        "online": gauge(MetricName.ONLINE_BUSINESSES),
                    },
                    label="Percent of the online businesses",
                    period=self._metrics.census_period,
                ),
                threshold=environment.alarms.virtual_only_percent,
                sustained=sustained,
                missing=_Missing.IGNORE,
            )
        self._add(
            "AttentionEntered",
            "Attention entered",
            Severity.PAGE,
            "Another business has just been without a device for longer than the grace period:"
            " its orders go nowhere. Tells of a new one also while others are in trouble already.",
            metric=self._metrics.count(MetricName.ATTENTION_ENTERED),
            threshold=1,
        )
        unreachable = self._add(
            "UnreachableBusinesses",
            "Unreachable businesses",
            Severity.PAGE,
            "Businesses accept orders, but nothing of theirs is connected any more, and customers"
            " see them closed: they lose orders without knowing it.",
            metric=gauge(MetricName.UNREACHABLE_BUSINESSES),
            threshold=environment.alarms.unreachable,
            sustained=sustained,
            missing=_Missing.IGNORE,
        )
        if environment.emulator is None:
            drop = cloudwatch.MathExpression(
                expression="-DIFF(real)",
                using_metrics={"real": gauge(MetricName.REAL_CONNECTIONS)},
                label="Lost since the last census",
                period=self._metrics.census_period,
            )
            self._add(
                "MassDisconnect",
                "Mass disconnect",
                Severity.PAGE,
                "A large share of all devices has lost its connection at once: the WebSocket API,"
                " a network, or a bad release of the devices.",
                metric=cloudwatch.MathExpression(
                    expression=(
                        f"IF(drop >= {environment.alarms.mass_disconnect_minimum},"
                        " 100 * drop / (real + drop), 0)"
                    ),
                    using_metrics={"real": gauge(MetricName.REAL_CONNECTIONS), "drop": drop},
                    label="Percent of the real connections that were lost",
                    period=self._metrics.census_period,
                ),
                threshold=environment.alarms.mass_disconnect_percent,
                # A difference needs two periods of data: one alone would have nothing to compare.
                sustained=(1, 2),
            )
        return unreachable

    # The cleanup: without it the alarms above are blind.

    def _add_cleanup(self, cleanup: lambda_.IFunction, dead_letters: sqs.IQueue) -> None:
        environment = self._environment
        window = cdk.Duration.seconds(environment.cleanup.interval * CLEANUP_MISSED_RUNS)
        completed = self._metrics.of_each_worker(MetricName.CLEANUP_COMPLETED, "Sum", window)
        self._add(
            "CleanupDidNotComplete",
            "Cleanup did not complete",
            Severity.IMPAIRED,
            f"No cleanup run was completed {CLEANUP_MISSED_RUNS} times in a row: dead connections"
            " stay, nobody is counted, and the alarms about businesses are blind.",
            metric=(
                cloudwatch.MathExpression(
                    # FILL, because CloudWatch prefers old data to none: with one period to judge
                    # it would otherwise go on for some windows with the last one that had data.
                    expression=" + ".join(f"(FILL({each}, 0) > 0)" for each in completed),
                    using_metrics=dict(completed),
                    label="Workers that completed a run",
                    period=window,
                )
                if environment.emulator is None
                else next(iter(completed.values()))
            ),
            comparison=_BELOW,
            threshold=environment.cleanup.workers if environment.emulator is None else 1,
            missing=_Missing.BREACHING,
        )
        self._add(
            "CleanupRefused",
            "Cleanup refused",
            Severity.IMPAIRED,
            "The cleanup wanted to remove so many connections that it stopped: they are all dead,"
            " or something tells it so wrongly. Each run removes a tenth at most until somebody"
            " looks.",
            metric=self._metrics.count(MetricName.CLEANUP_REFUSED),
            threshold=1,
        )
        self._add(
            "CleanupFailed",
            "Cleanup failed",
            Severity.IMPAIRED,
            "Cleanup runs end with an error, or at their timeout.",
            metric=_of_function(cleanup, "Errors", self._metrics.census_period),
            threshold=1,
            sustained=self._impaired,
        )
        self._add(
            "CleanupDeadLetters",
            "Cleanup dead letters",
            Severity.TICKET,
            "Cleanup runs could not be started; why is in the dead-letter queue.",
            metric=aws_metric(
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                {"QueueName": dead_letters.queue_name},
                statistic="Maximum",
            ),
            threshold=1,
        )
        self._add(
            "ProbesUnknown",
            "Probes unknown",
            Severity.IMPAIRED,
            "The cleanup cannot learn which sockets are open: the management API fails, throttles"
            " or forbids. Nothing is removed meanwhile.",
            metric=self._metrics.count(MetricName.PROBES_UNKNOWN),
            threshold=environment.alarms.probes_unknown,
            sustained=self._impaired,
        )

    # The functions.

    def _add_function(self, name: str, function: lambda_.IFunction) -> None:
        environment = self._environment
        # The cleanup runs a few times an hour: it has an alarm of its own for each failure.
        scheduled = name == "Cleanup"
        if environment.emulator is None and not scheduled:
            self._add(
                f"{name}Errors",
                "Function errors",
                Severity.IMPAIRED,
                f"Calls of the function {name} fail.",
                metric=_share(
                    environment,
                    {"errors": _of_function(function, "Errors")},
                    {"calls": _of_function(function, "Invocations")},
                    label=f"Percent of the calls of {name} that failed",
                ),
                threshold=environment.alarms.errors_percent,
                sustained=self._impaired,
            )
        self._add(
            f"{name}Throttles",
            "Function throttles",
            Severity.IMPAIRED,
            f"Calls of the function {name} are turned away: the account's concurrency is used up.",
            metric=_of_function(function, "Throttles"),
            threshold=1 if scheduled else environment.alarms.throttles,
            sustained=self._impaired,
        )
        assert isinstance(function, lambda_.Function)  # noqa: S101 - narrows the type
        assert function.timeout is not None  # noqa: S101 - every function here has one
        timeout = cdk.Duration.to_milliseconds(function.timeout)
        self._add(
            f"{name}Duration",
            "Function duration",
            Severity.TICKET,
            f"Calls of the function {name} take {environment.alarms.duration_percent} % of its timeout"
            f" of {timeout / 1000:g} s.",
            metric=_of_function(
                function,
                "Duration",
                self._metrics.health_period if scheduled else None,
                statistic="Maximum",
            ),
            threshold=timeout * environment.alarms.duration_percent / 100,
            sustained=self._impaired,
        )

    # The APIs.

    def _add_rest(self, rest: RestApi) -> None:
        environment = self._environment
        dimensions = {"ApiName": rest.api.rest_api_name, "Stage": REST_STAGE}
        if environment.emulator is None:
            self._add(
                "RestServerErrors",
                "REST server errors",
                Severity.IMPAIRED,
                "Requests to the REST API are answered with 5xx.",
                metric=_share(
                    environment,
                    {"errors": aws_metric("AWS/ApiGateway", "5XXError", dimensions)},
                    {"requests": aws_metric("AWS/ApiGateway", "Count", dimensions)},
                    label="Percent of the requests that failed",
                ),
                threshold=environment.alarms.errors_percent,
                sustained=self._impaired,
            )
        self._add(
            "RestLatency",
            "REST latency",
            Severity.TICKET,
            f"One in a hundred REST requests takes longer than {environment.alarms.rest_latency_ms} ms.",
            metric=aws_metric("AWS/ApiGateway", "Latency", dimensions, statistic="p99"),
            threshold=environment.alarms.rest_latency_ms,
            sustained=self._impaired,
        )

    def _add_websocket(self, websocket: WebSocketApi) -> None:
        environment = self._environment
        dimensions = {"ApiId": websocket.api.api_id, "Stage": WEBSOCKET_STAGE}

        def metric(name: str, period: cdk.Duration | None = None) -> cloudwatch.Metric:
            return aws_metric("AWS/ApiGateway", name, dimensions, period=period)

        if environment.emulator is None:
            self._add(
                "WebSocketErrors",
                "WebSocket errors",
                Severity.IMPAIRED,
                "The WebSocket API cannot call its functions, or they answer with an error:"
                " devices cannot connect, or are not heard.",
                metric=_share(
                    environment,
                    {
                        "integration": metric("IntegrationError"),
                        "execution": metric("ExecutionError"),
                    },
                    {"connects": metric("ConnectCount"), "messages": metric("MessageCount")},
                    label="Percent of the connects and messages that failed",
                ),
                threshold=environment.alarms.errors_percent,
                sustained=self._impaired,
            )
        self._add(
            "NewConnections",
            "New connections near the quota",
            Severity.TICKET,
            f"Devices connect at {environment.alarms.new_connections_per_second} a second: beyond the"
            " account's quota they are refused.",
            metric=metric("ConnectCount", cdk.Duration.minutes(1)),
            threshold=environment.alarms.new_connections_per_second * 60,
            sustained=self._impaired,
        )

    # The table.

    def _add_table(self, table: dynamodb.ITable) -> None:
        environment = self._environment
        if environment.emulator is not None:
            return
        self._add(
            "TableThrottles",
            "Table throttles",
            Severity.IMPAIRED,
            "DynamoDB throttles the table or one of its indexes: calls fail or are slow.",
            metric=self._sum_of_table(
                table,
                "Throttled calls",
                {
                    f"{kind.lower()}s_{index.lower() or 'table'}": (
                        f"{kind}ThrottleEvents",
                        {"GlobalSecondaryIndexName": index} if index else {},
                    )
                    for kind in ("Read", "Write")
                    for index in ("", CONNECTION_INDEX, ATTENTION_INDEX)
                },
            ),
            threshold=environment.alarms.throttles,
            sustained=self._impaired,
        )
        self._add(
            "TableSystemErrors",
            "Table system errors",
            Severity.IMPAIRED,
            "DynamoDB answers with errors of its own.",
            metric=self._sum_of_table(
                table,
                "System errors",
                {
                    operation[0].lower() + operation[1:]: ("SystemErrors", {"Operation": operation})
                    for operation in TABLE_OPERATIONS
                },
            ),
            threshold=environment.alarms.errors_minimum,
            sustained=self._impaired,
        )

    def _sum_of_table(
        self,
        table: dynamodb.ITable,
        label: str,
        counts: Mapping[str, tuple[str, Mapping[str, str]]],
    ) -> cloudwatch.MathExpression:
        # DynamoDB counts only what happens, and an alarm on its metrics ignores missing data,
        # whatever it is told: one throttled minute would be an alarm for ever. What the cleanup
        # reads is there in every period, and where one metric has data, math takes others as 0.
        period = self._metrics.health_period
        name = {"TableName": table.table_name}
        consumed = aws_metric("AWS/DynamoDB", "ConsumedReadCapacityUnits", name, period=period)
        return cloudwatch.MathExpression(
            expression=" + ".join(("0 * consumed", *counts)),
            using_metrics={
                "consumed": consumed,
                **{
                    each: aws_metric("AWS/DynamoDB", metric, {**name, **more}, period=period)
                    for each, (metric, more) in counts.items()
                },
            },
            label=label,
            period=period,
        )

    # All together.

    def _add_composite(self, unreachable: cloudwatch.Alarm) -> None:
        planned_work = self._add(
            "PlannedWork",
            "Planned work",
            Severity.NOBODY,
            "Somebody has announced planned work within the last"
            f" {PLANNED_WORK_MINUTES} minutes: ServiceImpaired pages nobody.",
            metric=self._metrics.planned_work(),
            threshold=1,
            # Short periods: CloudWatch may look back some periods further than it is told.
            sustained=(1, PLANNED_WORK_MINUTES // 5),
        )
        in_alarm = {
            name: cloudwatch.AlarmRule.from_alarm(alarm, cloudwatch.AlarmState.ALARM)
            for name, alarm in self._impairing.items()
        }
        # At the very first deployment there is no run yet that could have been completed. What
        # ignores missing data has INSUFFICIENT_DATA until the first census, and never again: only
        # from then on a missing one means anything. A cleanup that fails from the first run on
        # pages through CleanupFailed or CleanupThrottles.
        in_alarm["CleanupDidNotComplete"] = cloudwatch.AlarmRule.all_of(
            in_alarm["CleanupDidNotComplete"],
            cloudwatch.AlarmRule.not_(
                cloudwatch.AlarmRule.from_alarm(
                    unreachable, cloudwatch.AlarmState.INSUFFICIENT_DATA
                )
            ),
        )
        impaired = cloudwatch.CompositeAlarm(
            self,
            "ServiceImpaired",
            # Named as CloudFormation names the other alarms, so that one prefix lists them all.
            composite_alarm_name=f"{cdk.Stack.of(self).stack_name}-ServiceImpaired",
            alarm_description=self._description(
                "Service impaired",
                Severity.PAGE,
                "Something is wrong with the service itself. The alarms that say what are listed"
                " in the reason, and on the dashboard.",
            ),
            alarm_rule=cloudwatch.AlarmRule.any_of(*in_alarm.values()),
            actions_suppressor=planned_work,
            actions_suppressor_wait_period=_SUPPRESSION_WAIT,
            actions_suppressor_extension_period=_SUPPRESSION_EXTENSION,
        )
        self._tell(impaired, self._page)
        self.paging.append(impaired)

    @property
    def _impaired(self) -> tuple[int, int]:
        return self._environment.alarms.service.datapoints, self._environment.alarms.service.periods

    def _add(
        self,
        name: str,
        section: str,
        severity: Severity,
        meaning: str,
        *,
        metric: cloudwatch.IMetric,
        threshold: float,
        comparison: cloudwatch.ComparisonOperator = _AT_LEAST,
        sustained: tuple[int, int] = (1, 1),
        missing: cloudwatch.TreatMissingData = _Missing.NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        """Add one alarm; `sustained` is how many periods must show it, out of how many."""
        if severity is Severity.IMPAIRED and self._environment.emulator is not None:
            severity = Severity.PAGE
        datapoints, periods = sustained
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=self._description(section, severity, meaning),
            metric=metric,
            comparison_operator=comparison,
            threshold=threshold,
            datapoints_to_alarm=datapoints,
            evaluation_periods=periods,
            treat_missing_data=missing,
        )
        match severity:
            case Severity.PAGE:
                self._tell(alarm, self._page)
            case Severity.TICKET:
                self._tell(alarm, self._ticket)
            case Severity.IMPAIRED:
                self._impairing[name] = alarm
        (self.paging if severity is Severity.PAGE else self.behind).append(alarm)
        return alarm

    def _description(self, section: str, severity: Severity, meaning: str) -> str:
        if section not in self.sections:
            self.sections.append(section)
        return (
            f"[{self._environment.name}] {severity.value}: {meaning}"
            f' See docs/runbook.md, "{section}".'
        )

    @staticmethod
    def _tell(alarm: cloudwatch.AlarmBase, topic: sns.ITopic) -> None:
        alarm.add_alarm_action(actions.SnsAction(topic))
        alarm.add_ok_action(actions.SnsAction(topic))


def anchor(section: str) -> str:
    """Return how a heading of the runbook is addressed in a link."""
    return re.sub(r"[^a-z0-9-]", "", section.lower().replace(" ", "-"))


def _of_function(
    function: lambda_.IFunction,
    name: str,
    period: cdk.Duration | None = None,
    statistic: str = "Sum",
) -> cloudwatch.Metric:
    return aws_metric(
        "AWS/Lambda",
        name,
        {"FunctionName": function.function_name},
        statistic=statistic,
        period=period,
    )


def _share(
    environment: Environment,
    failed: Mapping[str, cloudwatch.IMetric],
    of: Mapping[str, cloudwatch.IMetric],
    *,
    label: str,
) -> cloudwatch.MathExpression:
    """Return how many percent failed, or 0 while so few did that a share says nothing."""
    count, total = " + ".join(failed), " + ".join(of)
    return cloudwatch.MathExpression(
        expression=f"IF({count} >= {environment.alarms.errors_minimum}, 100 * ({count}) / ({total}), 0)",
        using_metrics={**failed, **of},
        label=label,
        period=cdk.Duration.minutes(5),
    )
