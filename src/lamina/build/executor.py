"""Walking a plan: stage after stage, step after step, each either remembered or carried out.

Holds what only exists while a build goes on: the open context, the states of finished stages and
the events that say what happens. Decides nothing about keys, files or configs.
"""

from collections.abc import Callable
from contextlib import contextmanager
from collections.abc import Iterator
from typing import NamedTuple

from lamina.build.api import BuildRequest, Images, Output
from lamina.build.context import Opened
from lamina.build.interpret import Scope, interpret
from lamina.build.operation import Action, Copy, Edit, MakeDirectory, Run
from lamina.build.plan import Base, Plan, Stage, Step
from lamina.build.state import State
from lamina.build.statcache import StatCache
from lamina.build.steps import Outcome, Steps
from lamina.errors import (
    BadArchive,
    BuildError,
    NotFound,
    RuntimeFailure,
    StepFailed,
    UsageError,
)
from lamina.values.events import Sink, StepCached, StepDone, StepOutput, StepStarted

_OF_THE_STEP = (UsageError, NotFound, BadArchive, RuntimeFailure, BuildError)
