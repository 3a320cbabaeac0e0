"""Criteria and actions from Python: another code is another identity, the same code the same one."""

import importlib
import re
import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import InitVar, dataclass, replace
from functools import cached_property, partial, singledispatch, wraps
from types import ModuleType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.code_digest import _imports_of, code_digest
from supermask.criteria import CRITERIA, Criterion, LayerFacts
from supermask.datasets import load
from supermask.members import RESERVED, MemberError
from supermask.named_members import BUILT_IN
from supermask.own_code import UndigestedError, own_modules_among
from supermask.plugins import criterion, kept_action, pruned_action
from supermask.restarts import Treatment, scores_of

pytestmark = pytest.mark.usefixtures("unchecked")

SCALE = 2.0
TABLE = np.array([1.0, 2.0])


def helper(w):
    return jnp.abs(w) * SCALE


def through_helper(w_final):
    return helper(w_final)


def table_of(w_final):
    return w_final * TABLE[0]


def doubled(w_final):
    return 2 * w_final


def tripled(w_final):
    return 3 * w_final


def power(w_final, exponent=2.0):
    return w_final**exponent


def factory(scale):
    def scaled(w_final, *, shift=0.0):
        return scale * w_final + shift

    return scaled


def spread(w_final):
    return jax.lax.map(lambda w: w * SCALE, w_final)


@dataclass(frozen=True)
class Scaled:
    scale: float

    def __call__(self, w_final):
        return self.scale * w_final


class Stateful:
    def __init__(self, scale):
        self.scale = scale

    def score(self, w_final):
        return self.scale * w_final


def decorated(function):
    @wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (doubled, tripled),
        (factory(2), factory(3)),
        (factory([2]), factory([3])),
        (factory({"a": 2}), factory({"a": 3})),
        (factory(np.array([1, 2])), factory(np.array([1, 3]))),
        (factory(jnp.float32(1)), factory(jnp.float32(2))),
        (factory(np.float32(1)), factory(np.float64(1))),
        (factory(doubled), factory(tripled)),
        (partial(power, exponent=1.0), partial(power, exponent=2.0)),
        (Scaled(1.0), Scaled(2.0)),
        (Stateful(1).score, Stateful(2).score),
        (decorated(doubled), decorated(tripled)),
        (jax.jit(doubled), jax.jit(tripled)),
        (lambda w_final: w_final + 1, lambda w_final: w_final + 2),
        (lambda w_final: jnp.abs(w_final), lambda w_final: jnp.sign(w_final)),
        (lambda w_final, a=1: w_final * a, lambda w_final, a=2: w_final * a),
        (lambda w_final, *, a=1: w_final * a, lambda w_final, *, a=2: w_final * a),
        (lambda w_final: (lambda w: w + 1)(w_final), lambda w_final: (lambda w: w + 2)(w_final)),
    ],
)
def test_other_code_has_another_digest_and_the_same_code_the_same(first, second):
    assert code_digest(first) == code_digest(first)
    assert code_digest(first) != code_digest(second)


def test_the_same_code_made_twice_has_one_digest():
    for make in (
        lambda: factory(2),
        lambda: partial(power, exponent=1.5),
        lambda: Scaled(2.0),
        lambda: Stateful(3).score,
        lambda: factory(np.array([1, 2])),
        lambda: factory({"b", "a", "c"}),
    ):
        assert code_digest(make()) == code_digest(make())


@pytest.mark.parametrize("function", [through_helper, table_of, spread])
def test_what_a_function_reads_counts(function, monkeypatch):
    before = code_digest(function)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    monkeypatch.setattr(sys.modules[__name__], "TABLE", np.array([1.0, 3.0]))
    assert code_digest(function) != before


