"""Synthesizes the environment `local`, for `make run`, which says where its emulator is."""

import aws_cdk as cdk

from infra.bundle import build_bundle
from infra.stage import BusinessConnectionsStage
from local.environment import Emulator, local_environment

app = cdk.App(stack_traces=False)
BusinessConnectionsStage(
    app,
    environment=local_environment(canary=app.node.try_get_context("canary") == "true"),
    # The emulator runs the functions on this machine, which has their dependencies installed.
    bundle=build_bundle(dependencies=False),
    platform=Emulator(app.node.get_context("endpoint")),
)
app.synth()
