"""What the ``kling-notebook`` command does, one module per subcommand that needs more than a call."""


class CannotStartError(Exception):
    """The command cannot start: something is missing, taken or not writable. The message says what to do."""
