"""Every planning layer of a radio map: servers, quality, rate, and what they rest upon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.planning.numerology import SPACINGS_HZ, Numerology, numerologies
from rfplatform.planning.quality import serving_quality, ss_rsrp_dbm
from rfplatform.planning.rate import MCS_TABLES, TableName, cqi, mcs_efficiency, symbol_rate_hz
from rfplatform.radiomap import BoolArray, RadioMap, Sector, band_overlap
from rfplatform.units import FloatArray


@dataclass(frozen=True)
class Assumptions:
    """What a radio map alone does not tell.

    Attributes
    ----------
    load : float
        Share of its resource elements that every sector fills with data, 0..1.
    scs_hz : float, optional
        Subcarrier spacing of every carrier; by default that of
        `rfplatform.planning.numerology.numerology`.
    noise_figure_db : float
        Of the receivers.
    servers_within_db : float
        How far below the best server another one still counts.
    servers_floor_dbm : float
        SS-RSRP below which none counts.
    margin_db : float
        Implementation margin between Shannon's bound and a receiver.
    mcs_table : str
        "64qam" or "256qam": MCS and CQI tables 1 or 2 of TS 38.214.
    num_layers : int
        MIMO layers; each carries as much as one, without taking from another's SINR.
    downlink_share : float
        Of the symbols, in TDD; 1 is FDD.

    Raises
    ------
    InputError
        If one of them is out of range.
    """

    load: float = 1.0
    scs_hz: float | None = None
    noise_figure_db: float = 7.0
    servers_within_db: float = 6.0
    servers_floor_dbm: float = -125.0
    margin_db: float = 3.0
    mcs_table: TableName = "256qam"
    num_layers: int = 1
    downlink_share: float = 1.0

    def __post_init__(self) -> None:
        # Comparisons with NaN are false, so that it is refused too.
        if not 0.0 <= self.load <= 1.0:
            hint = f" (did you mean {self.load / 100:g}?)" if 1.0 < self.load <= 100.0 else ""
            raise InputError(f"load {self.load:g}: must lie in 0..1{hint}")
        if self.scs_hz is not None and self.scs_hz not in SPACINGS_HZ:
            known = ", ".join(f"{scs:g}" for scs in SPACINGS_HZ)
            in_khz = self.scs_hz * 1e3 in SPACINGS_HZ
            hint = " (is it in kHz?)" if in_khz else ""
            raise InputError(f"subcarrier spacing {self.scs_hz:g} Hz: NR has {known} Hz{hint}")
        if not 0.0 <= self.servers_within_db <= 100.0:
            raise InputError(f"servers within {self.servers_within_db:g} dB: must lie in 0..100 dB")
        if not -200.0 <= self.servers_floor_dbm <= 0.0:
            raise InputError(
                f"floor of the servers {self.servers_floor_dbm:g} dBm: must lie in -200..0 dBm"
            )
        if not 0.0 <= self.margin_db <= 30.0:
            raise InputError(f"margin {self.margin_db:g} dB: must lie in 0..30 dB")
        if self.mcs_table not in MCS_TABLES:
            raise InputError(
                f"MCS table {self.mcs_table!r}: must be one of {', '.join(MCS_TABLES)}"
            )
        if not 1 <= self.num_layers <= 8:
            raise InputError(f"layers {self.num_layers}: must lie in 1..8")
        if not 0.0 < self.downlink_share <= 1.0:
            raise InputError(
                f"downlink share {self.downlink_share:g}: must be above 0 and at most 1"
            )


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer as files carry it.

    Attributes
    ----------
    name : str
        Of the variable: "ss_rsrp_dbm".
    title : str
        As people read it, without the unit: "SS-RSRP".
    units : str
        "dBm", "dB", "bit s-1", "s"; "1" for counts, flags and indices.
    values : ndarray, [num_y, num_x] or [num_sectors, num_y, num_x]
        Row 0 is south. A missing level is NaN; a missing index is -1.
    comment : str
        How it is defined.
    flags : mapping of int to str
        What the values of a layer of indices stand for.
    """

    name: str
    title: str
    units: str
    values: npt.NDArray[Any]
    comment: str
    flags: Mapping[int, str] | None = None

    @property
    def band(self) -> str:
        """Name with the unit, as QGIS shows a band: "SS-RSRP [dBm]"."""
        unit = {"1": "", "bit s-1": " [bit/s]"}.get(self.units, f" [{self.units}]")
        return self.title + unit


