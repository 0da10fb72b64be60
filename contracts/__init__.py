"""Generates the OpenAPI document and both AsyncAPI documents from the code of `lambdas`."""