def test_a_module_of_ones_own_counts_and_so_does_what_it_imports(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = set()
    for inner in ("A = 1", "A = 2"):
        (tmp_path / "inner_of_mine.py").write_text(inner)
        (tmp_path / "helpers_of_mine.py").write_text(
            "import inner_of_mine\n\ndef f(w):\n    return w * inner_of_mine.A\n"
        )
        for name in ("helpers_of_mine", "inner_of_mine"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        helpers = importlib.import_module("helpers_of_mine")

        def own(w_final, helpers=helpers):
            return helpers.f(w_final)

        digests.add(code_digest(own))
    assert len(digests) == 2


@pytest.mark.parametrize(
    "line",
    [
        "from helpers_within import f",
        "import helpers_within; f = helpers_within.f",
        "import package_within.inner; f = package_within.inner.f",
        "from package_within.inner import f",
        "from package_within import inner; f = inner.f",
    ],
)
def test_a_module_that_is_imported_as_the_function_runs_counts(line, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "package_within").mkdir()
    (tmp_path / "package_within" / "__init__.py").write_text("")
    text = f"def typed(w_final):\n    def inner(w):\n        {line}\n        return f(w)\n    return inner(w_final)\n"
    own = typed_in(text)
    digests = []
    for scale in (1, 2):
        for path in (tmp_path / "helpers_within.py", tmp_path / "package_within" / "inner.py"):
            path.write_text(f"def f(w):\n    return {scale} * w\n")
        importlib.invalidate_caches()
        digests += [code_digest(own), code_digest(own)]
    assert len(set(digests)) == 2
    assert not {"helpers_within", "package_within"} & set(sys.modules), "nothing is carried out"


def test_what_a_function_imports_that_is_installed_changes_no_digest():
    """A name alone: as before, so that results keep theirs."""
    plain = typed_in("def typed(w_final):\n    import numpy\n    return numpy.abs(w_final)")
    assert list(_imports_of(plain.__code__, "")) == ["numpy"]
    assert not own_modules_among(["numpy", "numpy.linalg", "json", "supermask", "no_such_module"])


def test_digests_are_the_same_in_another_process():
    """Strings hash differently in each process; sets of them must not."""
    code = (
        "from supermask.code_digest import code_digest\n"
        "words = {'a', 'b', 'c', 'd'}\n"
        "def f(w_final): return w_final if 'x' in {'p', 'q', 'r'} else words\n"
        "print(code_digest(f))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout) == 65


def test_what_cannot_be_told_apart_needs_a_version():
    lock = threading.Lock()

    def own(w_final):
        return w_final if lock else -w_final

    with pytest.raises(UndigestedError, match=r"lock is a _thread\.lock"):
        code_digest(own)
    with pytest.raises(MemberError, match=r"criterion own cannot be told from a changed one: lock is .*version="):
        criterion("|wf|")(own)
    assert criterion("|wf|", version="1")(own).source == "version 1"


def test_built_in_members_have_names_alone():
    for registry in (CRITERIA, KEPT_ACTIONS, PRUNED_ACTIONS):
        for name, member in registry.items():
            assert (member.name, member.source) == (name, "")
    taken = Criterion("mine", CRITERIA["movement"].function, "x")
    assert taken.source, "a built-in function under another name is told from what that name may be next"


def test_a_criterion_of_other_code_gives_other_results(digits):
    """What was stored for the first is not taken for the second's."""
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    names = []
    for function in (doubled, tripled, doubled):
        mine = criterion("x", name="mine")(function)
        runs = Treatment(mine), Untrained(mine)
        names.append(tuple(results_of(experiment, run, 0)[1].id for run in runs))
    assert names[0] == names[2]
    assert not set(names[0]) & set(names[1])
    described = results_of(experiment, Treatment(mine), 0)[0].description
    assert described["plugins"] == {"mine": mine.source}
    known = BUILT_IN.plus(
        kept_action(lambda w_initial: w_initial, name="as_it_was"),
        pruned_action(name="tiny")(lambda w_initial: w_initial * 0),
    )
    described = results_of(experiment, known.treatment("random", "as_it_was", "tiny"), 0)[0].description
    assert set(described["plugins"]) == {"as_it_was", "tiny"}
    assert "plugins" not in results_of(experiment, Treatment(), 0)[0].description


def test_a_member_that_changes_after_it_was_defined_is_refused(monkeypatch):
    own = criterion("x")(through_helper)
    weights = jnp.ones((2, 2))
    facts = LayerFacts(weights, weights, weights > 0)
    own(facts)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 5.0)
    with pytest.raises(MemberError, match="criterion through_helper has changed since it was defined"):
        own(facts)


def test_users_own_members_change_nothing_of_the_toolkits(digits):
    before = [dict(each) for each in (CRITERIA, KEPT_ACTIONS, PRUNED_ACTIONS)]
    known = BUILT_IN.plus(criterion("x", name="mine")(doubled), kept_action(doubled, name="half"))
    assert known.treatment("mine", "half").criterion == known.criterion["mine"]
    assert [member.name for member in known.own] == ["mine", "half"]
    assert [dict(each) for each in (CRITERIA, KEPT_ACTIONS, PRUNED_ACTIONS)] == before
    with pytest.raises(ValueError, match="criterion is 'mine'; allowed: large_final, "):
        BUILT_IN.treatment("mine")


@pytest.mark.parametrize(
    ("field", "value", "given"),
    [
        ("criterion", "movement", "'movement'"),
        ("criterion", doubled, "doubled"),
        ("criterion", KEPT_ACTIONS["rewind"], "rewind"),
        ("kept", PRUNED_ACTIONS["zero"], "zero"),
        ("pruned", None, "None"),
    ],
)
def test_a_treatment_takes_members_alone(field, value, given):
    with pytest.raises(ValueError, match=rf"{field} is {given}; allowed: a \w+ such as .* or what supermask\.plugins"):
        Treatment(**{field: value})


def test_what_has_a_name_of_the_toolkits_is_no_result(digits):
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    for treatment in (
        Treatment(criterion("x", name="random")(doubled)),
        Treatment(criterion("x", name="one")(doubled), kept_action(doubled, name="one")),
    ):
        with pytest.raises(MemberError, match=r"a name that is taken|is defined twice"):
            results_of(experiment, treatment, 0)


@pytest.mark.parametrize("name", ["power_1_-1", "iterative_snip_20", "shuffled_snip", "inverted_shuffled_power_1_-0.5"])
def test_names_that_a_text_with_parameters_makes_are_reserved(name):
    """Or `--criteria 'power(a=1, b=-1)'` would be a rule of the user's."""
    own = Criterion(name, lambda w_final: -abs(w_final), "x")
    with pytest.raises(MemberError, match=f"name is '{re.escape(name)}', a name that is taken"):
        BUILT_IN.plus(own)
    mine = Criterion("mine", lambda w_final: w_final, "x")
    with pytest.raises(MemberError, match="name is 'shuffled_mine'"):
        BUILT_IN.plus(mine, Criterion("shuffled_mine", lambda w_final: w_final, "x"))
    with pytest.raises(MemberError, match="name is 'shuffled_inverted_mine'"):
        BUILT_IN.plus(mine, Criterion("shuffled_inverted_mine", lambda w_final: w_final, "x"))
    BUILT_IN.plus(Criterion("power_law", lambda w_final: w_final, "x"))


@pytest.mark.parametrize("name", [*RESERVED, "Unpruned", "NaN", "", "two words", "a,b", "<lambda>", "1st"])
def test_reserved_words_and_what_is_no_word_are_refused(name):
    with pytest.raises(MemberError, match=r"name is "):
        Criterion(name, doubled, "x")


def test_names_that_are_taken_are_refused():
    for own in (
        criterion("x", name="movement")(doubled),
        criterion("x", name="rewind")(doubled),
        criterion("x", name="large_init_large_final_percentile")(doubled),
    ):
        with pytest.raises(MemberError, match="a name that is taken"):
            BUILT_IN.plus(own)
    with pytest.raises(MemberError, match="defined twice"):
        BUILT_IN.plus(criterion("x", name="twice")(doubled), criterion("x", name="twice")(tripled))
    known = BUILT_IN.plus(criterion("x", name="one")(doubled))
    assert known.plus(criterion("x", name="one")(doubled)) == known, "the same once more"
    with pytest.raises(MemberError, match="defined twice"):
        known.plus(kept_action(doubled, name="one"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: 1.0, "asks for no weights; allowed: one or more of w_initial"),
        (lambda **facts: 1.0, r"parameters \*\*facts are unknown"),
        (lambda w_final, a, b: w_final, "parameters a, b are unknown; .* others with a default"),
        (lambda w_final, /: w_final, "parameters w_final are unknown"),
        (3, "is a int; allowed: a function"),
    ],
)
def test_functions_that_cannot_be_criteria_are_refused_in_right_words(function, message):
    with pytest.raises(MemberError, match=message):
        criterion("x", name="own")(function)


def test_a_decorator_without_its_formula_says_so():
    with pytest.raises(MemberError, match=r'allowed: its formula first, @criterion\("\|wf\|"\)'):
        criterion(doubled)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda w_final: 1.0, r"returned values of shape \(\); the layer has \(3, 4\)"),
        (lambda w_final: w_final.sum(0), r"returned values of shape \(4,\); the layer has \(3, 4\)"),
        (lambda w_final: w_final.T, r"returned values of shape \(4, 3\); the layer has \(3, 4\)"),
        (lambda w_final: w_final + 1j, "returned complex64; allowed: numbers"),
    ],
)
def test_scores_of_another_shape_or_kind_are_refused(function, message):
    weights = jnp.ones((3, 4))
    with pytest.raises(MemberError, match=f"criterion own {message}"):
        criterion("x", name="own")(function)(LayerFacts(weights, weights, weights > 0))


