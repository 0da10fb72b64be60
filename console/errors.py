"""What can prevent an answer of the console."""


class Unanswered(Exception):
    """The environment did not answer, or refused. The text is for the person at the console."""
