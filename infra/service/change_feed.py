"""The change feed: from a change in the table to a recorded and published transition."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.service.dead_letters import dead_letter_queue
from infra.service.function import ServiceFunction
from infra.service.functions import BUSINESSES, Functions
from lambdas.table_schema import CONNECTION_PREFIX, SETTINGS_KEY, SORT_KEY
from lambdas.variables import DEAD_LETTERS_URL, EVENT_BUS_NAME, HISTORY_DAYS, HISTORY_TABLE_NAME

BATCH_SIZE: Final = 100

RECORDING_WINDOW: Final = cdk.Duration.seconds(5)
"""How long changes are collected before they are judged. A device that reconnects meanwhile causes
no transition.
"""

RECORDING_MAX_AGE: Final = cdk.Duration.hours(1)
"""Give up a change after this time. The next cleanup finds what it led to."""

PUBLISHING_MAX_AGE: Final = cdk.Duration.hours(23)
"""Give up a transition after this time. A stream keeps its records for 24 hours."""

RECORDED: Final[tuple[Mapping[str, Any], ...]] = (
    {"dynamodb": {"Keys": {SORT_KEY: {"S": [SETTINGS_KEY]}}}},
    {
        "eventName": ["INSERT", "REMOVE"],
        "dynamodb": {"Keys": {SORT_KEY: {"S": [{"prefix": CONNECTION_PREFIX}]}}},
    },
)
"""The changes of the table that can be a transition. A ping is none: it modifies a connection."""

PUBLISHED: Final[tuple[Mapping[str, Any], ...]] = ({"eventName": ["INSERT"]},)
"""The changes of the history that are published. Others are deletions by TTL."""


class ChangeFeed(Construct):
    """Records each transition in `history`, and sends it to `bus` from there.

    `Recorder` reads the stream of `table`, `Publisher` that of `history`. The cleanup and Rest
    record too. A failing batch is halved and retried until it is too old. What was given up, and
    what a handler could not process, is in `dead_letters`.

    The streams are strong references: CloudFormation refuses to replace a stream that a mapping
    reads. A mapping cannot follow: the new one would collide with the old one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Functions,
        table: dynamodb.ITable,
        history: dynamodb.ITable,
        history_days: int,
        bus: events.IEventBus,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters: sqs.Queue = dead_letter_queue(self, key=key)
        self.recorder = self._add(functions, "Recorder", {})
        self.publisher = self._add(functions, "Publisher", {EVENT_BUS_NAME: bus.event_bus_name})
        self.functions = (self.recorder, self.publisher)

        for function in functions.recording:
            function.function.add_environment(HISTORY_TABLE_NAME, history.table_name)
            function.function.add_environment(HISTORY_DAYS, str(history_days))
            function.allow_items("PutItem", "Query", table=history, keys=[BUSINESSES])
        self.publisher.allow("events:PutEvents", on=[bus.event_bus_arn])

        self._map(
            table,
            self.recorder,
            RECORDED,
            # The next cleanup finds what happened before.
            starting_position="LATEST",
            maximum_batching_window_in_seconds=RECORDING_WINDOW.to_seconds(),
            maximum_record_age_in_seconds=RECORDING_MAX_AGE.to_seconds(),
        )
        self._map(
            history,
            self.publisher,
            PUBLISHED,
            starting_position="TRIM_HORIZON",
            maximum_record_age_in_seconds=PUBLISHING_MAX_AGE.to_seconds(),
        )

    def _add(
        self, functions: Functions, name: str, variables: Mapping[str, str]
    ) -> ServiceFunction:
        function = functions.add(name, {**variables, DEAD_LETTERS_URL: self.dead_letters.queue_url})
        function.allow("sqs:SendMessage", on=[self.dead_letters.queue_arn])
        return function

    def _map(
        self,
        source: dynamodb.ITable,
        function: ServiceFunction,
        filters: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> None:
        """Let a function read the stream of a table."""
        stream = source.table_stream_arn
        assert stream is not None  # noqa: S101 - both tables have a stream
        function.allow(
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            on=[stream],
        )
        function.allow("dynamodb:ListStreams", on=["*"])
        # Not `DynamoEventSource`: it allows the function more than this.
        mapping = lambda_.CfnEventSourceMapping(
            self,
            f"{function.node.id}Mapping",
            event_source_arn=stream,
            function_name=function.live.function_arn,
            filter_criteria=lambda_.CfnEventSourceMapping.FilterCriteriaProperty(
                filters=[
                    lambda_.CfnEventSourceMapping.FilterProperty(pattern=json.dumps(each))
                    for each in filters
                ]
            ),
            batch_size=BATCH_SIZE,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=-1,  # no limit before the maximum age
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                    destination=self.dead_letters.queue_arn
                )
            ),
            **options,
        )
        # Lambda checks the permissions of the function when it makes the mapping.
        mapping.node.add_dependency(function.role)
