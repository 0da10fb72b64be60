"""Shows what deploying the build would change in an environment.

    make diff ENVIRONMENT=prod

Exit codes: that of `cdk diff`, 1 refused, or 2 if it could not begin.
"""

import sys

from operations.release.assembly import Build
from operations.release.cdk import cdk
from operations.shared.environment import configured_environment
from operations.shared.verbs import exit_code, verb_parser


def main() -> int:
    wanted = verb_parser("diff", __doc__).parse_args()

    def diff() -> int:
        # An environment may be compared before it may be deployed.
        configured_environment(wanted.environment)
        with Build.taken() as build:
            build.require(wanted.environment)
            environment = build.environment(wanted.environment, profile=wanted.profile)
            return cdk(
                *("diff", f"{wanted.environment}/*", "--method", "template", "--ignore-errors"),
                build=build,
                region=environment.region,
                profile=wanted.profile,
            )

    return exit_code(diff)


if __name__ == "__main__":
    sys.exit(main())
