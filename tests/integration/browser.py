"""Headless Chromium over its own pipe (DevTools protocol): pages, keys, colour schemes, pictures."""

import base64
import json
import os
import subprocess
from itertools import count
from typing import Any, Self

_KEYS = {"Enter": "\r", " ": " "}
_PATIENCE = 60  # seconds; a bound, never a wait


class Browser:
    """One browser with one page; a context manager."""

    def __init__(self, program: str, profile: str) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        flags += ["--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        # the browser wants exactly the descriptors 3 and 4
        words = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", program, *flags]
        self._process = subprocess.Popen(
            words,
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in = os.fdopen(ours_in, "rb")
        self._out = ours_out
        self._numbers = count(1)
        self._rest = b""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = None
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    _session: str | None = None

    def _ask(self, method: str, **params: object) -> Any:
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == number:
                assert "error" not in found, found
                return found["result"]

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            data = self._in.raw.read(1 << 20)
            assert data, "the browser is gone"
            self._rest += data
        told, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(told)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, params: Any) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, path: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show a file, loaded whole."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.scheme(dark=dark)
        self._ask("Page.navigate", url=f"file://{path}")
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def scheme(self, *, dark: bool) -> None:
        """Prefer a colour scheme."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[feature])

    def ask(self, expression: str) -> Any:
        """What an expression gives on the page."""
        found = self._ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, as a user does."""
        for key in keys:
            text = key if len(key) == 1 else _KEYS.get(key, "")
            about = {"key": key, "code": key, "text": text, "windowsVirtualKeyCode": _code(key)}
            self._ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **about)
            self._ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, path: str, *, whole: bool = False) -> None:
        """Save a screenshot, of what is seen or of the whole page."""
        found = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(found["data"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._out)  # the browser ends with its pipe
        self._in.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _code(key: str) -> int:
    known = {"Enter": 13, "Tab": 9, " ": 32, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38}
    return known.get(key) or {"ArrowRight": 39, "ArrowDown": 40, "Backspace": 8}.get(key, 0)