@pytest.mark.parametrize("function", [lambda w_final: w_final > 0, lambda w_final: jnp.int32(w_final), np.abs])
def test_scores_of_other_numbers_become_float32(function):
    weights = jnp.arange(12.0).reshape(3, 4)
    own = criterion("x", name="own")(lambda w_final: function(w_final))
    scores = own(LayerFacts(weights, weights, weights > 0))
    assert scores.dtype == jnp.float32
    assert scores.shape == (3, 4)


def test_scores_that_are_not_numbers_are_refused_unless_the_weights_are_not():
    own = criterion("x", name="own")(lambda w_final: w_final * jnp.nan)
    kernels = {"hidden1": np.ones((3, 4), np.float32)}
    masks = {"hidden1": np.ones((3, 4), bool)}
    with pytest.raises(MemberError, match="criterion own scores NaN for 12 of 12 weights of hidden1"):
        scores_of(own, kernels, kernels, masks, None)
    diverged = {"hidden1": np.full((3, 4), np.nan, np.float32)}
    assert np.isnan(scores_of(own, kernels, diverged, masks, None)["hidden1"]).all()
    dead = criterion("x", name="own")(lambda w_final, alive: jnp.where(alive, w_final, jnp.nan))
    half = {"hidden1": np.arange(12).reshape(3, 4) < 6}
    scores_of(dead, kernels, kernels, half, None)


