"""How a row is trained, and its cache: the names of its files depend on whatever its fit is given."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from slowae import checkpoints, files, methods, train
from slowae.checks import require


@dataclass(frozen=True)
class Run:
    """How rows are trained. rate: of layers of Eq. 2; bias_rate: biases learn so many times as fast as filters (optim).

    out: the folder of the cache, whose files' names hold a checksum of all that they depend on but the code; None
    caches nothing. resume: read the cache, else move its files aside. configs: {row: configuration} where not the one
    of METHODS. histories: {row: history of train.fit}.
    """

    steps: int = 3000
    batch: int = 8
    rate: float = 1e-3
    optimizer: str = "adam"
    seed: int = 0
    bias_rate: float = 0.03
    out: Path | None = None
    resume: bool = True
    configs: dict = field(default_factory=dict)
    histories: dict = field(default_factory=dict)
    name: str = "row"  # of the row that is fitted
    uses: set | None = None  # what it may use; None: anything
    _depends: tuple = ()
    _fitted: dict = field(default_factory=dict)

    def named(self, name, depends):
        """This run for one result: `name`, and a checksum of `depends` (JSON) and of the settings, name its files."""
        settings = {key: getattr(self, key) for key in "steps batch rate optimizer seed bias_rate".split()}
        return replace(self, name=name, _depends=(*self._depends, name, settings, depends))

    def config(self, name):
        """The configuration of row `name`: of `configs`, else of METHODS."""
        return self.configs.get(name, methods.METHODS[name].config)

    def fitted(self, name, data, config=None):
        """The parameters of row `name`, trained or cached."""
        require(self.uses is None or name in self.uses, f"{self.name} uses {name}: say so in its row's `uses`")
        method, uses = methods.METHODS[name], reach(name)
        data = data.only(uses)
        config = config or self.config(name)
        configs = {row: self.config(row) for row in uses & set(methods.METHODS)}
        depends = {"config": config, "configs": configs, "data": data.checksum}
        run = replace(self, configs=configs, uses=uses, _depends=()).named(name, depends)
        if run._key not in self._fitted:
            self._fitted[run._key] = method.fit(data, config, run)
        return self._fitted[run._key]

    def cached(self, make):
        """make() -> params that are learned without steps, or cached ones; once in a fit."""
        return files.cached(self.out / f"{self.name}-{self._key}.npz", make, self.resume) if self.out else make()

    def train(self, loss_and_gradients, init, draw, *, project=None, watch=None, **descent):
        """train.fit with this run's settings, or those of `descent` -> params; once in a fit."""
        settings = {key: getattr(self, key) for key in "steps rate optimizer bias_rate seed".split()} | descent
        place = self.out and checkpoints.Checkpoint(self.out, self.name, {"key": self._key}, self.resume)
        params, self.histories[self.name] = train.fit(
            loss_and_gradients, init, draw, train.Descent(**settings), project=project, watch=watch, checkpoint=place
        )
        return params

    @property
    def _key(self):
        require(self._depends, "cached results need names: use run.fitted, or run.named")
        return files.key(self._depends)


class Method(NamedTuple):
    """A row of the table.

    title: as printed. fit(data, config, run) -> params. encode(params, frames (N, 32, 32, 3) uint8) -> z (N, ...) on
    the host. config: a frozen dataclass, or None. kind: in pictures. describe(params, frames) -> any of "learned", how
    many numbers were learned; "filters" (F, F, C, K); "group", how many of them are pooled together; "silent", the
    units that none of these frames activates; "errors", {way of decoding: error}. uses: of "film", "labels" and other
    rows, those that fit is given, and its files depend on. accuracy(params, images, labels) -> the share of images that
    is classified right.
    """

    title: str
    fit: Callable
    encode: Callable
    config: object = None
    kind: str = "control"
    describe: Callable | None = None
    uses: tuple = ("film",)
    accuracy: Callable | None = None


def reach(name):
    """What row `name` uses, directly or through other rows."""
    uses = set(methods.METHODS[name].uses)
    return uses.union(*(reach(row) for row in uses & set(methods.METHODS)))
