#!/usr/bin/env python3
"""Synthesizes one CDK stage of each environment. Deploy one with `make deploy ENVIRONMENT=dev`."""

import aws_cdk as cdk

from infra.bundle import build_bundle
from infra.environments import all_environments, local_environments
from infra.security import CONTEXT, synthesize_checked
from infra.stage import BusinessConnectionsStage

# Stack traces name temporary folders: the same commit would not give the same assembly.
app = cdk.App(stack_traces=False)
endpoint = app.node.get_context("localEndpoint")
environments = (
    local_environments(endpoint=endpoint)
    if app.node.try_get_context("localPromotion")
    else all_environments(local_endpoint=endpoint)
)
bundles = {
    dependencies: build_bundle(dependencies=dependencies)
    for dependencies in {environment.dependencies_in_bundle for environment in environments}
}
for environment in environments:
    BusinessConnectionsStage(
        app,
        environment=environment,
        bundle=bundles[environment.dependencies_in_bundle],
    )
if app.node.try_get_context(CONTEXT) in (True, "true"):
    synthesize_checked(app)
else:
    app.synth()
