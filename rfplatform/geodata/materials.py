"""From ``building:material`` to the materials of ITU-R P.2040."""

DEFAULT_MATERIAL = "concrete"

ITU_MATERIALS: dict[str, str] = {
    "brick": "brick",
    "bricks": "brick",
    "brickwork": "brick",
    "clay": "brick",
    "concrete": "concrete",
    "reinforced_concrete": "concrete",
    "cement_block": "concrete",
    "cement": "concrete",
    "plaster": "concrete",  # a coat on masonry: what is behind it counts
    "stucco": "concrete",
    "glass": "glass",
    "mirror": "glass",
    "wood": "wood",
    "timber": "wood",
    "timber_framing": "wood",
    "log": "wood",
    "metal": "metal",
    "metal_plates": "metal",
    "steel": "metal",
    "iron": "metal",
    "copper": "metal",
    "aluminium": "metal",
    "tin": "metal",
    "zinc": "metal",
    "stone": "marble",  # P.2040 has one stone
    "marble": "marble",
    "granite": "marble",
    "limestone": "marble",
    "sandstone": "marble",
    "slate": "marble",
    "plasterboard": "plasterboard",
}
"""Values of ``building:material`` in use in OpenStreetMap, and their nearest P.2040 material."""


def itu_material(tag: str | None) -> str:
    """The P.2040 material of a ``building:material`` value; concrete where unknown or absent."""
    return ITU_MATERIALS.get((tag or "").strip().lower().split(";")[0], DEFAULT_MATERIAL)
