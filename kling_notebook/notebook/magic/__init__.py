"""The ``%%kling`` and ``%kling`` magics: tokenizer, options, completion and subcommands.

Parses and hands on; how a result is shown and waited for is the display's.
"""
