"""When the cleanup runs."""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class CleanupSchedule(Construct):
    """Runs every worker of the cleanup at a fixed rate. Nothing is retried: the next run is.

    All workers start within the same minute, each with its own share of the table, and so at most
    `workers` of them run at once. A run that could not be started is kept in `dead_letters`, for a
    look.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cleanup: lambda_.Function,
        every: cdk.Duration,
        workers: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        # The schedule hands each run to Lambda's own queue, which would retry it twice.
        cleanup.configure_async_invoke(retry_attempts=0, max_event_age=every)
        for worker in range(workers):
            scheduler.Schedule(
                self,
                # The first one's id stays whatever the number, so that it is never made anew.
                f"Schedule{worker or ''}",
                description=(
                    "Removes stale and expired connections, and counts the rest:"
                    f" worker {worker} of {workers}"
                ),
                schedule=scheduler.ScheduleExpression.rate(every),
                time_window=scheduler.TimeWindow.off(),
                target=targets.LambdaInvoke(
                    cleanup,
                    input=scheduler.ScheduleTargetInput.from_object(
                        {"worker": worker, "workers": workers}
                    ),
                    retry_attempts=0,
                    max_event_age=every,
                    dead_letter_queue=self.dead_letters,
                ),
            )
