"""What each repository's program prints as the accuracy of its distilled images, and how it is read."""

import re

import pytest

from goldore.errors import UsageError
from goldore.repositories import REPOSITORIES
from goldore.repositories.metric import check_pattern, read_accuracy

NO_METRIC = {
    "ncfm": "condense_script.py only saves the images; evaluation/evaluation_script.py trains on them",
    "sre2l": "squeeze prints the accuracy of the teacher; validate/train_FKD.py trains on the images",
    "d4m": "gen_prototype.py only saves prototypes; validate/train_FKD.py trains on the images",
    "g-vbsm": "squeeze prints the accuracy of teachers, recover none of a student; train/train_FKD.py does",
    "cv-dd": "squeeze prints the accuracy of teachers, recover none of a student; validate/train_fkd.py does",
    "delt": "its commands only make the images; evaluation/main.py trains on them",
    "wmdd": "pretrain prints the accuracy of the teacher, recover none of a student; train/train_FKD.py does",
}

RULE = "-------------------------"
FINAL = "\n==================== Final Results ====================\n"


def final(network, count, accuracy, experiments=5):
    """The last line of main.py of DC and of those who took it over."""
    return (
        f"Run {experiments} experiments, train on {network}, evaluate {count} random {network}, "
        f"mean  = {accuracy}%  std = 0.54%"
    )


def evaluated(network, count, accuracy):
    """What a program of DC's or MTT's kind prints after each evaluation."""
    return f"Evaluate {count} random {network}, mean = {accuracy} std = 0.0031\n{RULE}"


def idc(condensed, benchmark):
    """One evaluation of IDC: the network it condenses with, then a ResNet."""
    start = "Start training with DSA and cut mixup\nBest accuracy (top-1 and 5): 49.9 93.0\n"
    return (
        f"=> creating model convnet-3, norm: instance\n{start}Repeat 1 => Best, last acc: {condensed}\n\n"
        f"=> creating model resnet-10, norm: batch\n{start}Repeat 1 => Best, last acc: {benchmark}\n"
    )


EXAMPLES = {  # the accuracy in percent, and the output in whose lines it is
    "dc": (44.87, evaluated("ConvNet", 20, "0.4419"), FINAL, final("ConvNet", 100, "44.87")),
    "dsa": (52.13, evaluated("ConvNet", 20, "0.5230"), FINAL, final("ConvNet", 100, "52.13")),
    "dm": (48.93, evaluated("ConvNet", 20, "0.4838"), FINAL, final("ConvNet", 100, "48.93")),
    "cafe": (
        46.31,
        "2026-11-26 12:00:00: " + evaluated("ConvNet", 20, "0.4702"),
        f"2026-11-26 12:00:00: {FINAL}",
        "2026-11-26 12:00:00: " + final("ConvNet", 20, "46.31", 1),
    ),
    "idm": (58.60, evaluated("ConvNet", 5, "0.5871"), FINAL, final("ConvNet", 25, "58.60")),
    "datadam": (
        54.21,
        evaluated("ConvNet", 10, "0.5421"),
        FINAL,
        final("ConvNet", 10, "54.21", 1),
        "\n==================== Maximum Results ====================\n",
        final("ConvNet", 10, "55.02", 1),
        "\n==================== Top 5 Results ====================\n",
        final("ConvNet", 10, "55.90", 1),
    ),
    "mtt": (62.5, evaluated("ConvNet", 5, "0.6391"), evaluated("ConvNet", 5, "0.6250")),
    "haba": (68.95, evaluated("ConvNet", 5, "0.7001"), evaluated("ConvNet", 5, "0.6895")),
    "tesla": (66.4, evaluated("ConvNet", 5, "0.6650"), evaluated("ConvNet", 5, "0.6640")),
    "datm": (66.83, evaluated("ConvNet", 5, "0.6702"), evaluated("ConvNet", 5, "0.6683")),
    "edf": (71.2, evaluated("ConvNetD5", 5, "0.7310"), evaluated("ConvNetD5", 5, "0.7120")),
    "ftd": (
        65.88,
        evaluated("ConvNet", 5, "0.6588"),
        f"Evaluate ema 5 random ConvNet, ema_mean = 0.6660 ema_std = 0.0030\n{RULE}",
    ),
    "linba": (
        66.4,
        f"FSL Evaluate 10 random ConvNet, mean = 0.6652 std = 0.0031\n{RULE[:12]}",
        f"FSL Evaluate 10 random ConvNet, mean = 0.6640 std = 0.0031\n{RULE[:12]}",
    ),
    "selmatch": (
        82.68,
        evaluated("ResNet18BN", 3, "0.8268"),
        FINAL,
        "Iteration: 9000, test acc: 0.8291 (0.0011)",
        "Iteration: 10000, test acc: 0.8268 (0.0009416297927880543)",
    ),
    "frepo": (
        65.432106,
        "INFO:absl:[490000] eval/step_acc_mean=65.712341",
        "INFO:absl:{'/nn_accuracy_mean': 0.6541, '/nn_loss_mean': 0.031, '/nn_top5accuracy_mean': 0.97}",
        "INFO:absl:[500000] eval/step_acc_mean=65.432106",
        "INFO:absl:[500000] eval/step_std=0.214563",
    ),
    "rfad": (
        66.31,
        "Running KRR results",
        "KRR results on valid set: NNGP: 0.7012, NTK: 0.6934\n",
        "KRR results on test set: NNGP: 0.6631, NTK: 0.6587\n",
    ),
    "idc": (67.2, idc("49.9 49.5", "44.0 43.8"), idc("67.5 67.2", "63.5 63.1")),
    "dream": (69.4, idc("55.0 54.1", "50.2 49.8"), idc("69.6 69.4", "66.0 65.7")),
    "rded": (
        42.1,
        "TRAIN Iter 299: loss = 0.812345,\tTop-1 err = 31.200000,\tTop-5 err = 9.10,\ttrain_time = 2.10",
        "TEST:\nIter 299: loss = 2.712345,\tTop-1 err = 58.200000,\tTop-5 err = 31.00,\tval_time = 9.50",
        "Train Finish! Best accuracy is 42.1@289",
    ),
    "ccfs": (
        92.53,
        "teacher acc@1 on original training data: 99.94%",
        "Evaluation 5/5",
        "Epoch[499] Test Acc: 92.48% Best Acc: 92.61%: 100%|#####| 500/500 [1:02:03<00:00,  7.45s/it]",
        "Best Accuracy 92.61%",
        "Training time 1:02:03",
        "----Evaluation Results----",
        "Acc@1(mean): 92.53%, std: 0.12",
        "Saving results...",
    ),
}

