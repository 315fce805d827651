"""What a build is given that stands for more than a text, read by who is given one."""

from lamina.build.agents import parse_agent
from lamina.build.begun import Begun, is_archive
from lamina.build.named import parse_named
from lamina.build.outputs import parse_output, refuse_several
from lamina.build.secrets import parse_secret

__all__ = [
    "Begun",
    "is_archive",
    "parse_agent",
    "parse_named",
    "parse_output",
    "parse_secret",
    "refuse_several",
]
