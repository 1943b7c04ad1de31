"""From SINR to CQI, MCS and downlink rate by the tables of 3GPP TS 38.214."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rfplatform.planning.numerology import SYMBOLS_PER_SLOT, FrequencyRange, Numerology
from rfplatform.units import FloatArray, db_to_linear

DOWNLINK_OVERHEAD: Mapping[FrequencyRange, float] = {"FR1": 0.14, "FR2": 0.18}
"""Share of the resource elements that carry no data (TS 38.306 clause 4.1.2)."""

MAX_CODE_RATE = 948 / 1024


@dataclass(frozen=True)
class Scheme:
    """A modulation and the code rate: one row of a table.

    Attributes
    ----------
    index : int
        I_MCS, or the CQI.
    modulation_order : int
        Bits of a symbol, Q_m.
    code_rate_1024 : float
        Target code rate R times 1024.
    """

    index: int
    modulation_order: int
    code_rate_1024: float

    @property
    def efficiency(self) -> float:
        """Information bits of a resource element, Q_m R."""
        return self.modulation_order * self.code_rate_1024 / 1024.0


TableName = Literal["64qam", "256qam"]


def _table(first: int, **rates: tuple[float, ...]) -> tuple[Scheme, ...]:
    orders = {"qpsk": 2, "qam16": 4, "qam64": 6, "qam256": 8}
    rows = [(orders[name], rate) for name, listed in rates.items() for rate in listed]
    return tuple(Scheme(i, order, rate) for i, (order, rate) in enumerate(rows, start=first))


MCS_TABLES: Mapping[TableName, tuple[Scheme, ...]] = {
    "64qam": _table(
        0,
        qpsk=(120, 157, 193, 251, 308, 379, 449, 526, 602, 679),
        qam16=(340, 378, 434, 490, 553, 616, 658),
        qam64=(438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948),
    ),
    "256qam": _table(
        0,
        qpsk=(120, 193, 308, 449, 602),
        qam16=(378, 434, 490, 553, 616, 658),
        qam64=(466, 517, 567, 616, 666, 719, 772, 822, 873),
        qam256=(682.5, 711, 754, 797, 841, 885, 916.5, 948),
    ),
}
"""MCS index tables 1 (up to 64QAM) and 2 (256QAM): TS 38.214 Tables 5.1.3.1-1 and 5.1.3.1-2."""

CQI_TABLES: Mapping[TableName, tuple[Scheme, ...]] = {
    "64qam": _table(
        1,
        qpsk=(78, 120, 193, 308, 449, 602),
        qam16=(378, 490, 616),
        qam64=(466, 567, 666, 772, 873, 948),
    ),
    "256qam": _table(
        1,
        qpsk=(78, 193, 449),
        qam16=(378, 490, 616),
        qam64=(466, 567, 666, 772, 873),
        qam256=(711, 797, 885, 948),
    ),
}
"""CQI tables 1 and 2: TS 38.214 Tables 5.2.2.1-2 and 5.2.2.1-3. CQI 0 is out of range."""


def attainable_efficiency(sinr_db: npt.ArrayLike, margin_db: float) -> FloatArray:
    """Bits of a resource element that a real receiver decodes: log2(1 + SINR / margin).

    Shannon's bound with the SINR lowered by an implementation margin for coding, channel
    estimation and link adaptation: the SNR gap of Goldsmith and Chua, *Variable-rate
    variable-power MQAM for fading channels*, IEEE Trans. Commun. 45(10), 1997.

    Parameters
    ----------
    sinr_db : array_like
    margin_db : float
        At 3 dB MCS 27 of 256QAM takes 25.3 dB, and the lowest MCS -4.5 dB.
    """
    return np.asarray(np.log2(1.0 + db_to_linear(np.asarray(sinr_db, dtype=float) - margin_db)))


def sinr_required_db(efficiency: npt.ArrayLike, margin_db: float) -> FloatArray:
    """SINR from which an efficiency is attainable: the inverse of `attainable_efficiency`."""
    return np.asarray(10.0 * np.log10(np.exp2(np.asarray(efficiency)) - 1.0) + margin_db)


def mcs_efficiency(
    sinr_db: npt.ArrayLike, margin_db: float, table: TableName = "256qam"
) -> npt.NDArray[np.float32]:
    """Efficiency of the best MCS of a table that a SINR attains, in bits of a resource element.

    Parameters
    ----------
    sinr_db : array_like
        Any shape; NaN and -inf attain nothing.
    margin_db : float
        Implementation margin.
    table : str
        "64qam" or "256qam".

    Returns
    -------
    ndarray, the same shape, float32
        0 below the lowest MCS.
    """
    # Sorted, because MCS 17 of the table up to 64QAM carries less than MCS 16.
    steps = np.sort([scheme.efficiency for scheme in MCS_TABLES[table]])
    carried = np.concatenate([[0.0], steps]).astype(np.float32)
    return np.asarray(carried[_steps_attained(sinr_db, steps, margin_db)])


def cqi(
    sinr_db: npt.ArrayLike, margin_db: float, table: TableName = "256qam"
) -> npt.NDArray[np.int8]:
    """Channel quality indicator that a SINR attains, 0..15; 0 is out of range.

    Parameters
    ----------
    sinr_db, margin_db, table
        As of `mcs_efficiency`.
    """
    steps = np.array([scheme.efficiency for scheme in CQI_TABLES[table]])
    return _steps_attained(sinr_db, steps, margin_db).astype(np.int8)


def _steps_attained(
    sinr_db: npt.ArrayLike, efficiencies: FloatArray, margin_db: float
) -> npt.NDArray[np.intp]:
    """How many of the ascending efficiencies a SINR attains.

    Compared as SINRs, which spares a logarithm for every cell.
    """
    levels_db = np.nan_to_num(np.asarray(sinr_db, dtype=float), nan=-np.inf, posinf=np.inf)
    thresholds_db = sinr_required_db(efficiencies, margin_db)
    return np.asarray(np.searchsorted(thresholds_db, levels_db, side="right"))


def symbol_rate_hz(carrier: Numerology, downlink_share: float = 1.0) -> float:
    """Resource elements that carry downlink data each second.

    12 N_RB x 14 symbols a slot x slots a second x (1 - overhead) x share of downlink slots, with
    the overhead of TS 38.306 clause 4.1.2: 0.14 in FR1 and 0.18 in FR2.

    Parameters
    ----------
    carrier : Numerology
    downlink_share : float
        Of the symbols, in TDD; 1 is FDD.
    """
    elements = carrier.num_subcarriers * SYMBOLS_PER_SLOT * carrier.slots_per_s
    return elements * (1.0 - DOWNLINK_OVERHEAD[carrier.frequency_range]) * downlink_share


def peak_rate_bps(
    carrier: Numerology,
    *,
    table: TableName = "256qam",
    num_layers: int = 1,
    downlink_share: float = 1.0,
) -> float:
    """Highest rate of a carrier: the best MCS of a table in every resource element.

    Parameters
    ----------
    carrier : Numerology
    table : str
        "64qam" or "256qam".
    num_layers : int
        MIMO layers, each of which carries as much.
    downlink_share : float
        Of the symbols, in TDD.
    """
    best = max(scheme.efficiency for scheme in MCS_TABLES[table])
    return best * symbol_rate_hz(carrier, downlink_share) * num_layers
