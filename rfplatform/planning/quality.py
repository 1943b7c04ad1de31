"""SS-RSRP, SS-RSRQ and SS-SINR of 3GPP TS 38.215 from received power, bandwidth and load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.planning.numerology import SUBCARRIERS_PER_BLOCK, Numerology
from rfplatform.radiomap import RadioMap, band_overlap
from rfplatform.units import FloatArray, db_to_linear, linear_to_db, thermal_noise_dbm

ALWAYS_ON_SHARE = 2 / SUBCARRIERS_PER_BLOCK
"""Share of the resource elements of the RSSI's symbols that an empty cell fills.

Two of twelve, as LTE's reference signals of one port do, so that an empty cell alone has an RSRQ
of -3.01 dB and a full one -10.79 dB, the figures planners know. In NR the symbols in which
RSSI is measured are the network's choice (TS 38.215 Table 5.1.3-1).
"""


def ss_rsrp_dbm(radio_map: RadioMap, carriers: Sequence[Numerology]) -> npt.NDArray[np.float32]:
    """SS-RSRP of every sector: the mean power of a resource element (TS 38.215 clause 5.1.1).

    RSS - 10 log10(12 N_RB). A sector's power is taken as flat over its resource elements, and
    the SSB as sent through the same beam and with the same power of an element as the data.

    Parameters
    ----------
    radio_map : RadioMap
    carriers : sequence of Numerology
        One for each sector.

    Returns
    -------
    ndarray, [num_sectors, num_y, num_x], float32
        -inf where there is no path.
    """
    offset_db = np.array([s.power_dbm for s in radio_map.sectors], dtype=np.float64) - linear_to_db(
        [c.num_subcarriers for c in carriers]
    )
    return np.asarray(
        radio_map.path_gain_db + offset_db.astype(np.float32)[:, None, None], dtype=np.float32
    )


@dataclass(frozen=True, eq=False)
class Quality:
    """SS-RSRP, SS-RSRQ and SS-SINR of the serving sector, [num_y, num_x] each, float32.

    -inf where there is no server.
    """

    ss_rsrp_dbm: npt.NDArray[np.float32]
    ss_rsrq_db: npt.NDArray[np.float32]
    ss_sinr_db: npt.NDArray[np.float32]


def serving_quality(
    radio_map: RadioMap,
    carriers: Sequence[Numerology],
    server: npt.NDArray[np.int16],
    *,
    load: npt.ArrayLike = 1.0,
    noise_figure_db: float = 7.0,
) -> Quality:
    """SS-RSRP, SS-RSRQ and SS-SINR of the sector that serves each cell.

    With P_j the power of sector j over its band, o_ij the share of it that falls into the band
    of the server i (`rfplatform.radiomap.band_overlap`), l_j the load, N the server's resource
    blocks and n the noise in them (k 290 K x 12 N SCS x noise figure):

    - SS-RSRP = P_i / 12 N (clause 5.1.1);
    - NR carrier RSSI = sum_j o_ij (a + (1 - a) l_j) P_j + n over N resource blocks, the server
      included, with a = 2/12 for what an empty cell sends (`ALWAYS_ON_SHARE`), and
      SS-RSRQ = N SS-RSRP / RSSI (clause 5.1.3);
    - SS-SINR = P_i / (sum_{j != i} o_ij l_j P_j + n) (clause 5.1.5): a neighbour disturbs the
      server's resource elements as often as it fills them; an empty one not at all.

    Parameters
    ----------
    radio_map : RadioMap
    carriers : sequence of Numerology
        One for each sector.
    server : ndarray, [num_y, num_x], int16
        Index of the serving sector, -1 for none.
    load : float or array_like of [num_sectors]
        Share of the resource elements that a sector fills with data, 0..1.
    noise_figure_db : float
        Of the receivers.

    References
    ----------
    3GPP TS 38.215, clauses 5.1.1, 5.1.3 and 5.1.5.
    """
    num_sectors = len(radio_map.sectors)
    loads = np.broadcast_to(np.asarray(load, dtype=float), (num_sectors,))
    if not np.all((loads >= 0.0) & (loads <= 1.0)):
        raise ValueError(f"loads {loads.tolist()}: must lie in 0..1")
    activity = ALWAYS_ON_SHARE + (1.0 - ALWAYS_ON_SHARE) * loads
    overlap = band_overlap(radio_map.sectors)
    noise_dbm = thermal_noise_dbm([c.transmitted_hz for c in carriers], noise_figure_db)
    noise_mw = db_to_linear(noise_dbm)
    num_subcarriers = np.array([c.num_subcarriers for c in carriers], dtype=float)

    served = np.maximum(server, 0)
    noise = noise_mw[served]
    own_mw, interference_mw, rssi_mw = np.zeros_like(noise), noise.copy(), noise
    # Sector by sector: a stack of all of them in double precision would be the largest array.
    for j, sector in enumerate(radio_map.sectors):
        power_mw = db_to_linear(radio_map.path_gain_db[j].astype(np.float64) + sector.power_dbm)
        is_own = server == j
        own_mw[is_own] = power_mw[is_own]
        shared_mw = overlap[served, j] * power_mw
        rssi_mw += activity[j] * shared_mw
        shared_mw[is_own] = 0.0
        interference_mw += loads[j] * shared_mw
    elements = num_subcarriers[served]
    dark = server < 0

    def level(ratio: FloatArray) -> npt.NDArray[np.float32]:
        return np.where(dark, -np.inf, linear_to_db(ratio)).astype(np.float32)

    return Quality(
        ss_rsrp_dbm=level(own_mw / elements),
        ss_rsrq_db=level(own_mw / (SUBCARRIERS_PER_BLOCK * rssi_mw)),
        ss_sinr_db=level(own_mw / interference_mw),
    )