@dataclass(frozen=True, eq=False)
class PlanningLayers:
    """The planning layers of a radio map; all are [num_y, num_x] and of the serving sector.

    Attributes
    ----------
    assumptions : Assumptions
    sectors : tuple of Sector
    carriers : tuple of Numerology
        One for each sector.
    best_server : ndarray, int16
        Index of the sector with the highest SS-RSRP; -1 where none has a path.
    ss_rsrp_dbm, ss_rsrq_db, ss_sinr_db : ndarray, float32
        See `rfplatform.planning.quality.serving_quality`. -inf without a server.
    dominance_db : ndarray, float32
        SS-RSRP of the best server over that of the second; NaN where there is no second.
    num_servers : ndarray, int16
        How many sectors are within `Assumptions.servers_within_db` of the best, it included, and
        above the floor.
    handover_boundary : ndarray, bool
        Cells beside one (of four neighbours) that another sector serves.
    cqi : ndarray, int8
        See `rfplatform.planning.rate.cqi`.
    rate_bps : ndarray, float32
        Downlink rate of a receiver that gets every resource block; 0 where none is decoded.
    mean_delay_s, delay_spread_s : ndarray or None, float32
        Of the paths from the server, where the radio map tells them; NaN without a path.
    """

    assumptions: Assumptions
    sectors: tuple[Sector, ...]
    carriers: tuple[Numerology, ...]
    best_server: npt.NDArray[np.int16]
    ss_rsrp_dbm: npt.NDArray[np.float32]
    ss_rsrq_db: npt.NDArray[np.float32]
    ss_sinr_db: npt.NDArray[np.float32]
    dominance_db: npt.NDArray[np.float32]
    num_servers: npt.NDArray[np.int16]
    handover_boundary: BoolArray
    cqi: npt.NDArray[np.int8]
    rate_bps: npt.NDArray[np.float32]
    mean_delay_s: npt.NDArray[np.float32] | None = None
    delay_spread_s: npt.NDArray[np.float32] | None = None

    @property
    def notes(self) -> list[str]:
        """What the standard's tables lacked, once for each kind of carrier."""
        return list(dict.fromkeys(c.note for c in self.carriers if c.note))

    def layers(self) -> tuple[Layer, ...]:
        """All layers with names, units and definitions, in the order in which files list them."""
        a = self.assumptions
        margin = f"implementation margin {a.margin_db:g} dB"
        loaded = f"every sector loaded to {a.load:.0%}, noise figure {a.noise_figure_db:g} dB"
        listed = [
            _level(
                "ss_rsrp_dbm",
                "SS-RSRP",
                "dBm",
                self.ss_rsrp_dbm,
                "3GPP TS 38.215 clause 5.1.1, of the best server; power flat over all resource "
                "elements, SSB through the beam of the data",
            ),
            _level(
                "ss_rsrq_db",
                "SS-RSRQ",
                "dB",
                self.ss_rsrq_db,
                f"3GPP TS 38.215 clause 5.1.3, of the best server; {loaded}, an empty sector "
                "sends 2 of 12 resource elements",
            ),
            _level(
                "ss_sinr_db",
                "SS-SINR",
                "dB",
                self.ss_sinr_db,
                f"3GPP TS 38.215 clause 5.1.5, of the best server; {loaded}",
            ),
            Layer(
                "best_server",
                "best server",
                "1",
                self.best_server,
                "index of the sector with the highest SS-RSRP",
                {-1: "no server", **{i: s.label for i, s in enumerate(self.sectors)}},
            ),
            _level(
                "dominance_db",
                "server dominance",
                "dB",
                self.dominance_db,
                "SS-RSRP of the best server over that of the second in its band; missing where "
                "there is no second",
            ),
            Layer(
                "num_servers",
                f"servers within {a.servers_within_db:g} dB",
                "1",
                self.num_servers,
                f"sectors in the best server's band within {a.servers_within_db:g} dB of it, it "
                f"included, and at or above {a.servers_floor_dbm:g} dBm SS-RSRP",
            ),
            Layer(
                "handover_boundary",
                "handover boundary",
                "1",
                self.handover_boundary,
                "cells beside one, of the four neighbours, that another sector serves",
                {0: "inside", 1: "boundary"},
            ),
            Layer(
                "cqi",
                "CQI",
                "1",
                self.cqi,
                f"3GPP TS 38.214 clause 5.2.2.1, table {_number(a.mcs_table)}; {margin}; 0: out "
                "of range",
            ),
            _level(
                "rate_bps",
                "downlink rate",
                "bit s-1",
                self.rate_bps,
                f"3GPP TS 38.214 Table 5.1.3.1-{_number(a.mcs_table)}, {margin}, overhead of TS "
                f"38.306 clause 4.1.2, {a.num_layers} MIMO layer(s), downlink share "
                f"{a.downlink_share:g}; a receiver that gets every resource block",
            ),
        ]
        if self.mean_delay_s is not None:
            listed.append(
                _level(
                    "serving_mean_delay_s",
                    "mean delay",
                    "s",
                    self.mean_delay_s,
                    "power-weighted mean delay of the paths from the best server",
                )
            )
        if self.delay_spread_s is not None:
            listed.append(
                _level(
                    "serving_delay_spread_s",
                    "delay spread",
                    "s",
                    self.delay_spread_s,
                    "root mean square delay spread of the paths from the best server",
                )
            )
        return tuple(listed)


