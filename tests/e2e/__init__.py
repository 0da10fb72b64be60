"""The whole system, started as a user starts it, and used from outside."""
