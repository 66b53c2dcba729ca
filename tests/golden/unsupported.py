"""What a runner of published cases says of a calculation that no methodology offers."""


class Unsupported(Exception):
    """The case asks for a calculation that the engine does not have; the message names it."""
