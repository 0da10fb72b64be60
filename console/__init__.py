"""The console: a page for one person that shows a deployed environment and acts on it.

It runs on that person's machine. Nothing in `lambdas` or `infra` depends on it.
"""
