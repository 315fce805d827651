"""A JSON object as it came, read field by field: what is of another type is refused, by name."""

from collections.abc import Mapping

from lamina.errors import UsageError

Object = Mapping[str, object]


class Fields:
    """The fields of one object; what is missing or null has its default.

    Names are found whatever their case, as Go's servers find them and some clients write them.
    """

    def __init__(self, found: Object) -> None:
        self._found = found
        self._names = {name.lower(): name for name in found}

    def raw(self, name: str) -> object:
        """As it came."""
        found = self._found.get(name)
        return found if found is not None else self._found.get(self._names.get(name.lower(), name))

    def text(self, name: str) -> str:
        """A text."""
        found = self.raw(name)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise _wrong(name, "a text")
        return found

    def flag(self, name: str) -> bool:
        """A truth value."""
        found = self.raw(name)
        if found is not None and not isinstance(found, bool):
            raise _wrong(name, "true or false")
        return bool(found)

    def number(self, name: str) -> int:
        """A whole number."""
        found = self.raw(name)
        if found is None:
            return 0
        if isinstance(found, bool) or not isinstance(found, int):
            raise _wrong(name, "a whole number")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        return self.texts_or_none(name) or ()

    def texts_or_none(self, name: str) -> tuple[str, ...] | None:
        """The same; None where there is none. One text is a list of one."""
        found = self.raw(name)
        if found is None:
            return None
        if isinstance(found, str):
            return (found,)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise _wrong(name, "a list of texts")
        return tuple(found)

    def mapping(self, name: str) -> dict[str, str]:
        """Texts by name."""
        found = self.raw(name)
        if found is None:
            return {}
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
            raise _wrong(name, "an object of texts")
        return dict(found)

    def names(self, name: str) -> tuple[str, ...]:
        """The names in an object, whatever they stand for, as `{"80/tcp": {}}`."""
        found = self.raw(name)
        if found is None:
            return ()
        if not isinstance(found, dict):
            raise _wrong(name, "an object")
        return tuple(found)

    def within(self, name: str) -> "Fields":
        """An object in it, empty where there is none."""
        found = self.raw(name)
        if found is None:
            return Fields({})
        if not isinstance(found, dict):
            raise _wrong(name, "an object")
        return Fields(found)

    def each(self, name: str) -> "list[Fields]":
        """A list of objects."""
        found = self.raw(name)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise _wrong(name, "a list of objects")
        return [Fields(each) for each in found]

    def size(self, name: str) -> tuple[int, int]:
        """Height and width, as ConsoleSize has them; zeros where nothing is said."""
        found = self.raw(name)
        if isinstance(found, list) and len(found) == 2:
            height, width = found
            if isinstance(height, int) and isinstance(width, int):
                return min(max(height, 0), 65535), min(max(width, 0), 65535)
        return 0, 0


def _wrong(name: str, wanted: str) -> UsageError:
    return UsageError(f"{name[:60]} in the request is not {wanted}")
