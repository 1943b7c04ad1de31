"""Learning curves: what is drawn, and what is not."""

from matplotlib.figure import Figure
from matplotlib.image import imread

from rfplatform.formats.learning_curves import _scores, score_label, write_learning_curves

HISTORY = [
    {
        "epoch": float(i), "loss": 1.0 / (i + 1), "val_loss": 1.2 / (i + 1), "seconds": 3.0,
        "val_rmse_db": 9.0 - i, "kriged_rmse_db": 7.5,
    }
    for i in range(5)
]  # fmt: skip
BASELINES = {"val_rmse_db": ("kriging alone", 7.5)}


def test_names_are_for_people():
    assert score_label("val_rmse_with_coarse_db") == "RMSE with coarse"
    assert score_label("moved_50_rmse_db") == "moved 50 RMSE"


def test_scores_in_db_are_drawn_with_their_baselines():
    axes = Figure().add_subplot()
    _scores(axes, list(range(1, 6)), HISTORY, BASELINES)
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["RMSE", "kriging alone 7.50"]
    score, baseline = axes.lines
    assert list(score.get_ydata()) == [9.0, 8.0, 7.0, 6.0, 5.0]
    assert (baseline.get_linestyle(), set(baseline.get_ydata())) == ("--", {7.5})
    assert score.get_color() == baseline.get_color()


def test_the_same_history_gives_the_same_picture(tmp_path):
    for name in ("a.png", "b.png"):
        write_learning_curves(HISTORY, tmp_path / name, title="cascade", baselines=BASELINES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    write_learning_curves(
        HISTORY[:1], tmp_path / "a.png", title="one epoch", best_epoch=0, overwrite=True
    )
    assert imread(tmp_path / "a.png").shape[1] > 1000
