"""Storage drivers: how layers lie on a file system, behind one contract.

A driver knows no digest, no image and no database: opaque layer IDs and parents in; mount
plans, trees and figures out.
"""
