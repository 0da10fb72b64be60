"""The whole system on one machine. Nothing in `infra/` or `lambdas/` imports this package."""
