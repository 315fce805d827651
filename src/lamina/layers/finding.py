"""What `check` finds."""

from typing import Literal, NamedTuple

from lamina.values.ids import LayerID

Kind = Literal["stray", "missing", "damaged", "unfinished"]


class Finding(NamedTuple):
    """One thing that is not as it should be.

    `stray`: on disk and in no row; `missing`: in a row and not on disk; `damaged`: its bytes
    are not those of its digest; `unfinished`: its removal was begun, and no opener could end
    it. `path` is what a repair may set aside ("" for nothing),
    `layer` the stray layer that it is, if it is one.
    """

    kind: Kind
    subject: str
    detail: str
    path: str
    layer: LayerID | None = None
