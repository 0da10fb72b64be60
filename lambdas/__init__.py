"""What is deployed, as one bundle.

`handlers` translate events, `domain` holds the rules and knows nothing of AWS, each of the
`adapters` talks to one AWS service, and `bootstrap` puts the parts together.
"""
