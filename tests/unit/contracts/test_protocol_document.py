"""docs/protocol.md documents every call, error, status and reason that the code has."""

import json
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from contracts import asyncapi, examples
from lambdas import problems, protocol
from lambdas.domain.authorization import ALLOWED, Operation
from lambdas.domain.model import Cause
from lambdas.domain.opening_hours import OpeningHours
from lambdas.domain.status import OverallStatus, ReasonCode
from lambdas.problems import ProblemType
from lambdas.routes import ROUTES
from tests.builders import B1, at
from tests.json_schema import problems as wrong_with
from tests.protocol_document import Snippet, problem_types, snippets, table


def test_every_call_is_documented_with_who_may_make_it() -> None:
    (_, *kinds), *rows = table("call")
    documented = {
        call.strip("` "): {kind for kind, mark in zip(kinds, marks, strict=True) if mark == "yes"}
        for calls, *marks in rows
        for call in calls.split(",")
    }
    operations = {
        f"{route.method} {route.path}": route.operation
        for route in ROUTES.values()
        if route.operation is not None
    }
    operations["the WebSocket handshake"] = Operation.CONNECT
    assert documented == {
        call: set(kinds) if "anyone" in ALLOWED[operation] else ALLOWED[operation]
        for call, operation in operations.items()
    }


def test_every_type_of_problem_is_documented() -> None:
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, ProblemType)]
    assert problem_types() == {kind.name: kind.status for kind in kinds}


def test_every_error_code_of_a_socket_is_documented() -> None:
    _, *rows = table("error code")
    assert {code.strip("`") for code, *_ in rows} == set(get_args(protocol.ErrorCode))


def test_every_overall_status_and_reason_is_documented() -> None:
    _, *statuses = table("`overallStatus`")
    assert {row[0].strip("`") for row in statuses} == set(OverallStatus)
    _, *reasons = table("reason code")
    assert {row[0].strip("`") for row in reasons} == set(ReasonCode)


def test_every_cause_of_a_transition_is_documented() -> None:
    _, *causes = table("cause")
    assert {cause.strip("` ") for codes, _ in causes for cause in codes.split(",")} == set(Cause)


def test_the_status_document_in_the_example_matches_the_contract() -> None:
    (shown,) = [s for s in snippets() if s.language == "json" and "overallStatus" in s.code]
    contract = asyncapi.document()
    schema = {"$ref": "#/components/schemas/StatusDocument"}
    assert wrong_with(contract, schema, json.loads(shown.code)) == []


def test_the_history_in_the_example_is_that_of_the_contract() -> None:
    (shown,) = [s for s in snippets() if s.language == "json" and '"transitions"' in s.code]
    assert json.loads(shown.code) == examples.answers()["get_history"]


def test_the_opening_hours_in_the_example_get_the_answer_in_the_example() -> None:
    (request,) = [s for s in snippets() if s.name == "set-opening-hours"]
    (answer,) = [s for s in snippets() if s.language == "json" and "openNow" in s.code]
    sent = json.loads(request.code.split("-d '")[1].split("' ")[0])
    shown = json.loads(answer.code)
    hours = OpeningHours.read(sent)
    now = at(shown["asOf"].removesuffix("Z"))
    assert protocol.opening_hours_answer(B1, hours, now) == shown


@pytest.mark.parametrize("snippet", [s for s in snippets() if s.language == "json"], ids=str)
def test_a_json_example_can_be_parsed(snippet: Snippet) -> None:
    json.loads(snippet.code)


@pytest.mark.parametrize(
    "snippet", [s for s in snippets() if s.language == "js"], ids=lambda s: s.name
)
def test_a_javascript_example_can_be_parsed(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "snippet.mjs"
    file.write_text(snippet.code)
    done = subprocess.run(
        ["node", "--check", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
