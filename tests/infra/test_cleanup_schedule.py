from infra.environments import Environment
from tests.infra.template import Template, as_list, flat


def test_the_cleanup_runs_at_its_interval_with_no_options(
    service: Template, environment: Environment
) -> None:
    _, schedule = service.only("AWS::Scheduler::Schedule")
    minutes = environment.cleanup_interval
    unit = "minute" if minutes == 1 else "minutes"
    assert schedule["Properties"]["ScheduleExpression"] == f"rate({minutes} {unit})"
    assert schedule["Properties"]["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["Properties"]["State"] == "ENABLED"
    assert schedule["Properties"]["Target"]["Input"] == "{}"
    assert flat(schedule["Properties"]["Target"]["Arn"]).startswith("<FunctionsCleanupFunction")


def test_nothing_retries_a_run(service: Template) -> None:
    """The next run is the retry. Lambda would by default repeat a failed one twice."""
    _, schedule = service.only("AWS::Scheduler::Schedule")
    _, invocation = service.only("AWS::Lambda::EventInvokeConfig")
    assert schedule["Properties"]["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert invocation["Properties"]["MaximumRetryAttempts"] == 0
    assert flat(invocation["Properties"]["FunctionName"]).startswith("<FunctionsCleanupFunction")


def test_a_run_that_is_late_by_an_interval_is_given_up(
    service: Template, environment: Environment
) -> None:
    _, schedule = service.only("AWS::Scheduler::Schedule")
    _, invocation = service.only("AWS::Lambda::EventInvokeConfig")
    interval = environment.cleanup_interval * 60
    policy = schedule["Properties"]["Target"]["RetryPolicy"]
    assert policy["MaximumEventAgeInSeconds"] == interval
    assert invocation["Properties"]["MaximumEventAgeInSeconds"] == interval


def test_a_run_that_could_not_be_started_is_kept(service: Template) -> None:
    _, schedule = service.only("AWS::Scheduler::Schedule")
    queue, resource = service.only("AWS::SQS::Queue")
    target = schedule["Properties"]["Target"]
    assert target["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert resource["Properties"]["MessageRetentionPeriod"] == 14 * 86_400
    assert resource["Properties"]["SqsManagedSseEnabled"] is True


def test_the_schedule_may_do_these_two_things_and_nothing_else(service: Template) -> None:
    _, schedule = service.only("AWS::Scheduler::Schedule")
    role = schedule["Properties"]["Target"]["RoleArn"]["Fn::GetAtt"][0]
    (policy,) = (
        properties
        for properties in service.properties("AWS::IAM::Policy").values()
        if {"Ref": role} in properties["Roles"]
    )
    allowed = {
        (action, flat(resource).partition("Function")[0].strip("<"))
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    queue, _ = service.only("AWS::SQS::Queue")
    assert allowed == {
        ("lambda:InvokeFunction", ""),
        ("sqs:SendMessage", f"{queue}.Arn>"),
    }
    (trust,) = service.properties("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert "aws:SourceAccount" in trust["Condition"]["StringEquals"]
