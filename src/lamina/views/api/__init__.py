"""Documents in the exact shapes of docker's Engine API: no key left out that docker's clients read.

The older shapes that a client's version asks for are made here, too, from `version`.
"""

Version = tuple[int, int]
Document = dict[str, object]
