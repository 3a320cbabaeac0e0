"""Texts: windows and what comes after them, none across a border; a network that learns a grammar; refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED, OK
from supermask.augmentation import Augmentation
from supermask.datasets import DataError, from_arrays, from_text, load
from supermask.datasets.texts import WINDOW
from supermask.figures.catalogue import CATALOGUE
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import for_classes, kernels_of, logits, parameter_count, shapes_of
from supermask.population import place
from supermask.recipe import Recipe
from supermask.training import Job, Trainer, TrainingConfig
from supermask.zoo.recurrent import CharLSTM


def sentences(count: int, seed: int = 0) -> str:
    """A text of a small grammar: one of two nouns, then its own verb, which one has to remember the noun for."""
    random = np.random.default_rng(seed)
    verbs = {"cat": "purrs", "dog": "barks"}
    nouns = random.choice(list(verbs), count)
    return "".join(f"the {random.choice(['old', 'red'])} {noun} {verbs[noun]}. " for noun in nouns)


def read(data, split) -> list[str]:
    """Each window with what comes after it, as text."""
    names = [" " if name == "U+0020" else name for name in data.class_names]
    windows = split.images[:, :, 0, 0]
    return ["".join(names[code] for code in [*own, label]) for own, label in zip(windows, split.labels, strict=True)]


@given(st.text(alphabet="ab c\u00e9\U0001f600", min_size=330, max_size=700))
def test_every_position_is_one_example_of_its_split(text) -> None:
    held = len(text) // 10
    parts = text[: len(text) - 2 * held], text[len(text) - 2 * held : len(text) - held], text[len(text) - held :]
    try:
        data = from_text(text)
    except ValueError as error:
        assert "each of its values is" in str(error)  # noqa: PT017 - a part of one character alone
        return
    assert data.image_shape == (WINDOW, 1, 1)
    assert data.classes == len(set(text)) == len(data.class_names)
    for split, part in zip((data.train, data.validation, data.test), parts, strict=True):
        assert read(data, split) == [part[at : at + WINDOW + 1] for at in range(len(part) - WINDOW)]


def test_a_file_gives_what_its_text_does(tmp_path):
    text = sentences(40)
    path = tmp_path / "pets.txt"
    path.write_text(text, encoding="utf-8")
    data = load(str(path))
    assert data.digest == from_text(text).digest
    assert data.name == f"pets-{data.digest[:8]}"
    assert data.source.startswith(f"a text of {len(text)} characters, {path}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"too short", "text has 9 characters; allowed: 330 to 4194304"),
        ("".join(map(chr, range(1000, 1400))).encode(), "text has 400 different characters; allowed: up to 256"),
        (b"\xff" * 400, "expected a text in UTF-8; found none that can be read"),
        (b"a" * 400, "each of its values is"),
        (b"a" * ((1 << 22) + 1), "expected a text in UTF-8 of up to 4194304 bytes; found more"),
    ],
)
def test_what_is_no_text_is_refused_by_name(content, words, tmp_path):
    path = tmp_path / "own.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as refused:
        load(str(path))
    assert str(path) in str(refused.value)


@pytest.fixture(scope="module")
def pets():
    return from_text(sentences(150), "pets")


@pytest.mark.slow
def test_it_learns_which_verb_goes_with_which_noun(pets):
    """It has to remember a noun for four characters."""
    network = for_classes(CharLSTM(hidden=(24,)), pets.classes)
    assert parameter_count(network, pets.image_shape) == 4 * 24 * (pets.classes + 24 + 1) + 25 * pets.classes
    trainer = Trainer(network, pets, TrainingConfig(200, 2e-2, 40, 200), place(5000, networks=1))
    params = initial_of(network, 0, pets.image_shape)
    (trained,) = trainer.train([Job(params, full_masks(kernels_of(params)), 0)])
    assert trained.validation_loss[-1] < 0.25 < 2.5 < trained.validation_loss[0]
    texts = read(pets, pets.test)
    chosen = [index for index, text in enumerate(texts) if text[-5:-1] in ("cat ", "dog ")]
    outputs = logits(network, trained.params, jnp.asarray(pets.test.images[chosen], jnp.float32) / 255)
    verbs = [pets.class_names[code] for code in np.argmax(outputs, axis=1)]
    assert verbs == [texts[index][-1] for index in chosen]
    assert set(verbs) == {"p", "b"}


def test_codes_are_read_as_they_are(pets):
    """The network of a one-hot vector for each symbol, computed by hand from its input kernel's rows."""
    network = for_classes(CharLSTM(hidden=(5,)), pets.classes)
    params = initial_of(network, 0, (1, 1, 1))
    found = logits(network, params, jnp.full((1, 1, 1, 1), 3 / 255))
    i, _, g, o = np.split(np.asarray(params["lstm1/input"]["kernel"])[3], 4)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    state = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
    np.testing.assert_allclose(found[0], state @ np.asarray(params["output"]["kernel"]), atol=1e-6)


