"""Reads a synthesized template."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Properties = dict[str, Any]


class Template:
    """A CloudFormation template. `text` is exactly what is deployed.

    The names that it reads from `service` are text everywhere else: `<FunctionsPingFunction…>`.
    """

    def __init__(self, path: str, *, service: "Template | None" = None) -> None:
        self.assembly = Path(path).parent
        """The folder with the manifest of this template's stage."""
        self.text = Path(path).read_text()
        names = service.names_for_monitoring() if service else []

        def with_names(value: dict[str, Any]) -> Any:
            match value:
                case {"Fn::Select": [int(index), {"Ref": "ServiceNames"}]}:
                    return names[index]
            return value

        self._json = json.loads(self.text, object_hook=with_names)
        self.conditions: dict[str, Any] = self._json.get("Conditions", {})
        self.description: str = self._json.get("Description", "")
        self.outputs: dict[str, Any] = self._json.get("Outputs", {})
        self.parameters: dict[str, Any] = self._json.get("Parameters", {})

    def resources(self, kind: str) -> dict[str, Any]:
        """The resources of a type, by logical id."""
        return {
            logical_id: resource
            for logical_id, resource in self._json["Resources"].items()
            if resource["Type"] == kind
        }

    def properties(self, kind: str) -> dict[str, Properties]:
        """The properties of the resources of a type, by logical id."""
        return {
            logical_id: resource.get("Properties", {})
            for logical_id, resource in self.resources(kind).items()
        }

    def all_properties(self) -> Iterator[tuple[str, Properties]]:
        """Yield the logical id and the properties of each resource."""
        for logical_id, resource in self._json["Resources"].items():
            yield logical_id, resource.get("Properties", {})

    def names_for_monitoring(self) -> list[str]:
        """The names that the service stack writes for the monitoring stack, as text."""
        _, written = self.only("AWS::SSM::Parameter")
        return flat(written["Properties"]["Value"]).split(",")

    def created_before(self, logical_id: str) -> set[str]:
        """The resources that exist before CloudFormation creates this one."""
        found: set[str] = set()
        pending = [logical_id]
        while pending:
            resource = self._json["Resources"].get(pending.pop(), {})
            named = set(as_list(resource.get("DependsOn", [])))
            text = json.dumps(resource.get("Properties", {}))
            named |= set(re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', text))
            pending += named - found
            found |= named
        return found

    def metadata(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the type and the metadata of each resource."""
        for resource in self._json["Resources"].values():
            yield resource["Type"], resource.get("Metadata", {})

    def only(self, kind: str) -> tuple[str, Any]:
        """The logical id and the resource of a type that must be there exactly once."""
        ((logical_id, resource),) = self.resources(kind).items()
        return logical_id, resource

    def functions(self) -> dict[str, Properties]:
        """The properties of all Lambda functions, by construct id (`Rest`, `Cleanup`)."""
        return {
            function_name(logical_id): properties
            for logical_id, properties in self.properties("AWS::Lambda::Function").items()
        }

    def function(self, name: str) -> Properties:
        """The properties of one Lambda function by its construct id."""
        return self.functions()[name]

    def rest_methods(self) -> dict[tuple[str, str], Properties]:
        """The methods of the REST API, by path and method."""
        return {
            (self._path(method["ResourceId"]), method["HttpMethod"]): method
            for method in self.properties("AWS::ApiGateway::Method").values()
        }

    def _path(self, resource: Properties) -> str:
        """The path of a resource; the API itself is the root."""
        resources = self.properties("AWS::ApiGateway::Resource")
        logical_id = resource.get("Ref", "")
        if logical_id not in resources:
            return ""
        properties = resources[logical_id]
        return f"{self._path(properties['ParentId'])}/{properties['PathPart']}"

    def statements_of_function(self, name: str) -> list[Any]:
        """What a function's role allows."""
        role = self.function(name)["Role"]["Fn::GetAtt"][0]
        (policy,) = (
            properties
            for properties in self.properties("AWS::IAM::Policy").values()
            if {"Ref": role} in properties["Roles"]
        )
        statements: list[Any] = policy["PolicyDocument"]["Statement"]
        return statements


def function_name(logical_id: str) -> str:
    """The construct id of a function, from the logical id of the function or its alias."""
    return re.sub(r"^Functions(\w+?)(Function|Live)[0-9A-F]{8}$", r"\1", logical_id)


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
        case _:
            return str(value)


def as_list(value: Any) -> list[Any]:
    """A list as it is, and one value as a list of one."""
    return value if isinstance(value, list) else [value]
