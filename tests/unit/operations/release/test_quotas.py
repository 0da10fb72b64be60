"""The checks of an account's quotas, with made-up answers of AWS."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from operations.release import quotas
from operations.release.assembly import StackArtifact
from operations.shared.verbs import CannotBegin

SERVICE = "BusinessConnections-prod-Service"


class Account:
    """An environment in an account with these quotas, and the functions that are deployed."""

    name = "prod"

    def __init__(
        self,
        *,
        limit: int = 1_000,
        unreserved: int = 1_000,
        deployed: Mapping[str, int | None] | None = None,
        gone: tuple[str, ...] = (),
    ) -> None:
        self._limit = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}
        self._deployed = deployed
        self._gone = gone
        self.asked: set[str] = set()

    def client(self, service: str) -> "Account":
        self.asked.add(service)
        return self

    def get_paginator(self, operation: str) -> "Account":
        assert operation == "list_stack_resources"
        return self

    def paginate(self, *, StackName: str) -> Iterator[Any]:  # noqa: N803 - as boto3 has it
        assert StackName == SERVICE
        if self._deployed is None:
            raise _error("ValidationError", "ListStackResources")
        yield {
            "StackResourceSummaries": [
                {
                    "ResourceType": "AWS::Lambda::Function",
                    "LogicalResourceId": logical,
                    "PhysicalResourceId": f"{logical}-physical",
                    "ResourceStatus": "UPDATE_COMPLETE",
                }
                for logical in self._deployed
            ]
        }

    def get_function_concurrency(self, *, FunctionName: str) -> Any:  # noqa: N803
        assert self._deployed is not None
        logical = FunctionName.removesuffix("-physical")
        if logical in self._gone:
            raise _error("ResourceNotFoundException", "GetFunctionConcurrency")
        bound = self._deployed[logical]
        return {} if bound is None else {"ReservedConcurrentExecutions": bound}

    def get_account_settings(self) -> Any:
        return {"AccountLimit": self._limit}


def _error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def service(**reserved: int) -> StackArtifact:
    """A stack whose functions reserve this much."""
    functions = {
        name: {
            "Type": "AWS::Lambda::Function",
            "Properties": {"ReservedConcurrentExecutions": bound},
        }
        for name, bound in reserved.items()
    }
    unbounded = {"Type": "AWS::Lambda::Function", "Properties": {}}
    resources = {**functions, "Unbounded": unbounded}
    return StackArtifact(SERVICE, None, None, {"Resources": resources})


def shortage(account: Account, stack: StackArtifact) -> str | None:
    environment: Any = account
    return quotas.concurrency_shortage(environment, [stack])


def test_exactly_enough_concurrency_is_enough() -> None:
    assert shortage(Account(), service(Ping=400, Rest=500)) is None
    assert shortage(Account(), service(Ping=400, Rest=501)) is not None


def test_a_shortage_names_what_is_there_what_is_needed_and_how_to_get_it() -> None:
    reason = shortage(Account(limit=10, unreserved=10), service(Ping=200, Rest=2))
    assert reason is not None
    assert reason.startswith("prod reserves 202 concurrent executions, 202 more than now")
    assert "has only 0 left: 10 of its 10 are unreserved, and 100 must stay unreserved" in reason
    assert "Raise the quota to 302 (Service Quotas: lambda, L-B99A9384)" in reason
    assert "or lower `concurrency` of prod in infra/environments.py" in reason


def test_what_other_applications_reserve_is_not_available() -> None:
    reason = shortage(Account(unreserved=250), service(Ping=200))
    assert reason is not None
    assert "has only 150 left" in reason
    assert "Raise the quota to 1050" in reason


def test_what_the_environment_reserves_already_is_not_needed_again() -> None:
    full = Account(unreserved=100, deployed={"Ping": 200, "Rest": 300, "Unbounded": None})
    assert shortage(full, service(Ping=200, Rest=300)) is None
    reason = shortage(full, service(Ping=201, Rest=300))
    assert reason is not None
    assert "501 concurrent executions, 1 more than now" in reason


def test_what_one_function_frees_is_not_available_to_another() -> None:
    full = Account(unreserved=100, deployed={"Ping": 200, "Rest": 300})
    assert shortage(full, service(Ping=300, Rest=200)) is not None


def test_a_function_that_is_deleted_or_that_is_being_created_reserves_nothing() -> None:
    """A function that is being created may have no name yet."""

    class Creating(Account):
        def paginate(self, **_: Any) -> Iterator[Any]:
            one = {"ResourceType": "AWS::Lambda::Function", "LogicalResourceId": "Ping"}
            yield {"StackResourceSummaries": [{**one, "ResourceStatus": "CREATE_IN_PROGRESS"}]}
            deleted = {**one, "ResourceStatus": "DELETE_COMPLETE", "PhysicalResourceId": "gone"}
            yield {"StackResourceSummaries": [deleted]}

    assert shortage(Creating(deployed={}), service(Ping=900)) is None


def test_a_function_that_is_gone_or_was_never_bounded_reserves_nothing() -> None:
    account = Account(unreserved=150, deployed={"Ping": 200, "Rest": None}, gone=("Ping",))
    reason = shortage(account, service(Ping=50, Rest=50))
    assert reason is not None
    assert "100 more than now" in reason


def test_aws_is_not_asked_if_nothing_is_reserved() -> None:
    account = Account(limit=10, unreserved=10)
    assert shortage(account, service()) is None
    assert account.asked == set()


@pytest.mark.parametrize(("limit", "told"), [(10, True), (99, True), (100, False)])
def test_an_account_that_runs_few_functions_is_told_so_before_it_deploys(
    limit: int, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new account may have 10. An environment that reserves nothing can deploy there."""
    environment: Any = Account(limit=limit, unreserved=limit)
    quotas.require(environment, [service()])
    assert (f"runs at most {limit} functions at once" in capsys.readouterr().err) is told


def test_an_error_for_lack_of_a_permission_says_where_they_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(_: Account) -> Any:
        raise _error("AccessDeniedException", "GetAccountSettings")

    monkeypatch.setattr(Account, "get_account_settings", denied)
    with pytest.raises(CannotBegin, match=r"GetAccountSettings.*docs/deploying\.md"):
        shortage(Account(), service(Ping=1))


def test_a_deployment_without_enough_concurrency_does_not_begin() -> None:
    environment: Any = Account()
    with pytest.raises(CannotBegin, match="has only 900 left"):
        quotas.require(environment, [service(Ping=901)])
