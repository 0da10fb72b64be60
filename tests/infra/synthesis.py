"""Synthesizes environments, as `app.py` and `local.app` do."""

import json
from collections.abc import Iterable
from pathlib import Path

import aws_cdk as cdk

from infra.configuration import Environment
from infra.environments import all_environments
from infra.platform import AWS
from infra.security import synthesize_checked
from infra.stage import BusinessConnectionsStage
from local.environment import Emulator, local_environment
from tests.infra.every_option import EVERY_OPTION
from tests.infra.template import Template

LOCAL_ENDPOINT = "http://127.0.0.1:4599"
CDK_JSON = Path(__file__).resolve().parents[2] / "cdk.json"

LOCAL = local_environment()

ENVIRONMENTS = {each.name: each for each in (LOCAL, *all_environments(), EVERY_OPTION)}
"""The environments that are tested."""

Templates = dict[str, dict[str, Template]]
"""The templates of each environment, by stack (`Data`, `Service`, `Monitoring`)."""


def synthesize(
    outdir: Path, source: Path, environments: Iterable[Environment], *, checked: bool = False
) -> Templates:
    """Synthesize into `outdir`, with the feature flags of cdk.json.

    With `checked`, cdk-nag checks the templates too. Raises UnacknowledgedFindings if it finds
    anything.
    """
    app = cdk.App(outdir=str(outdir), context=json.loads(CDK_JSON.read_text())["context"])
    stages = {
        environment.name: BusinessConnectionsStage(
            app,
            environment=environment,
            bundle=source,
            platform=Emulator(LOCAL_ENDPOINT) if environment.name == LOCAL.name else AWS,
        )
        for environment in environments
    }
    if checked:
        synthesize_checked(app)
    else:
        app.synth()
    return {name: _templates(stage) for name, stage in stages.items()}


def _templates(stage: BusinessConnectionsStage) -> dict[str, Template]:
    assembly = stage.synth()

    def path(stack: cdk.Stack) -> str:
        return assembly.get_stack_artifact(stack.artifact_id).template_full_path

    service = Template(path(stage.service))
    return {
        "Data": Template(path(stage.data)),
        "Service": service,
        "Monitoring": Template(path(stage.monitoring), service=service),
    }
