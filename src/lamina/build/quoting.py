"""Python's strings as a Dockerfile's words: what would be quoting there stands for itself."""

import re

_SPECIAL = re.compile(r"""\\(?!\$)|["']""")


def quoted(text: str) -> str:
    r"""A text whose quotes and backslashes are plain; `$NAME` is a variable, `\$` a dollar."""
    return _SPECIAL.sub(r"\\\g<0>", text)