def test_a_member_can_be_replaced_with_its_identity():
    own = criterion("x", name="own")(doubled)
    assert replace(own, formula="y").source == own.source


def holding(value):
    """A criterion that reads the value."""
    return lambda w_final: w_final * value


def product(x, y):
    return x**2 * y


def dispatching(scale):
    @singledispatch
    def scaled(x):
        return x

    scaled.register(int, lambda x: scale * x)
    return scaled


class Kind(type):
    scale = 1


def class_with(**attributes):
    return type("Own", (), {"__module__": __name__, **attributes})


def with_attributes(value, **attributes):
    vars(value).update(attributes)
    return value


class OwnDict(dict):
    pass


class OwnFloat(float):
    pass


@dataclass
class SetLater:
    """With an attribute that is no field, and one that is computed once from others."""

    name: str
    rate: InitVar[float]

    def __post_init__(self, rate):
        self.scale = rate

    @cached_property
    def doubled(self):
        return 2 * self.scale


class WithSlot:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale


class SlotAndMore(WithSlot):
    """Has attributes beside its base class's slot."""


class OwnArray(np.ndarray):
    pass


def own_array(scale):
    array = np.zeros(2).view(OwnArray)
    array.scale = scale
    return array


def own_module(scale):
    module = ModuleType("scales_of_ones_own")
    module.__file__ = __file__
    vars(module)["scale"] = scale
    return lambda w_final: w_final * module.scale


def with_rules(scale, wrapper):
    """A function whose derivative is of one's own."""
    own = wrapper(lambda x: x * x)
    if wrapper is jax.custom_vjp:
        own.defvjp(lambda x: (x * x, x), lambda x, g: (g * scale * x,))
    else:
        own.defjvp(lambda primals, tangents: (primals[0] ** 2, scale * tangents[0]))
    return own


def with_a_rule_for_each(scale):
    own = jax.custom_jvp(lambda x: x * x)
    own.defjvps(lambda tangent, answer, x: scale * tangent)
    return own


def compiled(function):
    return partial(jax.jit, static_argnums=0)(lambda self, w_final: function(w_final))


