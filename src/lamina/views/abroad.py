"""Another engine's images, as `images --from` and `df --from` show them."""

from lamina.engine.abroad import Abroad, ForeignUsage
from lamina.spec.imageconfig import format_time
from lamina.values.ages import age
from lamina.values.reference import Reference
from lamina.values.size import human

Document = dict[str, object]


def foreign_image_rows(usage: ForeignUsage, wanted: str | None, now: float) -> list[Document]:
    """One row for each name of each image, or of those called `wanted`, newest first."""
    return [
        _row(image, name, now)
        for image in usage.images
        for name in image.names or ("",)
        if wanted is None or _is_called(name, Reference.parse(wanted))
    ]


def _is_called(name: str, wanted: Reference) -> bool:
    if not name:
        return False
    own = Reference.parse(name)
    return own.familiar_name == wanted.familiar_name and wanted.tag in (None, own.tag)


def _row(image: Abroad, name: str, now: float) -> Document:
    reference = Reference.parse(name) if name else None
    return {
        "Repository": reference.familiar_name if reference else "<none>",
        "Tag": (reference.tag if reference else None) or "<none>",
        "ID": image.id,
        "Digest": "<none>",
        "CreatedAt": format_time(image.created),
        "CreatedSince": f"{age(now - image.created)} ago" if image.created else "N/A",
        "Size": human(image.size),
    }


def foreign_df_rows(usage: ForeignUsage) -> list[Document]:
    """Bytes of each image: shared and exclusive add up to its size."""
    shares = {share.id: share for share in usage.sharing().images}
    return [
        {
            "Name": Reference.parse(image.names[0]).familiar if image.names else "<none>",
            "ID": image.id.short,
            "Size": human(image.size, 4),
            "SharedSize": human(shares[image.id].shared, 4),
            "UniqueSize": human(shares[image.id].exclusive, 4),
            "Layers": str(len(image.layers)),
        }
        for image in usage.images
    ]


def foreign_df_document(usage: ForeignUsage) -> Document:
    """The same in exact bytes, with the sums."""
    counted = usage.sharing()
    shares = {share.id: share for share in counted.images}
    return {
        "Store": usage.title,
        "LayersAsked": counted.asked,
        "LayersStored": counted.stored,
        "BytesAsked": counted.asked_bytes,
        "BytesStored": counted.stored_bytes,
        "Images": [
            {
                "Id": image.id,
                "Names": list(image.names),
                "Size": image.size,
                "SharedSize": shares[image.id].shared,
                "UniqueSize": shares[image.id].exclusive,
            }
            for image in usage.images
        ],
    }


def foreign_df_sum(usage: ForeignUsage) -> str:
    """One line of sums."""
    counted = usage.sharing()
    return (
        f"{usage.title}: {len(usage.images)} images, {counted.stored} layers of "
        f"{human(counted.stored_bytes, 4)} (without sharing {human(counted.asked_bytes, 4)})"
    )
