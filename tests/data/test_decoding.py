"""Many files are decoded at once, and what is no sample is left out with its reason."""

from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from aal.data.audio import read_clip
from aal.data.decoding import read_each

RATE = 16_000
NOISE = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype(np.int16)


def test_many_files_keep_their_order_without_those_that_are_none(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.wav" for k in range(50)]
    for k, path in enumerate(paths):
        if k % 7:
            soundfile.write(path, NOISE[: 100 + k], RATE)
        else:
            path.write_bytes(b"RIFF")
    done: list[int] = []
    decode = partial(read_clip, sample_rate=RATE, length=5000)
    pcm, reasons = read_each(paths, decode, (5000,), np.int16, done.append)
    assert sum(done) == 50
    assert list(reasons) == [0, 7, 14, 21, 28, 35, 42, 49]
    lengths = [100 + k for k in range(50) if k % 7]
    assert pcm.dtype == torch.int16
    assert pcm.shape == (42, 5000)
    for clip, length in zip(pcm, lengths, strict=True):
        assert torch.equal(clip[:length], torch.from_numpy(NOISE[:length]))
        assert not clip[length:].any()
