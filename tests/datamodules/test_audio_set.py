"""AudioSet: which segments are asked for, how their clips are found, and what is wrong with tables and folders."""

from pathlib import Path
from typing import Any

import pytest
import soundfile

from aal.datamodules import AudioSet, audio_set
from aal.errors import UserError
from tests.datamodules.sounds import LABELS, TINY, names, noise, ontology, segments
from tests.datamodules.sounds import audio_set as written

DOG, CAT, BIRD, SPEECH, HOWL = list(LABELS)[:5]


def loaded(arguments: dict[str, Any], **more: Any) -> AudioSet:
    module = AudioSet(**{**arguments, **more})
    module.setup("fit")
    return module


def refusal(arguments: dict[str, Any], **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        loaded(arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def few(folder: Path, extra: list[tuple[str, float, tuple[str, ...]]]) -> dict[str, Any]:
    """Write ten clips each of Dog and Cat, and segments ``extra`` without clips; tables lie in ``folder`` itself."""
    rows = [(f"{mid[-2:]}-{k:08d}", 30.0, (mid,)) for k in range(10) for mid in (DOG, CAT)]
    for seed, (video, _, _) in enumerate(rows):
        noise(folder / "deep" / "er" / f"{video}.flac", seed)
    segments(folder / "balanced_train_segments.csv", [*rows, *extra])
    ontology(folder / "ontology.json")
    return {"root": str(folder), "labels": ["Dog", "Cat"], **TINY}


def clips(module: AudioSet) -> dict[bytes, int]:
    """Return the label of every clip of all splits."""
    return {
        clip.numpy().tobytes(): label
        for split, samples in module.samples.items()
        for clip, label in zip(samples.stored, module.labels[split].tolist(), strict=True)
    }


def test_clips_have_the_label_of_their_segment(tmp_path: Path) -> None:
    module = loaded(written(tmp_path), test="published")
    assert module.num_classes == 3
    assert {split: len(samples) for split, samples in module.samples.items()} == {"pool": 54, "craft": 6, "test": 15}
    found = clips(module)
    files = list((tmp_path / "audioset" / "clips").rglob("*.wav"))
    assert len(files) == len(found) == 75
    endings = [mid[-2:] for mid in (DOG, CAT, BIRD)]
    for path in files:
        own = soundfile.read(path, dtype="int16")[0].tobytes()
        assert path.name[7:9] == endings[found[own]]


def test_segments_with_several_labels_or_without_a_clip_are_left_out(tmp_path: Path) -> None:
    extra = [
        ("ambiguous--", 30.0, (DOG, SPEECH, CAT)),
        ("missing-cat", 2.5, (CAT,)),
        ("missing-dog", 0.0, (SPEECH, DOG)),
        ("unasked----", 10.0, (SPEECH,)),
    ]
    arguments = few(tmp_path, extra)
    noise(tmp_path / "ambiguous--.wav", 100)
    noise(tmp_path / "unasked----.wav", 101)
    module = loaded(arguments)
    assert len(clips(module)) == 20
    assert module.skipped == {
        "ambiguous--_30.000_40.000": "labelled Dog and Cat",
        "missing-cat_2.500_12.500": f"no such clip below {tmp_path}",
        "missing-dog_0.000_10.000": f"no such clip below {tmp_path}",
    }
    line = refusal(arguments, strict=True)
    assert "2 of the 22 clips" in line
    assert "missing-cat_2.500_12.500, missing-dog_0.000_10.000" in line
    noise(tmp_path / "missing-cat.wav", 102)
    noise(tmp_path / "missing-dog.wav", 103)
    assert len(clips(loaded(arguments, strict=True))) == 22, "several labels are no error"


@pytest.mark.parametrize(
    "name",
    [
        *("Yabc_12345X.wav", "Yabc_12345X_30.FLAC", "Yabc_12345X_30000.ogg", "Yabc_12345X_30.0.wav"),
        *("Yabc_12345X_30.000.wav", "Yabc_12345X_30.000_40.000.wav", "Yabc_12345X_30_40.wav"),
        *("Yabc_12345X_30000_40000.flac", "YYabc_12345X_30.000_40.000.wav", "YYabc_12345X.wav"),
    ],
)
def test_names_that_downloaders_give(tmp_path: Path, name: str) -> None:
    arguments = few(tmp_path, [("Yabc_12345X", 30.0, (DOG,))])
    assert list(loaded(arguments).skipped) == ["Yabc_12345X_30.000_40.000"]
    noise(tmp_path / "any" / "folder" / name, 100)
    module = loaded(arguments, strict=True)
    assert not module.skipped
    assert len(clips(module)) == 21


def test_names_of_other_segments_are_not_taken(tmp_path: Path) -> None:
    arguments = few(tmp_path, [("abc-_12345X", 30.0, (DOG,))])
    for name in ("abc-_12345X_40.000.wav", "abc-_12345X_30.000_50.000.wav", "ABC-_12345X.wav", "abc-_12345X.aiff"):
        noise(tmp_path / name, 100)
    assert list(loaded(arguments).skipped) == ["abc-_12345X_30.000_40.000"]


def test_clips_may_lie_elsewhere(tmp_path: Path) -> None:
    arguments = few(tmp_path / "a", [])
    before = loaded(arguments)
    (tmp_path / "a" / "deep").rename(tmp_path / "b")
    assert loaded(arguments, clips=str(tmp_path / "b")).fingerprint == before.fingerprint
    assert f"there is no folder {tmp_path / 'c'}" in refusal(arguments, clips=str(tmp_path / "c"))
    line = refusal(arguments)
    assert "20 of the 20 clips of balanced_train_segments.csv are not below" in line
    assert "cannot be fetched" in line


def test_clips_in_linked_folders_are_found(tmp_path: Path) -> None:
    arguments = few(tmp_path / "data", [])
    (tmp_path / "data" / "deep" / "er").rename(tmp_path / "clips")
    (tmp_path / "data" / "deep" / "linked").symlink_to(tmp_path / "clips")
    module = loaded(arguments, strict=True)
    assert sum(map(len, module.samples.values())) == 20


def test_a_label_stands_for_those_within_it(tmp_path: Path) -> None:
    arguments = few(tmp_path, [("howling----", 30.0, (HOWL,)), ("speaking---", 30.0, (SPEECH,))])
    noise(tmp_path / "howling----.wav", 100)
    noise(tmp_path / "speaking---.wav", 101)
    assert sorted(clips(loaded(arguments)).values()) == [0] * 11 + [1] * 10
    line = refusal(arguments, labels=["Animal", "Howl"])
    assert line == "labels: Howl is or lies within Animal; leave one of them out"
    assert "Dog is or lies within" in refusal(arguments, labels=["Dog", DOG])
    (tmp_path / "ontology.json").unlink()
    names(tmp_path / "class_labels_indices.csv")
    assert sorted(clips(loaded(arguments)).values()) == [0] * 10 + [1] * 10, "without the tree, itself alone"


def test_labels_that_cannot_be(tmp_path: Path) -> None:
    arguments = few(tmp_path, [])
    assert refusal(arguments, labels=["Dgo", "Cat"]).endswith("ontology.json has no label 'Dgo'; did you mean Dog?")
    assert refusal(arguments, labels=["Zebra!!", "Cat"]).endswith("has no label 'Zebra!!'")
    assert refusal(arguments, labels=["Cat", "Cat"]) == "labels: names Cat twice"
    assert "at least 2 classes, got 1" in refusal(arguments, labels=["Cat"])
    assert "has no sample of Bird in balanced_train_segments.csv" in refusal(arguments, labels=["Dog", "Bird"])


def test_tables_that_were_cut_or_changed_are_named(tmp_path: Path) -> None:
    arguments = few(tmp_path, [])
    table = tmp_path / "balanced_train_segments.csv"
    whole = table.read_text()
    lines = whole.splitlines(keepends=True)
    for changed, reason in {
        "".join(lines[:-1]): "19 segments with 19 labels, where its header says 20 with 20",
        whole[: whole.rindex(",")]: "line 23 is no segment",
        whole.replace(DOG, f"{DOG},{SPEECH}", 1): "20 segments with 21 labels",
        "".join(lines[3:]): "no line with num_segs",
        whole.replace("40.000", "20.000", 1): "line 4 is no segment",
        whole.replace("30.000", "now", 1): "line 4 is no segment",
    }.items():
        table.write_text(changed)
        line = refusal(arguments)
        assert line.startswith(f"{table}: {reason}")
        assert "truncated or altered" in line
    table.write_bytes(b"\xff\xfe" + whole.encode())
    assert "no table" in refusal(arguments)
    table.write_text(whole)
    for changed in ("[", "{}", '[{"id": 1}]', "[1]"):
        (tmp_path / "ontology.json").write_text(changed)
        assert str(tmp_path / "ontology.json") in refusal(arguments)
    (tmp_path / "ontology.json").unlink()
    names(tmp_path / "class_labels_indices.csv")
    short = (tmp_path / "class_labels_indices.csv").read_text().splitlines()
    (tmp_path / "class_labels_indices.csv").write_text("\n".join(short[:3]))
    segments(table, [("speaking---", 30.0, (SPEECH,))])
    assert f"lacks the label {SPEECH}" in refusal(arguments)


def test_download_fetches_tables_but_no_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = written(tmp_path / "served")
    served = (tmp_path / "served" / "audioset").as_uri() + "/"
    monkeypatch.setattr(audio_set, "TABLES_SOURCE", served)
    monkeypatch.setattr(audio_set, "ONTOLOGY_SOURCE", served)
    new = {**arguments, "root": str(tmp_path / "new"), "download": True, "test": "published"}
    AudioSet(**new).prepare_data()
    assert {path.name for path in (tmp_path / "new" / "audioset").iterdir()} == {
        *("balanced_train_segments.csv", "eval_segments.csv", "ontology.json")
    }
    assert "put <YTID>.wav there" in refusal(new)
    there = loaded(new, clips=str(tmp_path / "served"))
    assert there.fingerprint == loaded(arguments, test="published").fingerprint
