"""The mounts of a stage's `run`, as typed values: what `RUN --mount=...` says in a Dockerfile.

    Mount.cache("/root/.cache/pip")   Mount.bind("/src", from_=other)   Mount.secret("token")

Writes the text that a Dockerfile would hold, so that both are read by the same rules.
"""

import csv
import io
from typing import TYPE_CHECKING, Literal, NamedTuple

from lamina.build.quoting import quoted

if TYPE_CHECKING:  # a stage has mounts, and a mount may name a stage
    from lamina.build.stage import Stage


class Mount(NamedTuple):
    """One mount; made by the functions below. `origin` is what its `from` names, if anything."""

    kind: str
    fields: tuple[tuple[str, str], ...]
    origin: "Stage | str | None" = None

    @classmethod
    def bind(
        cls,
        target: str,
        *,
        source: str = "",
        from_: "Stage | str | None" = None,
        writable: bool = False,
    ) -> "Mount":
        """Files of the context, or of another stage or image, seen at `target`.

        What is written to a `writable` one is thrown away.
        """
        fields = _given(source=source, target=target, rw="true" if writable else "")
        return cls("bind", fields, from_)

    @classmethod
    def cache(
        cls,
        target: str,
        *,
        id: str = "",
        sharing: Literal["shared", "private", "locked"] = "shared",
        source: str = "",
        from_: "Stage | str | None" = None,
        readonly: bool = False,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> "Mount":
        """A directory that outlasts builds, called `id` (default: its target).

        `mode` and owner are those of its directory when it is made, which begins with `source` of
        `from_`.
        """
        fields = _given(
            id=id,
            sharing="" if sharing == "shared" else sharing,
            source=source,
            target=target,
            readonly="true" if readonly else "",
            **_rights(mode, uid, gid),
        )
        return cls("cache", fields, from_)

    @classmethod
    def tmpfs(cls, target: str, *, size: int | str = "") -> "Mount":
        """Files in memory that are gone after the command; `size` in bytes, or as `64m`."""
        return cls("tmpfs", _given(target=target, size=str(size)))

    @classmethod
    def secret(
        cls,
        id: str,
        *,
        target: str = "",
        env: str = "",
        required: bool = False,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> "Mount":
        """A secret of the build, as a file (default: `/run/secrets/ID`) or in variable `env`."""
        needed = "true" if required else ""
        fields = _given(id=id, target=target, env=env, required=needed, **_rights(mode, uid, gid))
        return cls("secret", fields)

    @classmethod
    def ssh(
        cls,
        id: str = "",
        *,
        target: str = "",
        required: bool = False,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> "Mount":
        """The socket of an ssh agent of the build (default: the one called `default`)."""
        needed = "true" if required else ""
        fields = _given(id=id, target=target, required=needed, **_rights(mode, uid, gid))
        return cls("ssh", fields)

    def text(self, origin: str) -> str:
        """As a Dockerfile says it, its origin by that name ("": it has none)."""
        words = [f"type={self.kind}", *([f"from={origin}"] if origin else [])]
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow([*words, *(f"{k}={v}" for k, v in self.fields)])
        return out.getvalue()


def _given(**fields: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, quoted(value)) for key, value in fields.items() if value)


def _rights(mode: int | None, uid: int | None, gid: int | None) -> dict[str, str]:
    octal = "" if mode is None else f"{mode:04o}"
    return {
        "mode": octal,
        "uid": "" if uid is None else str(uid),
        "gid": "" if gid is None else str(gid),
    }
