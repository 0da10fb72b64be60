"""What API Gateway answers by itself is in the contract and in the documentation."""

import json

from contracts import openapi
from lambdas.handlers import problems
from lambdas.handlers.problems import ProblemType
from tests.infra.template import Template
from tests.protocol_document import problem_types


def test_the_types_that_api_gateway_adds_are_those_of_the_contract(service: Template) -> None:
    of_the_function = {p.name for p in vars(problems).values() if isinstance(p, ProblemType)}
    added = set()
    for answer in service.properties("AWS::ApiGateway::GatewayResponse").values():
        document = json.loads(answer["ResponseTemplates"]["application/json"])
        name = document["type"].rpartition(":")[2]
        if name not in of_the_function:
            added.add((name, document["status"], document["title"]))
    in_the_contract = (openapi.UNAUTHORIZED, openapi.TOO_MANY_REQUESTS, openapi.TIMEOUT)
    assert added == {(kind.name, kind.status, kind.title) for kind in in_the_contract}


def test_the_types_that_api_gateway_answers_are_documented(service: Template) -> None:
    documented = problem_types()
    for answer in service.properties("AWS::ApiGateway::GatewayResponse").values():
        document = json.loads(answer["ResponseTemplates"]["application/json"])
        status = documented[document["type"].rpartition(":")[2]]
        assert document.get("status", status) == status
