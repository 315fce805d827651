"""Which driver a store uses, and why: explicit choice, then prior state, then priority.

As docker does it, except that nothing is silent: an explicit choice that contradicts the layers
that are here is an error, and so is a prior driver that no longer works.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lamina.drivers.api import Features
from lamina.drivers.catalog import CATALOG, PRIORITY, Entry, entry
from lamina.errors import DriverConflict, DriverNotSupported, ForeignStore


class Verdict(NamedTuple):
    """What was decided about one driver, with the evidence."""

    name: str
    standing: str
    cost: str
    works: bool
    taken: bool
    reason: str


class Choice(NamedTuple):
    """The driver taken, in one sentence why, and whether it is a fall-back to the last resort.

    `features` are what trying it out found; None when it was trusted.
    """

    name: str
    reason: str
    fell_back: bool
    features: Features | None = None


def choose(
    root: str,
    explicit: str | None,
    prior: Mapping[str, int],
    trusted: str | None = None,
    options: Sequence[str] = (),
) -> Choice:
    """The driver for the store at `root`.

    `explicit` is what the user named, `prior` how many layers each driver has here, `trusted`
    the driver that was found to work on this very boot and need not be tried again, `options` the
    texts of `--storage-opt`. Raises
    `DriverUnknown`, `DriverNotSupported`, `DriverConflict` or `ForeignStore`.
    """
    holders = sorted(prior)
    if len(holders) > 1:
        raise DriverConflict(f"the store at {root} has layers of several drivers: {holders}")
    if explicit is not None:
        entry(explicit)
        if holders and holders != [explicit]:
            raise DriverConflict(
                f"the store at {root} has {_layers(prior[holders[0]])} on {holders[0]}, "
                f"and {explicit} was asked for",
                hint=f"use another --root for {explicit}, or `lamina migrate --to {explicit}`",
            )
        return _explicit(root, entry(explicit), trusted, options)
    if holders:
        return _prior(root, entry(holders[0]), prior[holders[0]], trusted, options)
    refuse_foreign(root)
    return _by_priority(root, options)


def _explicit(root: str, wanted: Entry, trusted: str | None, options: Sequence[str]) -> Choice:
    probe = _probe(root, wanted, trusted, options)
    if not probe.works:
        raise DriverNotSupported(
            f"the storage driver {wanted.name} cannot be used in {root}: {probe.reason}"
        )
    return Choice(wanted.name, "it was asked for", False, probe.features)


def _prior(
    root: str, holder: Entry, count: int, trusted: str | None, options: Sequence[str]
) -> Choice:
    probe = _probe(root, holder, trusted, options)
    if not probe.works:
        raise DriverNotSupported(
            f"the store at {root} has {_layers(count)} on {holder.name}, which does not work "
            f"here now: {probe.reason}",
            hint="bring that back, or choose another --root",
        )
    return Choice(holder.name, f"it has {_layers(count)} already", False, probe.features)


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


class _Found(NamedTuple):
    works: bool
    reason: str
    features: Features | None


def _probe(root: str, candidate: Entry, trusted: str | None, options: Sequence[str]) -> _Found:
    if candidate.name == trusted:
        return _Found(True, "found to work since this boot", None)
    return _Found(*candidate.probe(_home(root, candidate), options))


def _by_priority(root: str, options: Sequence[str]) -> Choice:
    refused: list[str] = []
    for name in PRIORITY:
        candidate = entry(name)
        probe = candidate.probe(_home(root, candidate), options)
        if probe.works:
            return _first_that_works(name, refused)._replace(features=probe.features)
        if candidate.module:
            refused.append(f"{name}: {probe.reason}")
    raise DriverNotSupported(f"no storage driver works in {root}: {'; '.join(refused)}")


def _first_that_works(name: str, refused: list[str]) -> Choice:
    if not refused:
        return Choice(name, "the first of the priority list, and it works", False)
    return Choice(name, "; ".join(refused), name == "vfs")


def compare(root: str, driver: str, before: Features, now: Features) -> tuple[str, ...]:
    """Sentences on what is not as it was when the store's layers were written.

    Raises `DriverConflict` where layers would be read as something else.
    """
    from lamina.drivers.features import changed  # once a boot

    found = changed(before, now)
    if any(each.meaning for each in found):
        said = "; ".join(each.sentence() for each in found if each.meaning)
        raise DriverConflict(
            f"the layers of {driver} in {root} would mean something else here ({said})",
            hint="open it as it was opened before (the same kernel, the same user namespace or "
            "none), or choose another --root",
        )
    return tuple(f"{driver} in {root} is not as it was: {each.sentence()}" for each in found)


def verdicts(
    root: str, taken: str, reason: str, options: Sequence[str] = ()
) -> tuple[Verdict, ...]:
    """What to say of each driver in the catalogue; tries each, one after the other."""
    rows = []
    for candidate in CATALOG.values():
        probe = candidate.probe(_home(root, candidate), options)
        said = reason if candidate.name == taken else _not_taken(candidate, probe.reason)
        rows.append(
            Verdict(
                candidate.name,
                candidate.standing,
                candidate.cost,
                probe.works,
                candidate.name == taken,
                f"{said} ({probe.reason})" if candidate.name == taken else said,
            )
        )
    return tuple(rows)


def _not_taken(candidate: Entry, reason: str) -> str:
    if candidate.name not in PRIORITY:
        return f"never chosen by itself ({reason})"
    return reason


def refuse_foreign(root: str) -> None:
    """Refuse a root where a driver's directory has content that no row knows of.

    Raises `ForeignStore`.
    """
    for candidate in CATALOG.values():
        home = _home(root, candidate)
        if candidate.layers(root):
            raise ForeignStore(
                f"{home} holds layers that this store knows nothing of",
                hint="if they are strays, `lamina check --repair` sets them aside; "
                "else choose another --root",
            )


def _home(root: str, candidate: Entry) -> str:
    return os.path.join(root, candidate.home)
