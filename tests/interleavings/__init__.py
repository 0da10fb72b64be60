"""Plays the operations of the service against each other, in every order, and checks the promises
of docs/invariants.md at every step and at the end.
"""
