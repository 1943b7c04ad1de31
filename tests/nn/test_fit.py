"""Training: it goes on where it stopped, it stops when it should, it says what is wrong."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from rfplatform.errors import InputError
from rfplatform.nn.backend import EventLog, backend_facts, seed_everything
from rfplatform.nn.fit import (
    BEST,
    CHECKPOINT,
    HISTORY,
    Baseline,
    FitConfig,
    Stage,
    WarmCosine,
    fit,
    set_weights,
    weights,
)
from rfplatform.nn.losses import censored_nll
from rfplatform.registry.models import Model, load_model, save_model
from rfplatform.registry.registry import Registry

SIZE, COUNT, BATCH = 8, 12, 4
RNG = np.random.default_rng(1)
X = RNG.normal(size=(COUNT, SIZE, SIZE, 3)).astype(np.float32)
Y = np.zeros((COUNT, SIZE, SIZE, 4), dtype=np.float32)
Y[..., 0], Y[..., 1] = 0.5 * X[..., 0] - X[..., 2], 1.0


class KilledError(Exception):
    """Instead of a kill -9, which leaves as little time."""


def batches(epoch):
    order = np.random.default_rng([7, epoch]).permutation(COUNT)
    for first in range(0, COUNT, BATCH):
        chosen = order[first : first + BATCH]
        yield X[chosen], Y[chosen]


def network(widths=(4,)):
    """Small; with dropout and batch normalization, whose states have to go on, too."""
    given = x = layers.Input((SIZE, SIZE, 3))
    for i, width in enumerate(widths):
        x = layers.Conv2D(width, 3, padding="same", activation="silu", name=f"look{i}")(x)
        x = layers.BatchNormalization(name=f"norm{i}")(x)
    x = layers.Dropout(0.1, seed=3)(x)
    return keras.Model(given, layers.Conv2D(2, 1, name="out")(x))


def stage(score=None, seed=1, **options):
    seed_everything(seed)
    model = network(options.pop("widths", (4,)))

    def measured(model):
        return {"val_loss": float(censored_nll(Y, model(X, training=False)))}

    return Stage(
        "unet",
        model,
        censored_nll,
        batches,
        COUNT // BATCH,
        score or measured,
        watched="val_loss",
        **{"learning_rate": 1e-2, **options},
    )


def scripted(*values):
    """A score that takes these values, whatever the model has learned."""
    given = iter(values)
    return lambda _: {"val_loss": next(given)}


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing stopped: its stage, what it gave, its folder."""
    folder = tmp_path_factory.mktemp("whole")
    trained = stage()
    return trained, fit(trained, FitConfig(4), folder), folder


def test_it_learns(tmp_path):
    history = fit(stage(), FitConfig(15), tmp_path).history
    assert history[-1]["val_loss"] < history[0]["val_loss"] - 0.15


def test_it_keeps_the_best_weights(whole):
    trained, fitted, folder = whole
    losses = [row["val_loss"] for row in fitted.history]
    assert fitted.best_epoch == int(np.argmin(losses))
    assert fitted.stopped_by == "epochs"
    assert trained.score(trained.model)["val_loss"] == pytest.approx(min(losses), rel=1e-5)
    assert {p.name for p in folder.iterdir()} == {CHECKPOINT, BEST, HISTORY}
    assert all(row.keys() == {"epoch", "loss", "val_loss", "seconds"} for row in fitted.history)


@pytest.mark.parametrize("when", [(0, 2), (2, 1)])
def test_after_a_kill_it_ends_with_the_very_same_weights(whole, tmp_path, when):
    def kill(now):
        if (now.epoch, now.step) == when:
            raise KilledError

    with pytest.raises(KilledError):
        fit(stage(), FitConfig(4), tmp_path, kill)
    resumed = stage(seed=99)  # nothing of a new start may matter
    fitted = fit(resumed, FitConfig(4), tmp_path) if when[0] else None
    if fitted is None:  # before the first checkpoint it begins anew, by the seed
        resumed = stage()
        fitted = fit(resumed, FitConfig(4), tmp_path)
    trained, other, _ = whole
    assert same(weights(resumed.model), weights(trained.model))
    assert [row["loss"] for row in fitted.history] == [row["loss"] for row in other.history]


