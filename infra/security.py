"""Security checks of all templates (cdk-nag, checkov), and the findings that are accepted."""

import json
from pathlib import Path
from typing import Final

import aws_cdk as cdk
import cdk_nag
from constructs import Construct, IConstruct

CONTEXT: Final = "securityChecks"
"""The context key that turns the checks on. They double the time of a synthesis."""

AWS_OWNED_KEY: Final = (
    "AWS encrypts it with a key that AWS owns; a customer-managed key costs extra, and this"
    " environment does not use one (customer_managed_key)."
)
"""Why something is not encrypted with a key of this account."""


class UnacknowledgedFindings(Exception):
    """cdk-nag found something that is not acknowledged. The text names rules and constructs."""


def synthesize_checked(app: cdk.App) -> None:
    """Synthesize, and raise UnacknowledgedFindings for what cdk-nag finds.

    `cdk synth` ignores findings in stages, so this reads the report itself.
    """
    cdk.Validations.of(app).add_plugins(
        cdk_nag.AwsSolutionsChecks(app), cdk_nag.ServerlessChecks(app)
    )
    assembly = app.synth()
    report = json.loads((Path(assembly.directory) / "validation-report.json").read_text())
    findings = [
        f"{violation['ruleName']}: {construct['constructPath']}"
        for pack in report["pluginReports"]
        for violation in pack["violations"]
        for construct in violation["violatingConstructs"]
    ]
    if findings:
        raise UnacknowledgedFindings(
            "\n".join(["acknowledge these findings with a reason, or fix them:", *findings])
        )


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of a rule at this construct, and nowhere else.

    The rule is one of cdk-nag or, with a name like `CKV_AWS_117`, of checkov, which reads the
    reason from the resource's metadata in the template. If a rule of cdk-nag finds several things
    in one resource, name the one that is meant: `AwsSolutions-IAM5[...]`.
    Raises ValueError for a stack or a stage: it would also accept what is added there later.
    """
    if cdk.Stack.is_stack(construct) or cdk.Stage.is_stage(construct):
        raise ValueError(f"{rule} cannot be acknowledged for all of {construct.node.path!r}")
    if rule.startswith("CKV"):
        _skip_in_template(construct, rule, reason)
    else:
        cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def _skip_in_template(construct: IConstruct, check: str, reason: str) -> None:
    """https://www.checkov.io/2.Basics/Suppressing%20and%20Skipping%20Policies.html"""
    resource = construct.node.default_child or construct
    assert isinstance(resource, cdk.CfnResource)  # noqa: S101 - narrows the type
    skipped = (resource.get_metadata("checkov") or {"skip": []})["skip"]
    resource.add_metadata("checkov", {"skip": [*skipped, {"id": check, "comment": reason}]})


def logical_id(construct: Construct) -> str:
    """The name of a construct's resource in the template, as findings mention it."""
    resource = construct.node.default_child
    assert isinstance(resource, cdk.CfnElement)  # noqa: S101 - narrows the type
    return cdk.Stack.of(construct).get_logical_id(resource)


def as_reported(value: str, pseudo_parameter: str) -> str:
    """An account, a region or a partition as findings mention it.

    Where the environment does not name it, it is a pseudo parameter, like `<AWS::Region>`.
    """
    return f"<AWS::{pseudo_parameter}>" if cdk.Token.is_unresolved(value) else value
