"""The schedule of the cleanup."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from constructs import Construct

from infra.security import acknowledge
from infra.service.dead_letters import dead_letter_queue
from infra.service.functions import FUNCTIONS
from infra.service.schedules import schedule_role


class CleanupSchedule(Construct):
    """Runs every worker of the cleanup at a fixed rate. A failed run is not retried: the next run
    does its work.

    All workers start within the same minute, each with its own share of the table. So at most
    `workers` of them run at once. Runs that could not be started are kept in `dead_letters`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cleanup: lambda_.IFunction,
        every: cdk.Duration,
        workers: int,
        key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = dead_letter_queue(self, key=key)
        # The schedule hands each run to Lambda's own queue, which would retry it twice.
        cleanup.configure_async_invoke(retry_attempts=0, max_event_age=every)
        acknowledge(
            cleanup.node.find_child("EventInvokeConfig"),
            "Serverless-LambdaAsyncFailureDestination",
            FUNCTIONS["Cleanup"].no_dead_letters,
        )
        role = schedule_role(self, function=cleanup, dead_letters=self.dead_letters)
        for worker in range(workers):
            schedule = scheduler.Schedule(
                self,
                # The first schedule keeps its id when workers are added, so it is not replaced.
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
                    role=role.without_policy_updates(),
                ),
            )
            schedule.node.add_dependency(role, cleanup)
