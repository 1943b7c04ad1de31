"""What the race of networks against the ray tracer measures."""

from dataclasses import replace

import pytest

from rfplatform.benchmark import Case, evaluate
from rfplatform.benchmarks import learned
from rfplatform.benchmarks.learned import LEARNED, MapJob, MapRun
from rfplatform.benchmarks.unseen import draw
from rfplatform.errors import InputError, MissingError
from rfplatform.propagation.empirical import FreeSpace
from rfplatform.propagation.process import TracingProcess


class _Timed:
    """A job that takes what it is told."""

    def __init__(self, learns_s, traces_s):
        self.learns_s, self.traces_s = learns_s, traces_s

    def learn(self):
        return MapRun(self.learns_s, 4)

    def trace(self):
        return MapRun(self.traces_s, 4)


def test_the_target_is_for_warm_maps_alone():
    cases = [Case(state, _Timed(0.1, 8.0), state) for state in ("warm", "cold")]
    rows = evaluate(replace(LEARNED, dataset=lambda: cases))
    by_case = {(r.case, r.metric): r for r in rows}
    warm = by_case["warm", "time"]
    assert (warm.ratio, warm.met) == (pytest.approx(1 / 80), True)
    assert ("cold", "time") not in by_case
    cold = by_case["cold", "time, from the start of a process"]
    assert (cold.ratio, cold.met) == (pytest.approx(1 / 80), None)
    assert by_case["warm", "a sector"].value == pytest.approx(0.025)


def test_a_warm_network_is_loaded_once(monkeypatch):
    loads = []

    def load():
        loads.append(1)
        return FreeSpace().load()

    monkeypatch.setattr(learned, "NETWORKS", {"cascade": load})
    job = MapJob("cascade", draw("helsinki", 1)[0], "warm", TracingProcess())
    runs = [job.learn() for _ in range(2)]
    assert loads == [1]
    assert all(run.sectors == len(job.window.sectors) and run.seconds > 0 for run in runs)


def test_a_new_process_tells_what_its_map_took_or_lacks(monkeypatch, capsys):
    monkeypatch.setattr(learned, "NETWORKS", {"cascade": lambda: FreeSpace().load()})
    assert learned._main("cascade") == 0
    assert "window_s" in capsys.readouterr().out

    def missing():
        raise MissingError("no weights")

    monkeypatch.setattr(learned, "NETWORKS", {"cascade": missing})
    assert learned._main("cascade") == 4
    assert capsys.readouterr().err == "no weights\n"


def test_what_a_new_process_says_last_is_told():
    with pytest.raises(InputError, match=r"no-such: a new process could not make a map \(Key"):
        learned._cold_s("no-such")
