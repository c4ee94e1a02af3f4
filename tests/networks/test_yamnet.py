"""YAMNet: its patches, gradients and weight files, and what it hears in real sounds; layers: test_convert_yamnet.py."""

import csv
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from aal.errors import UserError
from aal.models.classifier import reset_parameters
from aal.networks import YAMNet
from tests.real_data import data

FOLDED = "pretrained/yamnet_folded_fp16.safetensors"


@pytest.fixture(scope="module")
def yamnet() -> YAMNet:
    torch.manual_seed(0)
    return YAMNet("none").double().eval()


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def test_it_has_the_layers_of_the_published_network() -> None:
    parameters = dict(YAMNet("none").named_parameters())
    assert len(parameters) == 56
    assert sum(parameter.numel() for parameter in parameters.values()) == 3_729_481
    assert parameters["layer1/conv/kernel"].shape == (32, 1, 3, 3)
    assert parameters["layer13/depthwise/kernel"].shape == (512, 1, 3, 3)
    assert parameters["layer13/pointwise/kernel"].shape == (1024, 512, 1, 1)
    assert parameters["logits/bias"].shape == (521,)


@pytest.mark.parametrize(
    ("samples", "patches"), [(1, 1), (8000, 1), (15_600, 1), (15_601, 2), (16_000, 2), (23_280, 2), (23_281, 3)]
)
def test_a_clip_is_padded_to_patches_and_they_are_averaged(yamnet: YAMNet, samples: int, patches: int) -> None:
    x = noise(1, samples)
    padded = torch.zeros(1, 50_000, dtype=torch.float64)
    padded[:, :samples] = x
    parts = torch.cat([padded[:, 7680 * k : 7680 * k + 15_600] for k in range(patches)])
    torch.testing.assert_close(yamnet(x), yamnet(parts).mean(0, keepdim=True))
    torch.testing.assert_close(yamnet.scores(x), yamnet.scores(parts).mean(0, keepdim=True))


def test_a_clip_has_the_same_embedding_alone_as_in_a_batch(yamnet: YAMNet) -> None:
    x = noise(5, 16_000) * torch.tensor([[1.0], [0.5], [1e-2], [1e-4], [0.0]])
    together = yamnet(x)
    assert together.shape == (5, yamnet.feature_size)
    assert (together > 0).any(1).all()
    torch.testing.assert_close(torch.cat([yamnet(clip[None]) for clip in x]), together, rtol=1e-9, atol=1e-12)
    assert torch.equal(yamnet.train()(x), yamnet.eval()(x))
    assert yamnet(x[:0]).shape == (0, 1024)


def test_the_gradient_is_that_of_finite_differences(yamnet: YAMNet) -> None:
    x, weights = 0.3 * noise(1, 15_600), noise(1024)
    direction = noise(1, 15_600).sign()
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(yamnet(leaf) @ weights, leaf)
    step = 1e-8  # so small that no unit crosses a kink
    with torch.no_grad():
        difference = (yamnet(x + step * direction) - yamnet(x - step * direction)) @ weights / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(difference.item(), rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 2**-15])
def test_silence_and_constants_have_a_finite_gradient(yamnet: YAMNet, value: float) -> None:
    x = torch.full((1, 15_700), value, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(yamnet(x).sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (torch.zeros(2, 3, 32, 32), r"torch\.float32 of shape \(2, 3, 32, 32\)"),
        (torch.zeros(2, 1, 16_000), r"shape \(2, 1, 16000\)"),
        (torch.zeros(16_000), r"shape \(16000,\)"),
        (torch.zeros(2, 16_000, dtype=torch.int16), r"torch\.int16"),
    ],
)
def test_what_is_no_waveform_is_refused(yamnet: YAMNet, x: Tensor, what: str) -> None:
    for call in (yamnet, yamnet.scores):
        with pytest.raises(UserError, match=rf"YAMNet takes waveforms \(B, T\) of floats, not .*{what}"):
            call(x)


def saved(path: Path, metadata: dict[str, str] | None = None, **changes: Tensor | None) -> str:
    """Save the weights of some network in half precision; ``None`` leaves a tensor out."""
    weights = {name: weight.half() for name, weight in YAMNet("none").state_dict().items()}
    weights = {name: weight for name, weight in {**weights, **changes}.items() if weight is not None}
    safetensors.torch.save_file(weights, path, metadata)
    return str(path)


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    path = saved(tmp_path / "half.safetensors")
    for name, weight in YAMNet(path).state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight.half(), safetensors.torch.load_file(path)[name])


