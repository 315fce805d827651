"""EROFS metadata images over a layer's tar: written, and read to be checked.

`keeping` keeps the tar as it passes, `tree` holds what it means, `writer` makes the image of it;
`format` has the on-disk structures, `reader` checks an image by them (docs/format/erofs-layer.md).
"""