def test_what_changes_characters_or_has_none_is_refused_in_the_library(pets, digits):
    network, config, placement = CharLSTM(hidden=(4,)), TrainingConfig(5, 1e-2), place(1000, networks=1)
    with pytest.raises(ValueError, match="images are of 8×8×1; allowed: sequences of codes"):
        Trainer(network, digits, config, placement)
    own = for_classes(network, pets.classes)
    with pytest.raises(ValueError, match="network CharLSTM reads codes; allowed: recipes without normalise"):
        Trainer(own, pets, config, placement, recipe=Recipe(normalise=True))
    params = initial_of(own, 0, pets.image_shape)
    changed = Trainer(own, pets, config, placement, recipe=Recipe(augment=Augmentation(1, flip=False)))
    with pytest.raises(ValueError, match=r"recipe.augment is .* reads codes; allowed: None"):
        changed.train([Job(params, full_masks(kernels_of(params)), 0)])
    numbers = np.arange(90, dtype=np.uint8).reshape(30, 3, 1)
    other = from_arrays((numbers, np.arange(30) % 2), (numbers, np.arange(30) % 2))
    with pytest.raises(ValueError, match=r"images of uint8 up to 89; allowed .* bytes below 2"):
        Trainer(for_classes(network, 2), other, config, placement)
    assert shapes_of(own, pets.image_shape)["lstm1/input"]["kernel"].shape == (pets.classes, 16)


def test_the_command_takes_a_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.txt").write_text(sentences(60), encoding="utf-8")
    np.savez("images.npz", x_train=np.eye(9, dtype=np.uint8)[None].repeat(9, 0), y_train=np.arange(9) % 2,
             x_test=np.eye(9, dtype=np.uint8)[None].repeat(9, 0), y_test=np.arange(9) % 2)  # fmt: skip
    text = ["--network", "char-lstm", "--dataset", "pets.txt"]
    for arguments, words in (
        (["--network", "char-lstm"], "dataset is text, and network char-lstm reads text; allowed: --dataset FILE.txt"),
        (["--network", "char-lstm", "--dataset", "images.npz"], "images of 9×9×1, and network char-lstm reads text"),
        ([*text, "--augment", "pad=1"], "augment is given, and network char-lstm reads text"),
        (["--network", "conv2", "--dataset", "pets.txt"], "images of 32×1×1, too small for conv2"),
    ):
        assert run_command(["figures", "dsd", *arguments], CATALOGUE) == MISUSED
        assert words in capsys.readouterr().err
    assert run_command(["figures", "dsd", "lottery-tickets", *text], CATALOGUE) == OK
    assert "for char-lstm on pets-" in capsys.readouterr().out


@pytest.mark.thorough
def test_dense_sparse_dense_of_a_text_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.txt").write_text(sentences(60), encoding="utf-8")
    command = ["reproduce", "dsd", "--network", "char-lstm", "--dataset", "pets.txt", "--seeds", "2"]
    assert run_command([*command, "--sparse-epochs", "2", "--show", "dense throughout", "50% pruned"], CATALOGUE) == OK
    assert list((tmp_path / "results" / "figures").glob("dsd-char-lstm-pets-*.csv"))
