import json
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sqs as sqs

from infra.security import UnacknowledgedFindings, acknowledge, synthesize_checked
from tests.infra.every_option import EVERY_OPTION
from tests.infra.synthesis import CDK_JSON, Templates, synthesize

FLAGS = json.loads(CDK_JSON.read_text())["context"]
RULE = "AwsSolutions-SQS4"  # a queue accepts requests without TLS


def test_no_option_has_an_unacknowledged_finding(tmp_path: Path, source: Path) -> None:
    """`make check` checks the environments themselves."""
    synthesize(tmp_path, source, [EVERY_OPTION], checked=True)
    report = json.loads((tmp_path / "validation-report.json").read_text())
    assert report["pluginReports"] == []


def test_a_finding_fails_the_synthesis_until_it_is_acknowledged(tmp_path: Path) -> None:
    def synthesize_queue(outdir: Path, *acknowledged: str) -> None:
        app = cdk.App(outdir=str(outdir), context=FLAGS)
        queue = sqs.Queue(cdk.Stack(app, "Stack"), "Queue")
        for rule in acknowledged:
            acknowledge(queue, rule, "a test")
        synthesize_checked(app)

    others = ("AwsSolutions-SQS3", "Serverless-SQSRedrivePolicy")
    with pytest.raises((UnacknowledgedFindings, RuntimeError), match=RULE):
        synthesize_queue(tmp_path / "found", *others)
    synthesize_queue(tmp_path / "acknowledged", *others, RULE)


def test_every_skipped_check_of_checkov_has_a_reason(templates: Templates) -> None:
    """Checkov reads the reason in the template, but does not require one."""
    skips = {
        (kind, skip["id"], skip["comment"])
        for stacks in templates.values()
        for stack in stacks.values()
        for kind, metadata in stack.metadata()
        for skip in metadata.get("checkov", {}).get("skip", [])
    }
    assert {kind for kind, _, _ in skips} >= {"AWS::Lambda::Function", "AWS::Logs::LogGroup"}
    for kind, check, comment in skips:
        assert check.startswith("CKV_AWS_"), kind
        assert len(comment.split()) >= 5, (kind, check)


def test_several_checks_of_one_resource_can_be_skipped() -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    queue = sqs.Queue(stack, "Queue")
    acknowledge(queue, "CKV_AWS_1", "one reason")
    acknowledge(queue, "CKV_AWS_2", "another one")
    resource = queue.node.default_child
    assert isinstance(resource, cdk.CfnResource)
    assert resource.get_metadata("checkov") == {
        "skip": [
            {"id": "CKV_AWS_1", "comment": "one reason"},
            {"id": "CKV_AWS_2", "comment": "another one"},
        ]
    }


def test_a_finding_cannot_be_acknowledged_for_a_whole_stack() -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    with pytest.raises(ValueError, match="for all of 'Stack'"):
        acknowledge(stack, RULE, "a test")
