"""The flags that say how the health of a container is checked, as docker spells them."""

from lamina.cli.flags import Flag, Parsed
from lamina.containers.health import Health, checked
from lamina.errors import DockerfileError, UsageError

FLAGS = (
    Flag("health-cmd", "", "COMMAND", "what is executed in it to see how it is, by a shell"),
    Flag("health-interval", "", "DURATION", "time between two checks (30s)"),
    Flag("health-retries", "", "NUMBER", "failures in a row that make it unhealthy (3)"),
    Flag("health-start-interval", "", "DURATION", "between checks while it comes up (5s)"),
    Flag("health-start-period", "", "DURATION", "time to come up, in which failures do not count"),
    Flag("health-timeout", "", "DURATION", "how long a check may take (30s)"),
    Flag("no-healthcheck", "", "", "do not check as the image says"),
)


def health(given: Parsed) -> Health:
    """What the flags ask for; raises `UsageError`."""
    command = given.one("health-cmd")
    numbers = {
        field: _duration(given, f"health-{field.replace('_', '-')}")
        for field in ("interval", "timeout", "start_period", "start_interval")
    }
    retries = given.one("health-retries") or "0"
    if not retries.isdecimal() or not retries.isascii() or len(retries) > 6:
        raise UsageError(f"--health-retries {retries[:40]!r} is no number")
    said = Health(("CMD-SHELL", command) if command else (), **numbers, retries=int(retries))
    if not given.has("no-healthcheck"):
        return checked(said)
    if said != Health():
        raise UsageError("--no-healthcheck conflicts with --health-* options")
    return Health(("NONE",))


def _duration(given: Parsed, name: str) -> int:
    text = given.one(name)
    if text is None:
        return 0
    from lamina.dockerfile.health import duration  # few ask for it

    try:
        return duration(text)
    except DockerfileError as error:
        raise UsageError(f"--{name}: {error.brief}", hint=error.hint) from None
