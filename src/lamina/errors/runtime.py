"""A container that could not be started, or a program that starts it."""

from lamina.errors.base import LaminaError


class RuntimeFailure(LaminaError):
    """The container was not started; the command ends with 125 as docker's does."""

    exit_code = 125


class ProgramMissing(RuntimeFailure):
    """A system program is not installed or too old; the hint names the package."""


class CommandNotExecutable(RuntimeFailure):
    """The container's command was found but cannot be executed."""

    exit_code = 126
    http_status = 400


class CommandNotFound(RuntimeFailure):
    """The container's command was not found in the image."""

    exit_code = 127
    http_status = 400
