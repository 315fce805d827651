"""Other engines' stores, read only: what they hold travels as any image does.

Nothing here writes, locks or mounts; the engine may go on running. What is read is believed only
as far as its digest allows, which whoever takes the layers in will check.
"""
