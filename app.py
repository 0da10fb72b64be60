#!/usr/bin/env python3
"""Synthesizes one CDK stage of each environment. Deploy one with `make deploy ENVIRONMENT=dev`."""

import aws_cdk as cdk

from infra.bundle import build_bundle
from infra.environments import all_environments
from infra.security import CONTEXT, synthesize_checked
from infra.stage import BusinessConnectionsStage

# Stack traces name temporary folders: the same commit would not give the same assembly.
app = cdk.App(stack_traces=False)
bundle = build_bundle()
for environment in all_environments():
    BusinessConnectionsStage(app, environment=environment, bundle=bundle)
if app.node.try_get_context(CONTEXT) in (True, "true"):
    synthesize_checked(app)
else:
    app.synth()
