"""Recipes as a user writes them and as results are described by them: options, TOML files, descriptions, words.

A description always has the optimiser, the learning rate and the batch size, and under `recipe` what else differs from
the default.
"""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from supermask.analysis.store.identity import Description
from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.files import read_text
from supermask.analysis.system.words import number
from supermask.augmentation import Augmentation
from supermask.datasets import Dataset
from supermask.normalisation import normalisation_of
from supermask.recipe import Recipe

SETTINGS = tuple(field.name for field in fields(Recipe))
"""Names of a recipe's settings; with hyphens, they are the keys of its file and the names of its options."""

NOT_AUGMENTED = "none"
"""Word for training images as they are."""

_ALONE = ("optimiser", "learning_rate", "batch_size")
"""Settings that every description has."""


def described(recipe: Recipe, data: Dataset) -> Description:
    """Return the part of a description that the default recipe does not add.

    Images that are normalised have the constants in it, so that whoever reads the result's networks knows them.
    """
    own = {name: value for name, value in recipe.changed().items() if name not in _ALONE}
    if "cuts" in own:
        own["cuts"] = list(recipe.cuts)
    if recipe.augment is not None:
        own["augment"] = dict(vars(recipe.augment))
    if recipe.normalise:
        mean, deviation = _pixels(data)
        own["normalise"] = {"mean": list(mean), "deviation": list(deviation)}
    return {"recipe": own} if own else {}


@lru_cache(maxsize=4)
def _pixels(data: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return normalisation_of(data.train.images, data.maximum)


def recipe_from(description: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a result is described by.

    Raises ValueError, KeyError or TypeError for a description that is of no recipe.
    """
    own = dict(description.get("recipe", {}))
    if "cuts" in own:
        own["cuts"] = tuple(own["cuts"])
    if "augment" in own:
        own["augment"] = Augmentation(**own["augment"])
    if "normalise" in own:
        own["normalise"] = {"mean", "deviation"} == set(own["normalise"])
    return Recipe(**own | {name: description[name] for name in _ALONE})


def words_of(part: Mapping[str, Any]) -> str:
    """Return a description's part `recipe` as text: 'schedule=cosine weight-decay=0.0001 normalise'."""
    return " ".join(f"{_key(name)}={_word(value)}" if name != "normalise" else name for name, value in part.items())


def setting_words(value: Any) -> str:
    """Return a setting's value as text, as options have it."""
    return _word(vars(value) if isinstance(value, Augmentation) else value)


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        own = ((_key(name), each) for name, each in value.items() if each)
        return ",".join(name if each is True else f"{name}={_word(each)}" for name, each in own)
    if isinstance(value, list | tuple):
        return ",".join(map(_word, value))
    if value is None:
        return NOT_AUGMENTED
    return number(value) if isinstance(value, float) else str(value).lower()


def parse_augment(text: str) -> Augmentation | None:
    """Parse the value of --augment, such as 'pad=4,flip,cut-out=8'; what is not named is not done. 'none': nothing.

    Raises UsageError for any other text.
    """
    if text == NOT_AUGMENTED:
        return None
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        name = choose("augment", name, ("pad", "flip", "cut-out"))
        if name in found:
            raise UsageError(f"augment has {name} twice; allowed: once")
        if name == "flip":
            fits = not value and "=" not in part
        else:
            fits = value.isascii() and value.isdigit() and int(value) > 0
        if not fits:
            example = "flip" if name == "flip" else f"{name}=4"
            raise UsageError(f"augment has {part.strip()!r}; it should read like {example}")
        found[name] = True if name == "flip" else int(value)
    return Augmentation(found.get("pad", 0), flip=found.get("flip", False), cut_out=found.get("cut-out", 0))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file. Keys that are not there have their defaults.

    Raises UsageError, with file, key, value and what is allowed, for a file that is no recipe.
    """
    where = f"recipe file {path}: "
    try:
        content = tomllib.loads(read_text(path, 1 << 20, "recipe file"))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"recipe file {path} is not TOML: {error}") from None
    own: dict[str, Any] = {}
    for key, value in content.items():
        own[_field(choose(f"{where}key", key, map(_key, SETTINGS)))] = value
    if isinstance(own.get("cuts"), list):
        own["cuts"] = tuple(own["cuts"])
    if (augment := own.get("augment")) is not None:
        if not isinstance(augment, dict):
            raise UsageError(f"{where}augment is {augment!r}; allowed: a table with pad, flip and cut-out")
        for key in augment:
            choose(f"{where}key of augment", key, ("pad", "flip", "cut-out"))
        named = {"pad": 0, "flip": False} | {_field(key): value for key, value in augment.items()}
        with _refusing(f"{where}augment: "):
            own["augment"] = Augmentation(**named)
    with _refusing(where):
        return Recipe(**own)


def changed(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with other settings. Raises UsageError, in the spelling of options, for impossible ones."""
    with _refusing(""):
        return replace(recipe, **settings)


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Turn a ValueError into a UsageError that says where, and spells settings as options do."""
    try:
        yield
    except ValueError as error:
        words = str(error)
        for name in (*SETTINGS, "cut_out"):
            words = words.replace(name, _key(name))
        raise UsageError(where + words) from None


def _key(setting: str) -> str:
    return setting.replace("_", "-")


def _field(key: str) -> str:
    return key.replace("-", "_")
