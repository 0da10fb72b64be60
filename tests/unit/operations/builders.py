"""Assemblies, records and states that several tests need."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from lambdas.domain.identifiers import BusinessId
from operations.data.business_file import BadLine, Declaration
from operations.release.assembly import Assembly
from operations.release.build import git
from operations.release.live_state import AlarmState
from operations.release.promote import SourceState
from operations.release.records import Record

BUNDLE = "b" * 64
CODE = "c0de="


def assembly(folder: Path, bundles: dict[str, str]) -> Assembly:
    """Write a cloud assembly with a service stack of one function in each environment."""
    stages = {}
    for environment, bundle in bundles.items():
        stage = folder / f"assembly-{environment}"
        stage.mkdir(parents=True)
        stages[f"assembly-{environment}"] = {
            "type": "cdk:cloud-assembly",
            "properties": {"displayName": environment, "directoryName": stage.name},
        }
        service = {
            "type": "aws:cloudformation:stack",
            "environment": "aws://111111111111/unknown-region",
            "properties": {
                "stackName": f"BusinessConnections-{environment}-Service",
                "templateFile": "service.json",
            },
        }
        (stage / "manifest.json").write_text(json.dumps({"artifacts": {"service": service}}))
        (stage / "service.json").write_text(json.dumps(template(bundle)))
    (folder / "manifest.json").write_text(json.dumps({"artifacts": stages}))
    return Assembly(folder)


def template(bundle: str) -> dict[str, Any]:
    return {
        "Resources": {
            "Ping": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Handler": "lambdas.handlers.websocket.on_ping",
                    "Code": {"S3Bucket": "assets", "S3Key": f"{bundle}.zip"},
                },
            },
            "SomebodyElses": {
                "Type": "AWS::Lambda::Function",
                "Properties": {"Handler": "index.handler", "Code": {"S3Key": "other.zip"}},
            },
        }
    }


def record(**changes: Any) -> Record:
    return Record(
        **{
            "commit": "0123456789abcdef",
            "clean": True,
            "assetHash": BUNDLE,
            "codeSha256": CODE,
            "source": "dev",
            "target": "staging",
            "at": "2026-11-23T00:00:00+00:00",
            "by": "arn:aws:iam::111111111111:user/somebody",
            "smoke": "passed",
            "digest": "d" * 64,
            **changes,
        }
    )


def source_state(**changes: Any) -> SourceState:
    """The state of an environment that a build may be promoted from."""
    good = SourceState(record=record(), code={"Ping": CODE}, alarms={"Unreachable": alarm()})
    return replace(good, **changes)


def alarm(state: str = "OK", *, pages: bool = True, minutes: int = 15) -> AlarmState:
    """An alarm that looks back so many minutes."""
    return AlarmState(pages=pages, state=state, looks_back=timedelta(minutes=minutes))


def many_lines(count: int, *, accepting: bool = True) -> list[Declaration | BadLine]:
    """The lines of a file with so many businesses, b2, b3, …, each named after its line."""
    return [Declaration(n, BusinessId(f"b{n}"), accepting) for n in range(2, count + 2)]


def commit(message: str) -> str:
    """Commit all that is in the repository of the test, and return the commit."""
    git("add", ".")
    git("commit", "--quiet", "-m", message)
    return git("rev-parse", "HEAD")
