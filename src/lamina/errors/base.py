"""The root of every error that Lamina raises: one sentence, and what to do about it.

Knows how an error is worded and which exit code and HTTP status it carries; knows nothing
of who raises it. Faces print `str(error)`; nothing else about an error reaches a user.
"""


class LaminaError(Exception):
    """What failed, on what, and why, in one sentence; `hint` says what to do.

    `details` is what a command wrote last, `excerpt` the lines of the user's own text (a
    Dockerfile) that it is about, with their surroundings; both are plain text of several lines.

    `exit_code` is the process exit status a command ends with, `http_status` what an HTTP
    face answers: both hang on the class so that no two faces can drift apart.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, brief: str, *, hint: str = "", details: str = "", excerpt: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.hint = hint
        self.details = details
        self.excerpt = excerpt

    def __str__(self) -> str:
        return f"{self.brief}; {self.hint}" if self.hint else self.brief
