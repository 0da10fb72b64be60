"""Generates the OpenAPI and AsyncAPI documents from the code of `lambdas`."""