def test_a_kill_between_checkpoint_and_best_loses_nothing(whole, tmp_path, monkeypatch):
    from rfplatform.nn import fit as module

    saved = module._save

    def killed(path, arrays):
        if path.name == BEST and (tmp_path / BEST).exists():
            raise KilledError
        saved(path, arrays)

    monkeypatch.setattr(module, "_save", killed)
    with pytest.raises(KilledError):
        fit(stage(), FitConfig(4), tmp_path)
    monkeypatch.setattr(module, "_save", saved)
    resumed = stage()
    fit(resumed, FitConfig(4), tmp_path)
    assert same(weights(resumed.model), weights(whole[0].model))


def test_ctrl_c_keeps_whole_epochs_and_gives_the_best(whole, tmp_path):
    def interrupt(now):
        if now.epoch == 2:
            raise KeyboardInterrupt

    fitted = fit(stage(), FitConfig(4), tmp_path, interrupt)
    assert (fitted.stopped_by, len(fitted.history)) == ("interrupted", 2)
    resumed = stage()
    assert fit(resumed, FitConfig(4), tmp_path).stopped_by == "epochs"
    assert same(weights(resumed.model), weights(whole[0].model))


def test_what_is_done_is_not_done_again(whole):
    again = stage(seed=5)
    told = []
    fitted = fit(again, FitConfig(4), whole[2], told.append)
    assert not told
    assert fitted.history == whole[1].history
    assert same(weights(again.model), weights(whole[0].model))


def test_the_seed_decides(tmp_path, whole):
    other = stage(seed=2)
    fit(other, FitConfig(4), tmp_path)
    assert not same(weights(other.model), weights(whole[0].model))


def test_it_ends_when_nothing_gets_better(tmp_path):
    told = []
    fitted = fit(
        stage(scripted(3.0, 2.0, 2.5, 2.0, 1.0)),
        FitConfig(9, patience=2),
        tmp_path,
        after_epoch=lambda history: told.append(len(history)),
    )
    assert (fitted.stopped_by, fitted.best_epoch) == ("patience", 1)
    assert len(fitted.history) == 4
    assert told == [1, 2, 3, 4]
    again = fit(stage(scripted()), FitConfig(9, patience=2), tmp_path)
    assert (again.stopped_by, len(again.history)) == ("patience", 4)


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    kept = {}

    def score(model):
        kept[len(kept)] = weights(model)
        return {"val_loss": [2.0, 1.0, 3.0][len(kept) - 1]}

    trained = stage(score)
    fit(trained, FitConfig(3), tmp_path)
    assert same(weights(trained.model), kept[1])
    assert not same(kept[1], kept[2])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FitConfig(0), "epochs 0: must be 1 or more"),
        (lambda: FitConfig(1, patience=0), "patience 0: must be 1 or more"),
        (lambda: FitConfig(1, weight_decay=-1.0), "weight_decay -1: must be 0 or more"),
        (lambda: FitConfig(1, clip_norm=0.0), "clip_norm 0: must be more than 0"),
        (lambda: stage(learning_rate=0.0), "learning_rate 0: must be more than 0"),
        (lambda: stage(learning_rate=float("nan")), "learning_rate nan: must be"),
        (lambda: stage(epochs_share=-1.0), "epochs_share -1: must be more than 0"),
        (lambda: replace(stage(), steps_per_epoch=0), "not a single batch"),
    ],
)
def test_impossible_options_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_another_training_in_the_folder_is_refused(whole):
    folder = whole[2]
    with pytest.raises(InputError, match="of a training with other options"):
        fit(stage(), FitConfig(5), folder)
    with pytest.raises(InputError, match=r"of another network .*give another folder"):
        fit(stage(widths=(6,)), FitConfig(4), folder)
    with pytest.raises(InputError, match="of another network"):
        fit(stage(widths=(4, 4)), FitConfig(4), folder)


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04 cut off", b"\x93NUMPY"])
def test_a_damaged_checkpoint_is_told(tmp_path, body):
    (tmp_path / CHECKPOINT).write_bytes(body)
    with pytest.raises(InputError, match=r"is damaged, or no checkpoint .*remove it"):
        fit(stage(), FitConfig(1), tmp_path)


