"""The contracts that machines read, generated from the code of `lambdas`: OpenAPI, AsyncAPI."""
