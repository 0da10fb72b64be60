"""What happens to stored data when its stack is deleted."""

import aws_cdk as cdk


def removal_policy(*, keep: bool) -> cdk.RemovalPolicy:
    """The policy of a resource that holds data.

    What is kept outlives its stack, unless the stack could not be created: then there is nothing to
    keep, and what stays would only be in the way.
    """
    return cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if keep else cdk.RemovalPolicy.DESTROY
