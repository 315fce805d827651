"""Two images beside each other: documents, trees and what their package managers wrote."""

from lamina.analyze import compare
from lamina.analyze.compare import Comparison
from lamina.analyze.merged import MergedTree
from lamina.engine.inside import Inside


def compared(
    one: Inside, other: Inside, one_tree: MergedTree, other_tree: MergedTree
) -> Comparison:
    """What differs, `one` being the image before."""
    before, after = one.config, other.config
    common = compare.common_layers(before.diff_ids, after.diff_ids)
    return Comparison(
        compare.settings(before, after),
        common,
        before.diff_ids[common:],
        after.diff_ids[common:],
        compare.packages(one.packages(one_tree), other.packages(other_tree)),
        compare.files(one_tree, other_tree),
    )
