"""Data sets in memory: standardised float32 images or signals, and integer labels.

Two are embedded: `digits` (8 x 8, 1,797 images) comes with scikit-learn, and `mnist1d` (40 numbers,
5,000 signals) is made on this machine by the package of that name. The others come through
tensorflow-datasets, which downloads them once. A decoded copy in the cache folder
($WEDGES_CACHE_DIR, by default ~/.cache/wedges) makes the second start fast.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import threading
from importlib import metadata

import numpy as np

from reproductions.bench import options, store, workplace
from reproductions.bench.errors import UsageError, say
from reproductions.common import mnist1d
from wedges import archive

_EMBEDDED = ("digits", "mnist1d")  # at hand without a network

# Where tensorflow-datasets fetches each data set from: asked before it is, since offline it would
# retry for minutes.
_HOSTS = {
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar.html",
    "cifar100": "https://www.cs.toronto.edu/~kriz/cifar.html",
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    "train-labels-idx1-ubyte.gz",
}
NAMES = (*_EMBEDDED, *_HOSTS)
# Training examples of each, and what is fetched of it, known before anything is read.
_EXAMPLES = {
    "digits": 1437,
    "mnist1d": 4000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
}
_MEGABYTES = {"cifar10": 170, "cifar100": 169, "mnist": 12, "fashion_mnist": 31}
_OFFLINE = f"--dataset={' or '.join(_EMBEDDED)} (embedded)"
_SECONDS_TO_REACH = 6


@dataclasses.dataclass(frozen=True)
class Dataset:
    """x [N, H, W, channels] of images or [N, L, channels] of signals, float32, of mean 0 and deviation
    1 a channel over the training set (for the test set, by the training set's numbers); y [N] int64."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    fingerprint: str  # of the examples and labels as decoded: what results depend on

    @property
    def shape(self):
        """(H, W, channels) of one image, (L, channels) of one signal."""
        return self.x_train.shape[1:]


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set by its content: what a number depends on, wherever the files lie.

    Attributes:
      name: one of `NAMES`.
      content: fingerprint of the examples and labels as decoded.
    """

    name: str
    content: str

    def load(self):
        """The `Dataset`, read once in a process."""
        data_dir = workplace.current().data_dir
        found = _read(self.name, data_dir)
        if found.fingerprint != self.content:
            store.remove(_note(self.name, data_dir)[0])  # or a wrong one would be believed for ever
            raise UsageError(
                f"--dataset={self.name}: its files have changed since this run began; run the same "
                "command again."
            )
        return found


def source(name):
    """The `Source` of a data set, in the workplace's folder of data. Raises UsageError where it cannot
    be had."""
    data_dir = workplace.current().data_dir
    check(name, data_dir)
    content = _known(*_note(name, data_dir))
    if content is None:
        content = _read(name, data_dir).fingerprint
        path, key = _note(name, data_dir)  # of other files, if it has been downloaded just now
        with contextlib.suppress(UsageError):  # a cache that cannot be written to: read it again then
            store.write_json(path, {"key": key, "content": content})
    return Source(name, content)


def _note(name, data_dir):
    """Where the content of a data set is noted, and the key of the files that it was read from."""
    path, key = _decoded(name, data_dir)
    return path.with_suffix(".json"), key


def _known(path, key):
    """The fingerprint that was noted for the same files; None without."""
    try:
        noted = archive.read_json(path, {"key": dict, "content": str})
    except (OSError, archive.Damaged):
        return None
    return noted["content"] if store.canonical(noted["key"]) == store.canonical(key) else None


def holds_batch(size, flag, settings):
    """Raise UsageError where a batch, or the largest of several, is larger than a data set."""
    names, size = settings["dataset"], max(size) if isinstance(size, tuple) else size
    for name in (names,) if isinstance(names, str) else names:
        if size > _EXAMPLES[name]:
            raise UsageError(
                f"--{flag}={size}: must be at most the {_EXAMPLES[name]:,} training examples of {name}."
            )


def needs(names, data_dir):
    """Where data sets come from, in words: "cifar10, downloaded first (about 170 MB, to ~/data)"."""
    told = []
    for name in dict.fromkeys((names,) if isinstance(names, str) else names):
        if name in _EMBEDDED:
            told.append(f"{name}, embedded")
        elif _prepared(name, data_dir):
            told.append(f"{name}, in {_data_dir(data_dir)}")
        else:
            told.append(
                f"{name}, downloaded first (about {_MEGABYTES[name]} MB, to {_data_dir(data_dir)})"
            )
    return "; ".join(told)


@options.settings
class DataConfig(options.Config):
    """Settings of a figure that trains networks on a data set."""

    dataset: str = options.option(
        "data set", options.one_of(*NAMES), needs=needs, paper="cifar10", quick="digits"
    )

    @property
    def datasets(self):
        """The names of all its data sets."""
        return (self.dataset,) if isinstance(self.dataset, str) else self.dataset

    def check(self):
        super().check()
        for name in self.datasets:
            check(name, workplace.current().data_dir)

    def inputs(self):
        return {name: source(name).content for name in self.datasets}


def _read(name, data_dir):
    """As `load`; once in a process, as long as the files stay as they are."""
    return _load(name, data_dir, store.canonical(_decoded(name, data_dir)[1]))


@functools.lru_cache(maxsize=2)
def _load(name, data_dir, files):
    del files
    return load(name, data_dir)


def load(name, data_dir=None):
    """The data set `name`, always in one order. Raises UsageError where it cannot be had."""
    check(name, data_dir)
    arrays = _digits() if name == "digits" else _kept(name, data_dir)
    x_train, y_train, x_test, y_test = (arrays[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    marks = store.fingerprint(x_train, y_train, x_test, y_test)
    each_channel = {"axis": tuple(range(x_train.ndim - 1)), "dtype": np.float64}
    mean = x_train.mean(**each_channel).astype(np.float32)
    deviation = x_train.std(**each_channel).astype(np.float32)

    def standard(x):
        x = x.astype(np.float32)
        x -= mean  # in place: the images are the largest thing in memory
        x /= deviation
        return x

    return Dataset(
        name,
        standard(x_train),
        y_train.astype(np.int64),
        standard(x_test),
        y_test.astype(np.int64),
        int(y_train.max()) + 1,
        marks,
    )


def check(name, data_dir=None):
    """Raise UsageError at once if `load` could not succeed: an unknown name, a package that is missing,
    or a data set that is neither prepared in `data_dir` nor to be reached."""
    if name not in NAMES:
        raise UsageError(f"--dataset={name}: unknown data set; choose one of {', '.join(NAMES)}.")
    if name == "mnist1d":
        mnist1d.version()
    if name in _EMBEDDED or _prepared(name, data_dir):
        return
    if not _reachable(_HOSTS[name]):
        raise UsageError(
            f"--dataset={name}: not in {_data_dir(data_dir)}, and its site cannot be reached to "
            f"download it; use {_OFFLINE}, or --data_dir=FOLDER with a prepared {name} of "
            "tensorflow-datasets."
        )


def _digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = bunch.images[..., None].astype(np.uint8)  # [1797, 8, 8, 1], values 0..16
    order = np.random.default_rng(0).permutation(len(x))  # one split for ever, whatever the seed
    train, test = order[:1437], order[1437:]
    y = bunch.target
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def _kept(name, data_dir):
    """The arrays of a data set from its decoded copy, which is made where there is none."""
    if name != "mnist1d" and not _prepared(name, data_dir):
        _download(name, data_dir)
    path, key = _decoded(name, data_dir)
    arrays = store.load(path, key)
    if arrays is not None:
        return arrays
    if name == "mnist1d":
        say(f"generating mnist1d (once; kept in {path.parent})")
        arrays = mnist1d.generate()
    else:
        folder = _prepared(name, data_dir)
        say(f"decoding {name} from {folder} (once; kept in {path.parent})")
        arrays = _from_tfds(name, folder)
    try:
        store.save(path, arrays, key)
    except UsageError as error:
        reason = str(error).split("; ")[0]
        say(f"no decoded copy kept, so every start decodes again: {reason}; see WEDGES_CACHE_DIR")
    return arrays


def _from_tfds(name, folder):
    try:
        return _decode(folder)
    except Exception as error:  # whatever tfds or TensorFlow raise on a damaged copy
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"--dataset={name}: the prepared copy in {folder} cannot be read ({reason[:160]}); "
            "prepare it anew, or name another with --data_dir."
        ) from None


def _decoded(name, data_dir):
    """Where the decoded copy of a data set is kept, and its key: the files or package it was made of."""
    if name == "digits":
        key = {"dataset": name, "scikit-learn": metadata.version("scikit-learn")}
    elif name == "mnist1d":
        key = {"dataset": name, "mnist1d": mnist1d.version(), "settings": mnist1d.SETTINGS}
    else:
        folder = _prepared(name, data_dir)
        files = sorted(folder.iterdir()) if folder else []
        key = {
            "dataset": name,
            "files": [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files],
            "info": _info(folder) if folder else None,
        }
    cache = pathlib.Path(os.environ.get("WEDGES_CACHE_DIR", "~/.cache/wedges")).expanduser()
    return cache / f"{name}-{store.digest(key)}.npz", key


def _info(folder):
    return (folder / "dataset_info.json").read_text(errors="replace")  # tfds says what is wrong in it


def _decode(folder):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    arrays = {}
    for split in ("train", "test"):
        # One reader over the shards in turn: the order is that of the files.
        examples = builder.as_dataset(
            split=split,
            batch_size=-1,
            shuffle_files=False,
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        columns = tfds.as_numpy(examples)
        arrays |= {f"x_{split}": columns["image"], f"y_{split}": columns["label"]}
    return arrays


def _download(name, data_dir):
    import tensorflow_datasets as tfds

    say(f"downloading {name} to {_data_dir(data_dir)}")
    try:
        tfds.builder(name, data_dir=_data_dir(data_dir)).download_and_prepare()
    except Exception as error:  # tfds raises many kinds, down to its own HTTP errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"--dataset={name}: the download failed ({reason[:200]}); try again, use {_OFFLINE}, or "
            "--data_dir=FOLDER with a prepared copy."
        ) from None


def _data_dir(data_dir):
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(data_dir).expanduser()


def _prepared(name, data_dir):
    """The folder of the newest prepared version, or None."""
    versions = _data_dir(data_dir).glob(f"{name}/*.*.*/dataset_info.json")
    folders = (info.parent for info in versions)
    whole = [f for f in folders if all(n.isdigit() for n in f.name.split("."))]  # not 3.0.2.incomplete_X
    return max(whole, key=lambda f: [int(n) for n in f.name.split(".")], default=None)


def _reachable(url):
    """Whether a request to `url` is answered in a few seconds, through any proxy that is set."""
    import urllib.error
    import urllib.request

    answered = []

    def ask():
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, method="HEAD"), timeout=_SECONDS_TO_REACH
            ):
                answered.append(True)
        except urllib.error.HTTPError:
            answered.append(True)  # the host is there; tfds will say what is wrong
        except (OSError, ValueError):
            pass

    # In a thread of its own, because looking up a name has no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS_TO_REACH)
    return bool(answered)
