"""`lamina df`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import document, show
from lamina.cli.session import engine
from lamina.values.size import human
from lamina.views.sharing import copied_bytes, df_document, df_image_rows, df_image_sum, df_rows

USAGE = Usage(
    "[OPTIONS]",
    "Show where the bytes are, and how many of them could go",
    (
        Flag("format", "", "FORMAT", "json, or a Go template"),
        Flag("verbose", "v", "", "show each image's shared and own bytes"),
        Flag("from", "", "STORE", "of docker:DIR or containers-storage:DIR, which is only read"),
    ),
)
_COLUMNS = (
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
)
_IMAGES = (
    ("Name", "IMAGE"),
    ("ID", "IMAGE ID"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
    ("Reclaimable", "RECLAIMABLE"),
)
_FOREIGN = (*_IMAGES[:-2], ("Layers", "LAYERS"))


def run(context: Context, given: Parsed) -> int:
    """Show."""
    source = given.one("from")
    if source is not None:
        _show_foreign(source, given.one("format"))
        return 0
    with engine(context) as opened:
        usage = opened.system.usage()
    format_ = given.one("format")
    counted = df_document(usage)
    if format_ == "json":
        print(document(counted, "json"), end="")
    elif given.has("verbose"):
        print(show(df_image_rows(usage), _IMAGES, format_), end="")
        if not format_:
            print(f"\n{df_image_sum(usage)}")
    else:
        print(show(df_rows(counted), _COLUMNS, format_), end="")
        if usage.copies_parents and not format_:
            size = human(copied_bytes(usage), 4)
            print(f"\nOn vfs each layer and container is a copy of all below it: {size} on disk.")
    return 0


def _show_foreign(source: str, format_: str | None) -> None:
    from lamina.engine.abroad import look
    from lamina.views.abroad import foreign_df_document, foreign_df_rows, foreign_df_sum

    usage = look(source)
    if format_ == "json":
        print(document(foreign_df_document(usage), "json"), end="")
        return
    print(show(foreign_df_rows(usage), _FOREIGN, format_), end="")
    if format_ is None:
        print(f"\n{foreign_df_sum(usage)}")
