"""Plug-ins by ``_target_``, with a strategy of these tests."""

import sys
from types import ModuleType

import pytest

from qnal.config import plugin
from qnal.config.validation import validated
from qnal.errors import ConfigError
from qnal.query.filters.filter import Filter
from qnal.query.filters.named import named_filter
from qnal.query.strategies.named import named_strategy
from qnal.query.strategies.strategy import BatchStrategy, Strategy
from qnal.spectra.readers.reader import Reader
from qnal.spectra.readers.table import Table

KEY = "query.strategy"


class Faintest(Strategy):
    """Rank by how faint a spectrum is."""

    name = "faintest"
    columns = ("SNR_R",)
    highest = 1.0
    label = "1 / (1 + SNR)"

    def __init__(self, camera: str, power: float = 1.0) -> None:
        if power <= 0:
            raise ValueError("power must be above 0")
        self.columns, self.power = (f"SNR_{camera}",), power

    def utility(self) -> str:
        return f"(1 / (1 + {self.columns[0]})) ** {self.power}"


@pytest.fixture
def target(monkeypatch):
    module = ModuleType("observatory_strategies")
    module.Faintest, module.helper = Faintest, len
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return "observatory_strategies.Faintest"


def test_settings_are_arguments(target):
    node = {"_target_": target, "camera": "B", "power": 2.0}
    strategy = plugin.create(node, KEY, Strategy)
    assert (strategy.columns, strategy.power) == (("SNR_B",), 2.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": "B", "pwr": 2}, r"query\.strategy\.pwr: .*: camera, power\."),
        ({}, r"query\.strategy\.camera is not set; observatory_strategies\.Faintest needs it\."),
        ({"camera": "B", "power": 0}, r"query\.strategy: .* \(power must be above 0\)\."),
        ({"_target_": "observatory_strategies.helper"}, "full name of a subclass of qnal"),
        ({"_target_": "observatory_strategies.none"}, "cannot be imported"),
        ({"_target_": "no_such_module.Strategy"}, "cannot be imported"),
        ({"_target_": "Margin"}, "cannot be imported"),
        ({"_target_": None}, "cannot be imported"),
        ({"_target_": "qnal.query.strategies.strategy.Strategy"}, "cannot be used"),
    ],
)
def test_mistakes_get_one_sentence(target, changes, message):
    with pytest.raises(ConfigError, match=message) as refused:
        plugin.create({"_target_": target} | changes, KEY, Strategy)
    assert str(refused.value).endswith((".", "?"))


class TakesScores(Faintest):
    def utility(self, scores) -> str:
        return "1.0"


class Unnamed(Strategy):
    columns, highest, label = ("SNR_R",), 1.0, "x"

    def utility(self) -> str:
        return "1.0"


class WithoutGenerator(BatchStrategy):
    name, columns, highest, label = "batch", ("SNR_R",), 1.0, "x"

    def utility(self) -> str:
        return "1.0"

    def select(self, candidates, n):
        return []


class Everything(Filter):
    name = "everything"

    def keep(self) -> str:
        return ""


class OpensNothing(Table):
    def open(self):
        yield


@pytest.mark.parametrize(
    ("cls", "kind", "sentence"),
    [
        (TakesScores, Strategy, r"TakesScores\.utility must take the arguments \(self\)"),
        (Unnamed, Strategy, "Unnamed has no attribute name, which a Strategy needs"),
        (WithoutGenerator, Strategy, r"arguments \(self, candidates, n, rng\)"),
        (OpensNothing, Reader, r"OpensNothing\.open must take the arguments \(self, file\)"),
    ],
)
def test_the_contract_is_checked_before_any_work(target, cls, kind, sentence):
    setattr(sys.modules["observatory_strategies"], cls.__name__, cls)
    node = {"_target_": f"observatory_strategies.{cls.__name__}"}
    if cls is TakesScores:
        node["camera"] = "R"
    with pytest.raises(ConfigError, match=sentence):
        plugin.create(node, KEY, kind)
    if issubclass(cls, Strategy):
        with pytest.raises(ConfigError, match=sentence):
            named_strategy(node)


def test_the_contract_of_filters_is_checked(target):
    sys.modules["observatory_strategies"].Everything = Everything
    with pytest.raises(ConfigError, match=r"Everything\.keep must take .* \(self, candidates\)"):
        named_filter({"_target_": "observatory_strategies.Everything"}, "query.filters[0]")


def test_a_strategy_is_checked_with_the_configuration(composed, target):
    config = validated(composed(f"query.strategy._target_={target}", "+query.strategy.camera=Z"))
    assert config.query.strategy == {"_target_": target, "camera": "Z"}
    with pytest.raises(ConfigError, match=r"query\.strategy\.camera is not set"):
        validated(composed(f"query.strategy._target_={target}"))
    with pytest.raises(ConfigError, match=r"query\.strategy: a strategy is chosen .*query=margin"):
        validated(composed("query.strategy=margin"))


def test_a_plugin_ranks_the_spectra(qnal_job, target, tmp_path):
    rows = [f"{2**53 + 1 + 2 * k},{snr}" for k, snr in enumerate((5.0, 0.5, "", 2.0))]
    (tmp_path / "scores.csv").write_text("\n".join(["TARGETID,SNR_B", *rows]) + "\n")
    code, summary = qnal_job(
        tmp_path / "job", "stage=query", f"query.scores={tmp_path / 'scores.csv'}", "query.n=2",
        f"query.strategy._target_={target}", "+query.strategy.camera=B", f"work_dir={tmp_path}",
        "tracking=none",
    )  # fmt: skip
    assert code == 0, summary
    listed = (tmp_path / "job" / "targetid_selection.txt").read_text().split()
    assert listed == [str(2**53 + 3), str(2**53 + 7)]
    assert summary["metrics"]["cut"] == pytest.approx(1 / 3)
