"""The questions, in the order in which they are asked: what takes the service long goes first."""

from . import plane, throttling, languages, runs, stack, alarms  # noqa: F401
