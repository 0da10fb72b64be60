import json
from typing import Any

from infra.configuration import MAX_CLEANUP_WORKERS, Environment
from lambdas import bootstrap
from lambdas.handlers import cleanup
from tests.infra.template import Template, as_list, flat


def test_each_worker_runs_at_the_interval(service: Template, environment: Environment) -> None:
    minutes = environment.cleanup.interval // 60
    unit = "minute" if minutes == 1 else "minutes"
    schedules = _schedules(service)
    assert len(schedules) == environment.cleanup.workers
    for schedule in schedules:
        assert schedule["ScheduleExpression"] == f"rate({minutes} {unit})"
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert schedule["State"] == "ENABLED"


def test_the_workers_read_each_segment_of_the_table_once(
    service: Template, environment: Environment
) -> None:
    shares = [
        cleanup._Options.from_event(json.loads(schedule["Target"]["Input"])).share
        for schedule in _schedules(service)
    ]
    assert len(shares) == environment.cleanup.workers
    (total,) = {share.total_parts for share in shares}
    assert sorted(segment for share in shares for segment in share.parts) == list(range(total))


def test_the_first_worker_keeps_its_schedule_whatever_the_number_of_workers(
    service: Template,
) -> None:
    """A replaced schedule would start at another minute than the others."""
    schedule = service.properties("AWS::Scheduler::Schedule")["CleanupSchedule58F0B99D"]
    assert json.loads(schedule["Target"]["Input"])["worker"] == 0


def test_a_failed_run_is_not_retried(service: Template) -> None:
    """The next run is the retry. By default, Lambda would repeat a failed run twice."""
    for schedule in _schedules(service):
        assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert _invocation(service)["MaximumRetryAttempts"] == 0


def test_a_run_that_is_an_interval_late_is_dropped(
    service: Template, environment: Environment
) -> None:
    interval = environment.cleanup.interval
    for schedule in _schedules(service):
        assert schedule["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"] == interval
    assert _invocation(service)["MaximumEventAgeInSeconds"] == interval


def test_a_run_that_cannot_be_started_goes_to_an_encrypted_dead_letter_queue(
    service: Template,
) -> None:
    queue = _dead_letters(service)
    resource = service.resources("AWS::SQS::Queue")[queue]
    assert resource["Properties"]["MessageRetentionPeriod"] == 14 * 86_400
    encrypted_by = resource["Properties"].keys() & {"SqsManagedSseEnabled", "KmsMasterKeyId"}
    assert len(encrypted_by) == 1


def test_the_schedules_may_only_start_the_cleanup_and_store_dead_letters(service: Template) -> None:
    (role,) = {schedule["Target"]["RoleArn"]["Fn::GetAtt"][0] for schedule in _schedules(service)}
    (policy,) = (
        properties
        for properties in service.properties("AWS::IAM::Policy").values()
        if {"Ref": role} in properties["Roles"]
    )
    allowed = {
        (action, flat(resource).strip("<>"))
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    queue = _dead_letters(service)
    (live,) = {flat(schedule["Target"]["Arn"]).strip("<>") for schedule in _schedules(service)}
    assert allowed == {
        ("lambda:InvokeFunction", live),
        ("sqs:SendMessage", f"{queue}.Arn"),
    }
    (trust,) = service.properties("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert "aws:SourceAccount" in trust["Condition"]["StringEquals"]


def test_the_attention_index_and_the_management_api_can_take_all_workers_at_once() -> None:
    """All workers start within the same minute, each at its full rate."""
    assert MAX_CLEANUP_WORKERS * bootstrap.MARKS_PER_SECOND < 1_000
    assert MAX_CLEANUP_WORKERS * bootstrap.MANAGEMENT_CALLS_PER_SECOND < 10_000 / 4


def _dead_letters(service: Template) -> str:
    """The logical id of the queue that all schedules name."""
    (arn,) = {flat(each["Target"]["DeadLetterConfig"]["Arn"]) for each in _schedules(service)}
    return arn.removeprefix("<").removesuffix(".Arn>")


def _schedules(service: Template) -> list[dict[str, Any]]:
    return [
        schedule
        for schedule in service.properties("AWS::Scheduler::Schedule").values()
        if flat(schedule["Target"]["Arn"]).startswith("<FunctionsCleanupLive")
    ]


def _invocation(service: Template) -> dict[str, Any]:
    """How Lambda invokes the cleanup when the schedule asks for it."""
    (invocation,) = (
        each
        for each in service.properties("AWS::Lambda::EventInvokeConfig").values()
        if flat(each["FunctionName"]).startswith("<FunctionsCleanupFunction")
    )
    return invocation
