"""The words of a build's flags that stand for more than a text, each read by who gives one."""

from lamina.build.agents import parse_agent
from lamina.build.named import parse_named
from lamina.build.outputs import parse_output, refuse_several
from lamina.build.secrets import parse_secret

__all__ = ["parse_agent", "parse_named", "parse_output", "parse_secret", "refuse_several"]
