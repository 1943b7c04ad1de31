"""How much of the outdoor area is served, how well, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rfplatform.planning.layers import PlanningLayers
from rfplatform.planning.rate import peak_rate_bps
from rfplatform.radiomap import RadioMap
from rfplatform.units import FloatArray

THRESHOLDS: Mapping[str, tuple[float, ...]] = {
    "ss_rsrp_dbm": (-80.0, -90.0, -100.0, -110.0, -120.0),
    "ss_sinr_db": (20.0, 13.0, 5.0, 0.0, -3.0),
    "rate_bps": (500e6, 200e6, 100e6, 50e6, 10e6),
}
"""Levels at or above which the area is told."""


def coverage_statistics(
    radio_map: RadioMap,
    planning: PlanningLayers,
    thresholds: Mapping[str, Sequence[float]] = THRESHOLDS,
) -> dict[str, Any]:
    """Areas and shares of the outdoor area at or above levels, in all and by sector.

    Every outdoor cell counts with its whole area, resolution squared on the projected plane; no
    population is weighed in.

    Parameters
    ----------
    radio_map : RadioMap
    planning : PlanningLayers
        Of the same map.
    thresholds : mapping of str to sequence of float
        By attribute of `PlanningLayers`.

    Returns
    -------
    dict
        "outdoor_km2"; "served" with "km2" and "share"; "at_least": for each layer a mapping of
        level to "km2" and "share"; "boundary_share" and "several_servers_share" of the served
        area; "sectors": by label the served "km2", its "share" of the outdoor area, and the
        medians of SS-RSRP, SS-SINR and rate in it (None where it serves nothing).
    """
    outdoor = radio_map.outdoor
    server = planning.best_server[outdoor]
    cell_km2 = (radio_map.grid.resolution_m / 1e3) ** 2
    cells = len(server)

    def area(count: int) -> dict[str, float]:
        return {
            "km2": round(count * cell_km2, 6),
            "share": round(count / cells, 4) if cells else 0.0,
        }

    levels = {name: getattr(planning, name)[outdoor] for name in thresholds}
    served = server >= 0
    num_served = int(served.sum())

    def share_of_served(count: int) -> float:
        return round(count / num_served, 4) if num_served else 0.0

    shown = {name: getattr(planning, name)[outdoor] for name in _MEDIANS}
    return {
        "outdoor_km2": round(cells * cell_km2, 6),
        "served": area(num_served),
        "at_least": {
            name: {f"{level:.15g}": area(int((levels[name] >= level).sum())) for level in listed}
            for name, listed in thresholds.items()
        },
        "boundary_share": share_of_served(int(planning.handover_boundary[outdoor].sum())),
        "several_servers_share": share_of_served(int((planning.num_servers[outdoor] > 1).sum())),
        "medians": {name: _median(values[served]) for name, values in shown.items()},
        "sectors": {
            sector.label: {
                **area(int((server == i).sum())),
                **{
                    f"median_{name}": _median(values[server == i]) for name, values in shown.items()
                },
            }
            for i, sector in enumerate(radio_map.sectors)
        },
    }


_MEDIANS = ("ss_rsrp_dbm", "ss_sinr_db", "rate_bps")


def _median(values: FloatArray) -> float | None:
    return float(f"{np.median(values):.4g}") if len(values) else None


def describe(radio_map: RadioMap, planning: PlanningLayers) -> dict[str, Any]:
    """What a record says of the planning layers: assumptions, carriers and statistics.

    Parameters
    ----------
    radio_map : RadioMap
    planning : PlanningLayers
        Of the same map.

    Returns
    -------
    dict
        "assumptions"; "carriers": by sector's label the frequency range, spacing, resource
        blocks and peak rate; "coverage": see `coverage_statistics`.
    """
    assumed = planning.assumptions
    return {
        "assumptions": asdict(assumed),
        "carriers": {
            sector.label: {
                "frequency_range": carrier.frequency_range,
                "scs_hz": carrier.scs_hz,
                "num_rb": carrier.num_rb,
                "peak_rate_bps": round(
                    peak_rate_bps(
                        carrier,
                        table=assumed.mcs_table,
                        num_layers=assumed.num_layers,
                        downlink_share=assumed.downlink_share,
                    )
                ),
            }
            for sector, carrier in zip(radio_map.sectors, planning.carriers, strict=True)
        },
        "coverage": coverage_statistics(radio_map, planning),
    }
