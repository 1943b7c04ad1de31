"""Scores against sums by hand, a bootstrap in a loop, and the error of a mean of clusters."""

import time

import numpy as np
import pytest

from rfplatform.errors import InputError
from rfplatform.oran.questions import Question
from rfplatform.oran.scores import gain, score

NAMES = {"easy": "E", "medium": "M", "hard": "H"}


def made(sizes, group_of=lambda n: n, text="Which?"):
    rows = []
    for difficulty, count in sizes.items():
        for n in range(count):
            name = f"{NAMES[difficulty]}{n:04d}"
            group = f"{NAMES[difficulty]}{group_of(n)}"
            rows.append(Question(name, difficulty, text, ("a", "b"), 0, group))
    return rows


SIZES = {"easy": 40, "medium": 200, "hard": 100}


def credits_of(questions, rates, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([float(rng.random() < rates[q.difficulty]) for q in questions])


RATES = {"easy": 0.9, "medium": 0.6, "hard": 0.4}


def test_accuracies_are_sums_by_hand():
    questions = made(SIZES)
    credit = credits_of(questions, RATES)
    part = score(questions, credit).all_rows
    easy, medium, hard = credit[:40].mean(), credit[40:240].mean(), credit[240:].mean()
    values = {name: found.value for name, found in part.by_difficulty.items()}
    assert values == pytest.approx({"easy": easy, "medium": medium, "hard": hard})
    assert part.macro.value == pytest.approx((easy + medium + hard) / 3)
    assert part.weighted.value == pytest.approx(credit.mean())
    assert part.rows == part.weighted.count == 340
    assert part.by_difficulty["hard"].count == 100


def test_a_draw_is_weighted_as_all_questions_are():
    questions = made(SIZES)
    credit = np.full(340, np.nan)
    credit[[0, 1, 50, 51, 300, 301]] = (1, 1, 1, 0, 0, 0)
    part = score(questions, credit).all_rows
    assert part.weighted.value == pytest.approx((40 * 1 + 200 * 0.5 + 0) / 340)
    assert part.macro.value == pytest.approx(0.5)
    assert (part.rows, part.macro.count) == (340, 6)
    only = np.full(340, np.nan)
    only[50:54] = (1, 1, 1, 0)
    part = score(questions, only).all_rows
    assert list(part.by_difficulty) == ["medium"]
    assert part.macro.value == part.weighted.value == 0.75


def test_unusable_rows_count_apart():
    rows = made({"easy": 4, "medium": 2})
    rows[0] = Question("E0000", "easy", "", ("a", "b"), 0, "none")
    rows[4] = Question("M0000", "medium", "Which?", (), 0, "M0")
    found = score(rows, [1, 1, 0, 0, 0, 1])
    assert found.all_rows.rows == 6
    assert found.usable.rows == 4
    assert found.all_rows.weighted.value == pytest.approx(3 / 6)
    assert found.usable.weighted.value == pytest.approx(2 / 4)
    assert found.usable.macro.value == pytest.approx((1 / 3 + 1) / 2)


def test_kinds_of_question_count_apart():
    texts = ("Which is NOT so?", "Which?", "What does the provided text say?")
    rows = [Question(f"E{n}", "easy", t, ("a", "b"), 0, str(n)) for n, t in enumerate(texts)]
    rows.append(Question("E3", "easy", "Which is NOT in the text?", (), 0, "3"))  # unusable
    found = score(rows, [1, 0, 0.5, 1])
    assert (found.negated.value, found.negated.count) == (1.0, 1)
    assert (found.plain.value, found.plain.count) == (0.25, 2)
    assert (found.with_context.value, found.with_context.count) == (0.5, 1)
    assert (found.without_context.value, found.without_context.count) == (0.5, 2)
    none = score(rows[1:2], [1.0])
    assert np.isnan(none.negated.value)
    assert none.negated.count == 0
    assert none.to_dict()["negated"]["value"] is None
    assert none.to_dict()["all_rows"]["by_difficulty"]["easy"]["value"] == 1.0


def test_what_could_not_be_read_is_wrong():
    questions = made({"easy": 4})
    found = score(questions, [1, 1, np.nan, 0], [True, False, True, False])
    assert found.unparsed == pytest.approx(1 / 3)
    assert found.all_rows.weighted.value == pytest.approx(1 / 3)


def test_repeats_are_averaged_and_their_spread_told():
    questions = made(SIZES)
    runs = np.stack([credits_of(questions, RATES, seed) for seed in range(4)])
    found = score(questions, runs)
    assert found.repeats == 4
    assert found.all_rows.weighted.value == pytest.approx(runs.mean())
    assert found.spread == pytest.approx(np.std(runs.mean(axis=1), ddof=1))
    assert np.isnan(score(questions, runs[0]).spread)
    runs[1, 7] = np.nan  # asked three times
    mean = np.nanmean(runs, axis=0)
    assert score(questions, runs).all_rows.weighted.value == pytest.approx(mean.mean())


def test_intervals_are_those_of_a_loop():
    questions = made(SIZES, group_of=lambda n: n // 3)
    credit = credits_of(questions, RATES)
    part = score(questions, credit, resamples=4000, seed=1).all_rows
    rng = np.random.default_rng(2)
    groups = {}
    for n, q in enumerate(questions):
        groups.setdefault(q.group, []).append(n)
    names = list(groups)
    sizes = np.array([40, 200, 100])
    macro, weighted = [], []
    for _ in range(4000):
        rows = [n for i in rng.integers(len(names), size=len(names)) for n in groups[names[i]]]
        each = []
        for difficulty in SIZES:
            own = [credit[n] for n in rows if questions[n].difficulty == difficulty]
            each.append(np.mean(own))
        macro.append(np.mean(each))
        weighted.append(np.average(each, weights=sizes))
    for found, drawn in ((part.macro, macro), (part.weighted, weighted)):
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert found.low == pytest.approx(low, abs=0.006)
        assert found.high == pytest.approx(high, abs=0.006)


@pytest.mark.parametrize("times", [1, 4])
def test_intervals_are_those_of_a_mean_of_clusters(times):
    """The linearised variance of a ratio of cluster sums, W. G. Cochran, Sampling Techniques."""
    count = 3000
    questions = made({"medium": count}, group_of=lambda n: n // times)
    rng = np.random.default_rng(5)
    credit = np.repeat((rng.random(count // times) < 0.7).astype(float), times)
    found = score(questions, credit).all_rows.weighted
    sums = credit.reshape(-1, times).sum(axis=1)
    residual = sums - found.value * times
    error = np.sqrt((residual**2).sum()) / count
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.06)
    assert (found.high + found.low) / 2 == pytest.approx(found.value, abs=0.1 * error)
    # A question that occurs four times tells no more than once.
    independent = np.sqrt(found.value * (1 - found.value) / count)
    assert error == pytest.approx(np.sqrt(times) * independent, rel=0.01)


def test_intervals_hold_the_truth_as_often_as_they_say():
    questions = made({"easy": 60, "hard": 60}, group_of=lambda n: n // 2)
    rng = np.random.default_rng(8)
    held = 0
    for trial in range(200):
        credit = (np.repeat(rng.random(60), 2) < 0.6).astype(float)
        found = score(questions, credit, resamples=400, seed=trial).all_rows.macro
        held += found.low <= 0.6 <= found.high
    assert 0.89 <= held / 200 <= 0.99


def test_a_seed_gives_the_same_interval():
    questions = made(SIZES)
    credit = credits_of(questions, RATES)
    assert score(questions, credit, seed=3).usable == score(questions, credit, seed=3).usable
    assert score(questions, credit, seed=3).usable != score(questions, credit, seed=4).usable


def test_a_gain_is_paired():
    questions = made(SIZES)
    plain = credits_of(questions, RATES)
    better = plain.copy()
    better[np.flatnonzero(plain == 0)[::4]] = 1.0
    part = gain(questions, better, plain)
    assert part.weighted.value == pytest.approx(better.mean() - plain.mean())
    width = part.weighted.high - part.weighted.low
    apart = score(questions, plain).all_rows.weighted
    assert width < 0.8 * (apart.high - apart.low)
    assert part.weighted.low > 0
    error = np.std(better - plain, ddof=1) / np.sqrt(340)
    assert width / (2 * 1.96) == pytest.approx(error, rel=0.1)
    back = gain(questions, plain, better)
    assert back.macro.value == pytest.approx(-part.macro.value)


def test_a_gain_is_over_what_both_were_asked():
    questions = made({"easy": 4, "hard": 2})
    nan = np.nan
    part = gain(questions, [1, 1, nan, 0, nan, nan], [0, nan, 1, 0, 1, nan])
    assert list(part.by_difficulty) == ["easy"]
    assert (part.weighted.value, part.weighted.count, part.rows) == (0.5, 2, 6)
    repeated = gain(questions, [[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], [0, 0, 0, 0, 0, 0])
    assert repeated.weighted.value == 0.5
    with pytest.raises(InputError, match="no question in common"):
        gain(questions, [1, nan, nan, nan, nan, nan], [nan, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("credit", "unparsed", "told"),
    [
        ([1, 0], None, "for 3 questions"),
        ([[[1, 0, 1]]], None, "for 3 questions"),
        ([np.nan] * 3, None, "no question was asked"),
        ([1, 0, 2], None, "from 0 to 1"),
        ([1, 0, -0.5], None, "from 0 to 1"),
        ([1, 0, 1], [True], "unparsed has shape"),
    ],
)
def test_what_is_no_credit_is_refused(credit, unparsed, told):
    with pytest.raises(InputError, match=told):
        score(made({"easy": 3}), credit, unparsed)


def test_all_questions_are_resampled_in_time():
    questions = made(
        {"easy": 1139, "medium": 9570, "hard": 3243}, group_of=lambda n: max(n - 150, 0)
    )
    credit = credits_of(questions, RATES)
    began = time.process_time()
    score(questions, credit)
    assert time.process_time() - began < 6.0