def _level(name: str, title: str, units: str, values: FloatArray, comment: str) -> Layer:
    known = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
    return Layer(name, title, units, known, comment)


def _number(table: TableName) -> int:
    return list(MCS_TABLES).index(table) + 1


def planning_layers(radio_map: RadioMap, assumptions: Assumptions | None = None) -> PlanningLayers:
    """Compute every planning layer.

    Parameters
    ----------
    radio_map : RadioMap
        Of any solver.
    assumptions : Assumptions, optional

    Returns
    -------
    PlanningLayers
        Cells indoors are computed as any other: `RadioMap.outdoor` tells them.

    Raises
    ------
    InputError
        If the assumed subcarrier spacing does not suit a sector.

    Notes
    -----
    Servers are ranked by SS-RSRP over all carriers. The second server and the number of servers
    are counted among the sectors whose band overlaps that of the best, since only these compete
    with it.
    """
    assumed = assumptions or Assumptions()
    carriers = numerologies(radio_map.sectors, assumed.scs_hz)
    rsrp_dbm = ss_rsrp_dbm(radio_map, carriers)
    server = best_server(rsrp_dbm)
    second_dbm, num_servers = competitors(
        rsrp_dbm,
        server,
        band_overlap(radio_map.sectors) > 0.0,
        within_db=assumed.servers_within_db,
        floor_dbm=assumed.servers_floor_dbm,
    )
    del rsrp_dbm  # The largest array here.
    quality = serving_quality(
        radio_map,
        carriers,
        server,
        load=assumed.load,
        noise_figure_db=assumed.noise_figure_db,
    )
    has_second = np.isfinite(second_dbm)
    dominance_db = np.full_like(second_dbm, np.nan)
    np.subtract(quality.ss_rsrp_dbm, second_dbm, out=dominance_db, where=has_second)
    symbol_hz = np.array([symbol_rate_hz(c, assumed.downlink_share) for c in carriers])
    efficiency = mcs_efficiency(quality.ss_sinr_db, assumed.margin_db, assumed.mcs_table)
    rate_bps = efficiency * (assumed.num_layers * symbol_hz)[np.maximum(server, 0)]
    return PlanningLayers(
        assumptions=assumed,
        sectors=radio_map.sectors,
        carriers=carriers,
        best_server=server,
        ss_rsrp_dbm=quality.ss_rsrp_dbm,
        ss_rsrq_db=quality.ss_rsrq_db,
        ss_sinr_db=quality.ss_sinr_db,
        dominance_db=dominance_db,
        num_servers=num_servers,
        handover_boundary=handover_boundary(server),
        cqi=cqi(quality.ss_sinr_db, assumed.margin_db, assumed.mcs_table),
        rate_bps=rate_bps.astype(np.float32),
        mean_delay_s=_of_server(radio_map.mean_delay_s, server),
        delay_spread_s=_of_server(radio_map.delay_spread_s, server),
    )


