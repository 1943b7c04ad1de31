"""Scenes as Blender files: written, edited by hand, read back, and rendered."""
