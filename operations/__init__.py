"""What the platform team runs. Each verb of `make` that touches an environment is one file:

    build                 make the build that all environments get
    deploy                deploy it to the first environment, test it, record it
    promote               deploy it to the next environment, if the one before is fine
    rollback              deploy what an environment ran before
    diff                  show what a deployment would change
    smoke                 test a deployed environment with one short story
    import_businesses     declare many businesses from a file
    restore               bring settings back from a restored table
    replay                publish transitions again

`operations.shared` holds what several of them need.
"""