def test_numbers_that_are_none_end_it(tmp_path):
    broken = replace(stage(), batches=lambda _: iter([(X[:BATCH] * np.float32(np.nan), Y[:BATCH])]))
    with pytest.raises(InputError, match=r"unet: the loss is nan in epoch 1: lower the learning"):
        fit(broken, FitConfig(2), tmp_path)
    with pytest.raises(InputError, match="unet: the val_loss is nan in epoch 1"):
        fit(stage(scripted(float("nan"))), FitConfig(2), tmp_path / "other")
    assert not (tmp_path / "other" / CHECKPOINT).exists()


def test_the_learning_rate_rises_and_falls():
    rate = WarmCosine(0.5, 100)
    rates = np.array([float(rate(step)) for step in range(101)])
    assert rates[0] == 0.0
    assert rates.argmax() == 5
    assert rates.max() == pytest.approx(0.5, rel=0.01)
    assert rates[-1] == pytest.approx(0.005, rel=1e-3)
    assert WarmCosine(**rate.get_config())(50) == rate(50)


def test_weights_survive_the_registry_in_float16(whole, tmp_path):
    """Into a new network, whose outputs are as near as float16 weights are."""
    trained = whole[0].model
    registry = Registry(tmp_path)
    named = {f"unet/{name}": array for name, array in weights(trained).items()}
    save_model(registry, "models/x@1", Model("x", {}, named))
    back = load_model(registry, "models/x@1")
    other = stage(seed=4).model
    set_weights(other, {name.removeprefix("unet/"): a for name, a in back.weights.items()})
    before, after = (np.array(model(X, training=False)) for model in (trained, other))
    assert np.abs(before - after).max() < 5e-3 * np.abs(before).max()
    halves = {name: array.astype(np.float16) for name, array in weights(trained).items()}
    assert same(weights(other), {n: a.astype(np.float32) for n, a in halves.items()})


def test_weights_of_another_network_are_refused():
    model = stage().model
    given = weights(model)
    name = next(iter(given))
    with pytest.raises(InputError, match="weights are of another network"):
        set_weights(model, {k: v for k, v in given.items() if k != name})
    with pytest.raises(InputError, match=r"have shape \(1,\), expected"):
        set_weights(model, {**given, name: np.zeros(1, np.float32)})
    assert not any("seed_generator" in name for name in given)


def test_what_it_runs_on_is_told():
    facts = backend_facts()
    assert facts["backend"] == keras.backend.backend()
    assert facts["devices"]
    assert all(isinstance(device, str) for device in facts["devices"])


def test_event_files_hold_every_number_of_every_epoch(tmp_path, whole):
    tf = pytest.importorskip("tensorflow")
    history = whole[1].history
    for _ in range(2):  # a second run writes the history anew
        log = EventLog(tmp_path / "events")
        log.write(history[:1])
        log.write(history)
        log.close()
    (path,) = (tmp_path / "events").iterdir()
    found = {
        (value.tag, event.step): float(tf.make_ndarray(value.tensor))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert len(found) == 3 * len(history)
    for epoch, row in enumerate(history):
        for name in ("loss", "val_loss", "seconds"):
            assert found[name, epoch + 1] == pytest.approx(row[name], rel=1e-6)


def test_baselines_are_pairs():
    assert Baseline("closed form", 12.0) == ("closed form", 12.0)