def best_server(rsrp_dbm: FloatArray) -> npt.NDArray[np.int16]:
    """Index of the sector with the highest level, [num_y, num_x]; -1 where none has a path.

    The first of equals.

    Parameters
    ----------
    rsrp_dbm : ndarray, [num_sectors, num_y, num_x]
        -inf where there is no path.
    """
    best = np.argmax(rsrp_dbm, axis=0)
    lit = np.isfinite(rsrp_dbm.max(axis=0))
    return np.where(lit, best, -1).astype(np.int16)


def competitors(
    rsrp_dbm: FloatArray,
    server: npt.NDArray[np.int16],
    competes: BoolArray,
    *,
    within_db: float,
    floor_dbm: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """Level of the second server, and the number of servers near the best.

    Parameters
    ----------
    rsrp_dbm : ndarray, [num_sectors, num_y, num_x]
    server : ndarray, [num_y, num_x], int16
        Index of the best sector, -1 for none.
    competes : ndarray, [num_sectors, num_sectors], bool
        Whether sector j counts beside the best sector i, [i, j].
    within_db, floor_dbm : float
        Servers are at or above both the best level less `within_db`, and the floor.

    Returns
    -------
    second_dbm : ndarray, [num_y, num_x], float32
        -inf where there is no second.
    num_servers : ndarray, [num_y, num_x], int16
    """
    served = np.maximum(server, 0)
    best_dbm = np.take_along_axis(rsrp_dbm, served[None].astype(np.intp), axis=0)[0]
    # Where nothing is received, nothing reaches the threshold either.
    threshold_dbm = np.maximum(best_dbm - np.float32(within_db), np.float32(floor_dbm))
    second_dbm = np.full(server.shape, -np.inf, dtype=np.float32)
    count = np.zeros(server.shape, dtype=np.int16)
    for j, level_dbm in enumerate(rsrp_dbm):
        counts = competes[served, j]
        count += counts & (level_dbm >= threshold_dbm)
        other = counts & (server != j)
        np.maximum(second_dbm, level_dbm, out=second_dbm, where=other)
    return second_dbm, count


def handover_boundary(server: npt.NDArray[np.int16]) -> BoolArray:
    """Cells beside one, of the four neighbours, that another sector serves.

    Cells without a server (-1) neither are nor make a boundary.

    Parameters
    ----------
    server : ndarray, [num_y, num_x], int16
    """
    boundary = np.zeros(server.shape, dtype=bool)
    for axis in (0, 1):
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        a, b = server[tuple(first)], server[tuple(second)]
        differs = (a != b) & (a >= 0) & (b >= 0)
        boundary[tuple(first)] |= differs
        boundary[tuple(second)] |= differs
    return boundary


def _of_server(
    layer: FloatArray | None, server: npt.NDArray[np.int16]
) -> npt.NDArray[np.float32] | None:
    if layer is None:
        return None
    served = np.take_along_axis(layer, np.maximum(server, 0)[None].astype(np.intp), axis=0)[0]
    return np.where(server < 0, np.nan, served).astype(np.float32)
