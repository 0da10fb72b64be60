#!/usr/bin/env python3
"""Synthesizes one CDK stage of each environment. Deploy one with `make deploy ENVIRONMENT=dev`.

With the context `localEndpoint`, the one of the environment that runs on this machine alone.
"""

import aws_cdk as cdk

from infra.bundle import build_bundle
from infra.environments import LOCAL_ENDPOINT, all_environments
from infra.security import CONTEXT, synthesize_checked
from infra.stage import BusinessConnectionsStage

# Stack traces name temporary folders: the same commit would not give the same assembly.
app = cdk.App(stack_traces=False)
local_endpoint = app.node.try_get_context("localEndpoint")
environments = [
    environment
    for environment in all_environments(
        local_endpoint=local_endpoint or LOCAL_ENDPOINT,
        local_canary=app.node.try_get_context("localCanary") in (True, "true"),
    )
    if local_endpoint is None or environment.emulator == local_endpoint
]
# The emulator runs the functions on this machine, which has their dependencies installed.
bundles = {
    on_aws: build_bundle(dependencies=on_aws)
    for on_aws in {e.emulator is None for e in environments}
}
for environment in environments:
    BusinessConnectionsStage(
        app, environment=environment, bundle=bundles[environment.emulator is None]
    )
if app.node.try_get_context(CONTEXT) in (True, "true"):
    synthesize_checked(app)
else:
    app.synth()
