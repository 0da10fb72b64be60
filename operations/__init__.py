"""Tools that operators run by hand, against a deployed environment or the local system."""
