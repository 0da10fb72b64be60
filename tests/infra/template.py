"""Reads a synthesized template the way a test wants to ask it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Properties = dict[str, Any]


class Template:
    """A CloudFormation template. `text` is exactly what is deployed."""

    def __init__(self, path: str) -> None:
        self.text = Path(path).read_text()
        self._json = json.loads(self.text)
        self.conditions: dict[str, Any] = self._json.get("Conditions", {})
        self.outputs: dict[str, Any] = self._json.get("Outputs", {})
        self.parameters: dict[str, Any] = self._json.get("Parameters", {})

    def resources(self, kind: str) -> dict[str, Any]:
        """Return the resources of a type, by logical id."""
        return {
            logical_id: resource
            for logical_id, resource in self._json["Resources"].items()
            if resource["Type"] == kind
        }

    def properties(self, kind: str) -> dict[str, Properties]:
        """Return the properties of the resources of a type, by logical id."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self.resources(kind).items()
        }

    def metadata(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give the type and the metadata of each resource."""
        for resource in self._json["Resources"].values():
            yield resource["Type"], resource.get("Metadata", {})

    def only(self, kind: str) -> tuple[str, Any]:
        """Return the logical id and the resource of which there is one."""
        ((logical_id, resource),) = self.resources(kind).items()
        return logical_id, resource

    def function(self, name: str) -> Properties:
        """Return the properties of a Lambda function by its construct id."""
        (found,) = (
            properties
            for logical_id, properties in self.properties("AWS::Lambda::Function").items()
            if logical_id.startswith(f"Functions{name}Function")
        )
        return found

    def rest_methods(self) -> dict[tuple[str, str], Properties]:
        """Return the methods of the REST API, by path and method."""
        return {
            (self._path(method["ResourceId"]), method["HttpMethod"]): method
            for method in self.properties("AWS::ApiGateway::Method").values()
        }

    def _path(self, resource: Properties) -> str:
        """Return the path of a resource; the API itself is the root."""
        resources = self.properties("AWS::ApiGateway::Resource")
        logical_id = resource.get("Ref", "")
        if logical_id not in resources:
            return ""
        properties = resources[logical_id]
        return f"{self._path(properties['ParentId'])}/{properties['PathPart']}"

    def statements_of_function(self, name: str) -> list[Any]:
        """Return what a function's role allows."""
        role = self.function(name)["Role"]["Fn::GetAtt"][0]
        (policy,) = (
            properties
            for properties in self.properties("AWS::IAM::Policy").values()
            if {"Ref": role} in properties["Roles"]
        )
        statements: list[Any] = policy["PolicyDocument"]["Statement"]
        return statements


def flat(value: Any) -> str:
    """Write a value with its references as text: `<Table>`, `<Table.Arn>`, `<import Name>`."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(flat(part) for part in parts)
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return f"<import {name}>"
        case {"Fn::GetStackOutput": {"StackName": stack, "OutputName": output}}:
            return f"<output {stack}:{output}>"
        case _:
            return str(value)


def as_list(value: Any) -> list[Any]:
    """Return a policy's value, which may be one or several, as a list."""
    return value if isinstance(value, list) else [value]
