"""What a build is given that stands for more than a text, read by who is given one."""

from lamina.build.agents import parse_agent
from lamina.build.annotations import parse_annotation, refuse_unplaced
from lamina.build.attests import parse_attests
from lamina.build.begun import Begun, is_archive
from lamina.build.named import parse_named
from lamina.build.outputs import parse_output, refuse_deleting, refuse_several, with_annotations
from lamina.build.secrets import parse_secret
from lamina.build.wishes import targets_of

__all__ = [
    "Begun",
    "is_archive",
    "parse_agent",
    "parse_annotation",
    "parse_attests",
    "parse_named",
    "parse_output",
    "parse_secret",
    "refuse_deleting",
    "refuse_several",
    "refuse_unplaced",
    "targets_of",
    "with_annotations",
]
