"""What releases: each verb of `make` that deploys, checks or undoes is one file.

    build       make the build that all environments get
    deploy      deploy it to the first environment, test it, record it
    promote     deploy it to the next environment, if the one before is fine
    rollback    deploy what an environment ran before
    diff        show what a deployment would change
    smoke       test a deployed environment with one short story

The other files are what they need: the build itself, the calls of the CDK CLI, the lock and the
records of an environment, the builds that are kept, its live state, the quotas of its account.
"""