def typed_in(text):
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102
    return names["typed"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jax.grad(product, argnums=0), jax.grad(product, argnums=1)),
        (jax.vmap(product, in_axes=0), jax.vmap(product, in_axes=1)),
        (dispatching(2), dispatching(3)),
        (class_with(scale=jnp.ones(2)), class_with(scale=jnp.zeros(2))),
        (class_with(allowed={1, 2}), class_with(allowed={1, 3})),
        (class_with(score=partial(power, exponent=1.0)), class_with(score=partial(power, exponent=2.0))),
        (class_with(score=cached_property(doubled)), class_with(score=cached_property(tripled))),
        (class_with(__call__=compiled(doubled)), class_with(__call__=compiled(tripled))),
        (class_with(__call__=partial(power, exponent=1.0)), class_with(__call__=partial(power, exponent=2.0))),
        (with_rules(1.0, jax.custom_vjp), with_rules(-1.0, jax.custom_vjp)),
        (with_rules(1.0, jax.custom_jvp), with_rules(-1.0, jax.custom_jvp)),
        (with_a_rule_for_each(1.0), with_a_rule_for_each(-1.0)),
        (class_with(score=property(None, doubled)), class_with(score=property(None, tripled))),
        (Kind("Own", (), {}), type("Own", (), {})),
        (with_attributes(factory(1), scale=2), with_attributes(factory(1), scale=3)),
        (with_attributes(OwnDict(a=1), scale=2), with_attributes(OwnDict(a=1), scale=3)),
        (OwnDict(a=1), OwnDict(a=2)),
        (SetLater("x", 0.1), SetLater("x", 0.9)),
        (WithSlot(1), WithSlot(2)),
        (SlotAndMore(1), SlotAndMore(2)),
        (own_array(1), own_array(2)),
        (np.ma.masked_less([1, 5, 8], 3), np.ma.masked_less([1, 5, 8], 7)),
        (np.ma.array([1, 5], fill_value=3), np.ma.array([1, 5], fill_value=4)),
        (defaultdict(factory(1)), defaultdict(factory(2))),
        (with_attributes(OwnFloat(1), scale=2), with_attributes(OwnFloat(1), scale=3)),
        (OwnFloat(1), OwnFloat(2)),
        ((2).__add__, (3).__add__),
        (np.array([1, 2]).dot, np.array([1, 3]).dot),
        (NamedTuple("Own", [("a", int)])(1), NamedTuple("Own", [("a", int)])(2)),
        (typed_in("def typed(w_final): return 2 * w_final"), typed_in("def typed(w_final): return 3 * w_final")),
    ],
)
def test_what_a_wrapper_a_class_or_a_method_holds_is_part_of_the_digest(one, other):
    assert code_digest(holding(one)) == code_digest(holding(one))
    assert code_digest(holding(one)) != code_digest(holding(other))


def test_what_is_read_from_a_module_of_ones_own_counts_as_it_is_now():
    assert code_digest(own_module(2)) == code_digest(own_module(2)) != code_digest(own_module(3))


def test_an_installed_dataclass_counts_by_its_fields():
    """A data set, or a Flax module, that a function reads."""
    digits = load("digits")
    other = replace(digits, maximum=digits.maximum + 1, digest="")
    assert code_digest(holding(digits)) == code_digest(holding(replace(digits)))
    assert code_digest(holding(digits)) != code_digest(holding(other))
    layers = [nn.Sequential([nn.Dense(units), nn.relu]) for units in (3, 3, 4)]
    digests = [code_digest(holding(each)) for each in layers]
    assert digests[0] == digests[1] != digests[2]


def test_what_an_object_has_computed_and_kept_is_none_of_its_content():
    one, other = SetLater("x", 0.1), SetLater("x", 0.1)
    assert one.doubled == 0.2
    assert code_digest(holding(one)) == code_digest(holding(other))


def test_a_generator_is_refused():
    with pytest.raises(UndigestedError, match=r"value is a builtins\.generator"):
        code_digest(holding(each for each in (1, 2)))


@pytest.mark.parametrize("held", [np.vectorize(doubled), np.frompyfunc(doubled, 1, 1)])
def test_a_numpy_wrapper_whose_function_cannot_be_told_is_refused(held):
    with pytest.raises(UndigestedError, match=r"value is a numpy\."):
        code_digest(holding(held))


@pytest.mark.parametrize(
    "function", [jnp.sort, jax.nn.relu, jax.nn.gelu, np.sqrt, abs, jnp.float32, jax.grad(jnp.sum), jax.vmap(jnp.sin)]
)
def test_installed_functions_have_a_digest_that_use_does_not_change(function):
    before = code_digest(holding(function))
    function(jnp.ones(2))
    assert code_digest(holding(function)) == before


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), ("high", "str"), ({"w": 1}, "dict")])
def test_what_is_no_array_is_refused_by_the_criterions_name(value, kind):
    own = Criterion("mine", lambda w_final: value, "x")
    with pytest.raises(MemberError, match=rf"criterion mine returned a {kind}; allowed: numbers, \(3, 2\)"):
        own.values({"w_final": jnp.ones((3, 2))})
