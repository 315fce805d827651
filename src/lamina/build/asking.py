"""What can be asked of a Dockerfile without building it: the checks, and the outline of a target.

An image is looked at where the store has it, and is unknown otherwise; nothing is fetched.
"""

from lamina import dockerfile
from lamina.build.api import BuildRequest, Images
from lamina.build.context import Opened
from lamina.build.image import platform_of
from lamina.build.named import Address, Folder, Layout, Repository
from lamina.build.outline import Outline, outline
from lamina.build.outside import Outside
from lamina.build.plan import SCRATCH, make_plan
from lamina.build.state import State
from lamina.build.wishes import CHECK, platform_arguments, targets_of
from lamina.dockerfile import directives, lint
from lamina.dockerfile.lint import Checked
from lamina.errors import ImageNotFound, InvalidReference
from lamina.spec.imageconfig import ImageConfig
from lamina.values.events import CheckWarned, Sink
from lamina.values.platform import Platform


class Asking:
    """Asks of Dockerfiles whose bases the `images` may have."""

    def __init__(self, images: Images, host: Platform) -> None:
        self._images = images
        self._host = host

    def checked(self, request: BuildRequest, context: Opened) -> Checked:
        """What the build checks say; raises `DockerfileError` for what cannot be read at all."""
        return lint.check(
            context.dockerfile.text,
            filename=context.dockerfile.name,
            options=request.build_args.get(CHECK),
            build_args=request.build_args,
            ignore=context.tree.ignore_alone,
            bases=self._environment,
            platforms=self._platform_of,
            platform=self._arguments(request),
        )

    def tell_checks(self, request: BuildRequest, context: Opened, sink: Sink) -> None:
        """What the build checks say, after all: an ordinary build only mentions it."""
        for each in self.checked(request, context).warnings:
            sink(CheckWarned(each.rule, each.detail, each.position.first, each.url))

    def refuse_warned(self, request: BuildRequest, context: Opened) -> None:
        """With `error=true` what the checks warn of ends the build; raises `DockerfileError`."""
        said = request.build_args.get(CHECK)
        if "error=" not in (_directive(context.dockerfile.text) if said is None else said):
            return
        checked = self.checked(request, context)
        if checked.is_error and checked.warnings:
            rules = ", ".join(sorted({each.rule for each in checked.warnings}))
            raise checked.warnings[0].position.error(
                f"lint violation found for rules: {rules}", hint="see `lamina build --check`"
            )

    def outline(self, request: BuildRequest, context: Opened) -> Outline:
        """What can be told to the build of the target; raises `DockerfileError`, `UsageError`."""
        text = context.dockerfile.text
        written = dockerfile.parse(text, filename=context.dockerfile.name)
        plan = make_plan(
            written,
            triggers=self._triggers,
            platform=self._arguments(request),
            build_args=request.build_args,
            target=request.target,
            outside=Outside(request.contexts, _nothing_of, _nothing_from),
        )
        return outline(
            text,
            written,
            plan,
            build_args=request.build_args,
            environments=self._environment,
        )

    def _arguments(self, request: BuildRequest) -> dict[str, str]:
        return platform_arguments(self._host, targets_of(request, self._host)[0].platform)

    def _environment(self, reference: str) -> dict[str, str] | None:
        """What is set in an image of the store; None when it is not there."""
        found = self._stored(reference)
        return None if found is None else State.over(found).environment

    def _platform_of(self, reference: str) -> str | None:
        found = self._stored(reference)
        return None if found is None else str(platform_of(found))

    def _triggers(self, reference: str, _platform: str) -> tuple[str, ...]:
        found = self._stored(reference)
        return () if found is None else found.config.on_build or ()

    def _stored(self, reference: str) -> ImageConfig | None:
        try:
            return self._images.config(self._images.resolve(reference))
        except (ImageNotFound, InvalidReference):
            return None


def _directive(text: str) -> str:
    found = directives.find("check", text)
    return found.value if found is not None else ""


def _nothing_of(_layout: Layout) -> str:
    """A layout is not taken in to tell of it: it has no triggers, and sets nothing."""
    return SCRATCH


def _nothing_from(context: Repository | Address) -> Folder:
    """What is elsewhere is not brought to tell of it."""
    return Folder(context.name, "")
