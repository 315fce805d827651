"""The store as `docker info` and `docker version` show it."""

from lamina import __version__
from lamina.engine.engine import Engine

Document = dict[str, object]


def info(engine: Engine) -> Document:
    """The document behind `info`, under docker's names where docker has one."""
    states = [container.status for container in engine.containers.list(everything=True)]
    running, paused = states.count("running") + states.count("restarting"), states.count("paused")
    isolation, seccomp = engine.system.isolation, engine.system.seccomp
    return {
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len(engine.images.list()),
        "Driver": engine.driver.name,
        "DriverStatus": [list(row) for row in engine.system.status()],
        "DriverReason": engine.choice.reason,
        "Isolation": isolation.name,
        "IsolationReason": isolation.reason,
        "SecurityOptions": [f"name=seccomp,profile={seccomp}"] if seccomp else [],
        "DockerRootDir": engine.root.path,
        "RunRoot": engine.run_root,
        "ID": engine.root.uuid,
        "ServerVersion": __version__,
        "OSType": "linux",
        **engine.system.facts(),
    }


def version() -> Document:
    """The document behind `version`."""
    import platform

    return {
        "Client": {
            "Version": __version__,
            "Python": platform.python_version(),
            "Os": "linux",
            "Arch": platform.machine(),
        }
    }
