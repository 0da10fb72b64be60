#!/usr/bin/env python3
"""Synthesizes one CDK stage of each environment. Deploy one with `cdk deploy 'dev/*'`."""

import aws_cdk as cdk

from infra.bundle import build_bundle
from infra.environments import all_environments
from infra.stage import BusinessConnectionsStage

app = cdk.App()
bundles = {dependencies: build_bundle(dependencies=dependencies) for dependencies in (True, False)}
for environment in all_environments(local_endpoint=app.node.get_context("localEndpoint")):
    BusinessConnectionsStage(
        app,
        environment=environment,
        bundle=bundles[environment.dependencies_in_bundle],
    )
app.synth()
