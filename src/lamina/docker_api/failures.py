"""Errors as docker's clients know them: a status and one sentence.

The status hangs on the class of the error (lamina.errors); here are the words alone.
"""

from lamina.docker_api.replies import Whole, document
from lamina.errors import DockerfileError, LaminaError, from_oserror


class NotServed(LaminaError):
    """Something that docker's API has and this store has not."""

    http_status = 501


class NoSwarm(LaminaError):
    """Something of a swarm's: there is none."""

    http_status = 503


class Crowded(LaminaError):
    """Something for which there is no room just now."""

    http_status = 503


class Forbidden(LaminaError):
    """Something that is there and is not to be changed."""

    http_status = 403


class ClientGone(Exception):
    """Who asked is there no more: what is being done for it may end."""


def sentence(error: Exception) -> str:
    """What is told of an error; a hint that names a command of ours is left out."""
    if isinstance(error, OSError):
        error = from_oserror(error, "serving a request")
    if isinstance(error, DockerfileError):
        where = f" line {error.line}" if error.line else ""
        return f"dockerfile parse error{where}: {error.brief}"
    if not isinstance(error, LaminaError):
        return f"internal error: {type(error).__name__}: {error}"
    brief = error.brief[:1].upper() + error.brief[1:] if _is_known(error.brief) else error.brief
    return f"{brief}; {error.hint}" if error.hint and "lamina" not in error.hint else brief


def _is_known(brief: str) -> bool:
    """Whether it begins as docker's does, whose clients look for the capital letter."""
    return brief.startswith("no such ")


def status(error: Exception) -> int:
    """The status of HTTP that an error comes to."""
    return error.http_status if isinstance(error, LaminaError) else 500


UNTOLD = Whole(500, b'{"message":"internal error that cannot be told"}\n')
"""The reply when something goes wrong while an error is told."""


def told(error: Exception) -> Whole:
    """The reply that says it; raises nothing."""
    try:
        return document({"message": sentence(error)}, status(error))
    except Exception:  # noqa: BLE001 - there is nobody else who could answer
        return UNTOLD
