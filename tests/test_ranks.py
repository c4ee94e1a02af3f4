"""Two processes query what one queries."""

from pathlib import Path

import pytest

from tests.commands import DDP, ROOT, fit, results

CPU = ("--trainer.accelerator=cpu", "--poison.init_args.batch_size=8")
UNFROZEN = (f"--config={ROOT}/configs/model/nn2.yaml", "--model.init_args.unfreeze_at=3")


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), UNFROZEN], ids=["frozen", "dropout and unfreezing"])
def test_two_ranks_give_the_run_of_one(options: tuple[str, ...], tmp_path: Path) -> None:
    one = fit(tmp_path / "one", *CPU, *options)
    assert one.returncode == 0, one.stderr
    launched = () if options else (*DDP, "--trainer.devices=2")  # then Lightning starts the other rank
    two = fit(tmp_path / "two", *CPU, *options, *launched, ranks=2 if options else 1)
    assert two.returncode == 0, two.stderr
    alone, shared = results(tmp_path / "one"), results(tmp_path / "two")
    assert alone["ledger"] == shared["ledger"]
    assert alone["rounds"] == shared["rounds"]
    assert alone["poisons"] == shared["poisons"]
    assert alone["pictures"] == shared["pictures"]