OTHER_LINES = """\
class c = 0: 2500 real images
real images channel 0, mean = 0.0000, std = 1.0000
Itr: 99\tEpoch: 49\tTrain Acc: 0.9912\tTest Acc: 0.8231
InitialAcc:0.913
[12:00:00] Evaluate_04: epoch = 300 train time = 12 s train loss = 0.012 train acc = 0.9990, test acc = 0.4790
Training Acc: Net 0: 35.10%  Testing Acc: Net 0: 33.20%\x20
Saving best synset with accuracy: 0.6912
[2026-11-26 12:00:00] iter = 5000, loss = 0.3021
(Test ) [Epoch 999/1000] [2026-11-26 12:00:00] Top1 50.3  Top5 93.1  Loss 1.512
Best accuracy (top-1 and 5): 51.0 93.2
iter: 40, valid loss: 0.4213, valid acc: 0.6123, elapsed time: 1.0s
Acc on training set: 91.20%
"""


def read(name, text):
    repository = REPOSITORIES[name]
    return read_accuracy(text, repository.metric, percent=repository.metric_percent)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_metric_is_the_final_accuracy(name):
    expected, *lines = EXAMPLES[name]
    text = "\n".join(lines) + "\n"
    assert read(name, text) == pytest.approx(expected)
    assert read(name, OTHER_LINES + text + OTHER_LINES) == pytest.approx(expected)
    assert read(name, OTHER_LINES) is None


@pytest.mark.parametrize("name", REPOSITORIES)
def test_every_repository_has_a_metric_or_a_reason(name):
    metric = REPOSITORIES[name].metric
    assert (name in EXAMPLES, name in NO_METRIC) == (bool(metric), not metric)
    check_pattern(metric)
    assert re.compile(metric).groups == bool(metric)


def test_idc_on_mnist_evaluates_one_network():
    line = "=> creating model convnet-3, norm: instance\nRepeat 1 => Best, last acc: 98.5 98.4\n"
    assert read("idc", line) == pytest.approx(98.4)


@pytest.mark.parametrize(
    ("text", "pattern", "percent", "expected"),
    [
        ("acc 10\nacc 30\nacc 20\n", r"^acc (\d+)$", True, 20),
        ("acc 0.1\nacc 0.25", r"acc (\S+)", False, 25),
        ("10 then 20", r"\d+", True, 20),  # the whole match
        ("a 1 b 2", r"(\d) b (\d)", True, 1),
        ("acc 1e1", r"acc (\S+)", True, 10),
        ("acc 10\nacc nan", r"acc (\S+)", True, None),  # not the one before it
        ("acc inf", r"acc (\S+)", False, None),
        ("acc high", r"acc (\S+)", True, None),
        ("acc", r"acc( \d+)?", True, None),
        ("loss 1", r"acc (\S+)", True, None),
        ("", "", True, None),
        ("10", "", True, None),
    ],
)
def test_the_last_match_counts(text, pattern, percent, expected):
    assert read_accuracy(text, pattern, percent=percent) == expected


@pytest.mark.parametrize("pattern", ["acc (", "[", "*", "a{99999999999999999999}"])
def test_a_pattern_that_does_not_compile(pattern):
    with pytest.raises(UsageError, match=r"^`metric` is no regular expression \(.+\); mend it\.$"):
        check_pattern(pattern)