def test_a_file_of_other_weights_is_refused(tmp_path: Path) -> None:
    for changes, what in (
        ({"logits/bias": None}, r"missing \['logits/bias'\], unexpected \[\]"),
        ({"layer15/conv/bias": torch.zeros(3)}, r"missing \[\], unexpected \['layer15/conv/bias'\]"),
        ({"logits/bias": torch.zeros(5)}, r"logits/bias has shape \(5,\), YAMNet needs \(521,\)"),
        ({"logits/bias": torch.full((521,), torch.nan)}, "logits/bias holds values that are not finite"),
    ):
        with pytest.raises(UserError, match=rf"other\.safetensors: .*{what}"):
            YAMNet(saved(tmp_path / "other.safetensors", **changes))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"absent\.safetensors: no such file"):
        YAMNet(str(tmp_path / "absent.safetensors"))


@pytest.mark.parametrize("weights", ["published", "somewhere/yamnet.h5"])
def test_weights_that_need_converting_are_refused_with_the_way_to_do_it(weights: str) -> None:
    with pytest.raises(UserError, match=r"^weights: .*audioset/yamnet\.h5.*scripts/convert_yamnet\.py"):
        YAMNet(weights)


def test_the_activation_is_what_the_file_says(tmp_path: Path) -> None:
    silent = saved(tmp_path / "silent.safetensors")
    says_relu = saved(tmp_path / "relu.safetensors", {"activation": "relu"})
    assert YAMNet(silent).activation == YAMNet("none").activation == "relu6"
    assert YAMNet(silent, activation="relu").activation == YAMNet("none", activation="relu").activation == "relu"
    assert YAMNet(says_relu).activation == YAMNet(says_relu, activation="relu").activation == "relu"
    with pytest.raises(UserError, match=r"^activation: relu6, but the metadata of .*relu\.safetensors say relu"):
        YAMNet(says_relu, activation="relu6")
    with pytest.raises(UserError, match=r"unknown\.safetensors: .*activation 'gelu'"):
        YAMNet(saved(tmp_path / "unknown.safetensors", {"activation": "gelu"}))


def test_random_weights_are_those_of_the_generator() -> None:
    first, second = YAMNet("none"), YAMNet("none")
    assert not torch.equal(first.get_parameter("logits/kernel"), second.get_parameter("logits/kernel"))
    for network in (first, second):
        reset_parameters(network, torch.Generator().manual_seed(3))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])


def clips(a_word: int) -> tuple[Tensor, list[str], list[str]]:
    """Return real clips ``(10 * a_word, 16000)``, the word of each and its speaker."""
    paths = [
        path for word in sorted(data("speech_commands").iterdir()) for path in sorted(word.glob("*.flac"))[:a_word]
    ]
    x = torch.stack([torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in paths])
    return x, [path.parent.name for path in paths], [path.name.split("_")[0] for path in paths]


@pytest.mark.data
def test_it_hears_speech_in_real_clips_and_what_is_there_in_made_sounds() -> None:
    network = YAMNet(str(data(FOLDED)))
    with data("pretrained/yamnet_class_map.csv").open() as file:
        names = [row["display_name"] for row in csv.DictReader(file)]
    assert len(names) == 521
    x = clips(5)[0][:, :15_600]
    seconds = torch.arange(48_000) / 16_000
    made = torch.stack([torch.zeros(48_000), 0.5 * torch.sin(2 * torch.pi * 440 * seconds), noise(48_000).float()])
    with torch.no_grad():
        speech, sounds = network.scores(x), network.scores(made)
    assert [names[k] for k in speech.argmax(1)].count("Speech") >= 48
    assert [names[k] for k in sounds[:2].argmax(1)] == ["Silence", "Sine wave"]
    assert {"White noise", "Noise", "Static"} >= {names[k] for k in sounds[2].topk(2).indices}


@pytest.mark.data
def test_its_embeddings_are_worth_on_ten_words_what_they_were_measured_to_be() -> None:
    x, words, speakers = clips(100)
    network = YAMNet(str(data(FOLDED)))
    with torch.no_grad():
        features = torch.cat([network(part) for part in x[:, :15_600].split(50)]).numpy()
    assert (features > 0).any(0).sum() == pytest.approx(1024 - 370, abs=3)
    right = 0
    for train, test in GroupKFold(5).split(features, groups=speakers):
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.03))
        head.fit(features[train], np.array(words)[train])
        right += (head.predict(features[test]) == np.array(words)[test]).sum()
    assert right / len(words) == pytest.approx(0.375, abs=0.03)  # chance is 0.1
