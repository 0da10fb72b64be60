"""What is deployed: one bundle, one unit.

`handlers` translate events, `domain` holds the rules and knows no AWS, `adapters` talk to one AWS
service each, `bootstrap` wires them together.
"""
