"""Training without a Trainer: what a run's first round is, to the bit."""

import csv
import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from aal.datamodules import Digits, ToyMixture
from aal.errors import RunStopped, UserError
from aal.models import ChoosingClassifier, ConvClassifier, InstanceClassifier, TransferClassifier
from aal.models.fitting import agreement, predict, train
from aal.networks import MLP, DenseHead, DigitBackbone, NearestNeighbours
from tests.commands import aal

DATA = {"dimensions": 3, "mu": 0.4, "n": 62, "mislabelled": 1, "test": 50, "batch_size": 16}


def module() -> ConvClassifier:
    return ConvClassifier(lambda shape, classes: MLP(shape, classes, (8,), dropout=0.2), 2, (3,), 0.01)


def test_it_is_the_first_round_of_a_run_to_the_bit(tmp_path: Path) -> None:
    network = {"class_path": "MLP", "init_args": {"widths": [8], "dropout": 0.2}}
    model = {"class_path": "ConvClassifier", "init_args": {"network": network, "learning_rate": 0.01}}
    query = {"strategy": {"class_path": "Random"}, "initial": 50, "budget": 1, "max_epochs": 30, "patience": 3}
    config = {"data": {"class_path": "ToyMixture", "init_args": DATA}, "model": model, "seed_everything": 3}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config | {"query": {"class_path": "QueryRounds", "init_args": query}}))
    done = aal("fit", "--config", path, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run" / "rounds.jsonl").read_text().splitlines()[0])
    rows = csv.DictReader((tmp_path / "run" / "ledger.csv").read_text().splitlines())
    labelled = torch.tensor(sorted(int(row["index"]) for row in rows if row["round"] == "0"))
    data = ToyMixture(seed=3, **DATA)
    data.setup("fit")
    x, labels = data.samples["pool"][labelled], data.labels["pool"][labelled]

    fitted, before = module(), torch.random.get_rng_state()
    epochs = train(fitted, x, labels, seed=3, batch_size=16, max_epochs=30, patience=3)

    assert torch.equal(before, torch.random.get_rng_state())
    logits = predict(fitted, data.samples["test"][torch.arange(50)], 256)
    loss = float(F.cross_entropy(logits, data.labels["test"]))
    assert 3 < epochs == record["epochs"] < 30, "it converged"
    assert (fitted.train_loss, loss) == (record["train_loss"], record["loss"])


def test_what_was_learnt_before_is_forgotten() -> None:
    x, labels = torch.randn(40, 3), torch.arange(40) % 2
    one, other = module(), module()
    train(other, -x, labels, seed=5, max_epochs=3)
    for each in (one, other):
        train(each, x, labels, seed=7, max_epochs=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_classifier_that_takes_its_training_set_in_is_done_after_an_epoch() -> None:
    nearest = InstanceClassifier(lambda shape, classes: NearestNeighbours(shape, classes), 2, (3,))
    x, labels = torch.randn(40, 3, generator=torch.Generator().manual_seed(2)), torch.arange(40) % 2
    assert train(nearest, x, labels, seed=0, batch_size=16) == 1
    assert torch.equal(predict(nearest, x, 7).argmax(1), labels)
    assert len(nearest.network.points) == 40


def test_a_frozen_backbone_stays_as_it_was_under_the_head_that_is_trained() -> None:
    data = Digits(seed=0)
    data.setup("fit")
    x, labels = data.samples["test"][torch.arange(100)], data.labels["test"][:100]
    module = TransferClassifier(DigitBackbone(), DenseHead(), 10, (1, 8, 8), learning_rate=0.01)
    before = {name: value.clone() for name, value in module.backbone.state_dict().items()}
    train(module, x, labels, seed=0, max_epochs=20)
    assert agreement(predict(module, x, 64), labels) > 0.9
    assert all(torch.equal(value, before[name]) for name, value in module.backbone.state_dict().items())


def test_one_that_asks_for_a_trainer_is_refused() -> None:
    choosing = ChoosingClassifier(lambda shape, classes, k=1: NearestNeighbours(shape, classes, k), {"k": [1]}, 2, (3,))
    with pytest.raises(UserError, match="ChoosingClassifier asks for a Trainer in its training step"):
        train(choosing, torch.randn(8, 3), torch.arange(8) % 2, seed=0)


def test_a_loss_that_is_not_finite_stops() -> None:
    broken = module()
    broken.learning_rate = 1e30
    with pytest.raises(RunStopped, match="epoch 1: the training loss is"):
        train(broken, torch.randn(8, 3), torch.arange(8) % 2, seed=0)
