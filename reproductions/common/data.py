"""Data sets in memory: standardised float32 images and integer labels.

`digits` (8 x 8, 1,797 images) comes with scikit-learn. The others come through
tensorflow-datasets, which downloads them once; a decoded copy in the cache folder
($WEDGES_CACHE_DIR, by default ~/.cache/wedges) makes the second start fast.
"""

import dataclasses
import functools
import os
import pathlib
import threading

import numpy as np

from reproductions.bench import store
from reproductions.bench.errors import UsageError, say

# Where tensorflow-datasets fetches each data set from: asked before it is, since offline it would
# retry for minutes.
_HOSTS = {
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar.html",
    "cifar100": "https://www.cs.toronto.edu/~kriz/cifar.html",
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    "train-labels-idx1-ubyte.gz",
}
NAMES = ("digits", *_HOSTS)
_SECONDS_TO_REACH = 6


@dataclasses.dataclass(frozen=True)
class Dataset:
    """x [N, H, W, channels] float32, of mean 0 and deviation 1 a channel over the training set
    (for the test set, by the training set's numbers); y [N] int64."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    fingerprint: str  # of the images and labels as decoded: what results depend on

    @functools.cached_property
    def tensors(self):
        """x_train, y_train, x_test, y_test as tensors, made once: several landscapes share them."""
        import tensorflow as tf

        return tuple(
            tf.convert_to_tensor(a) for a in (self.x_train, self.y_train, self.x_test, self.y_test)
        )

    @property
    def shape(self):
        """(H, W, channels) of one image."""
        return self.x_train.shape[1:]


def load(name, data_dir=None):
    """The data set `name`, always in one order. Raises UsageError where it cannot be had."""
    check(name, data_dir)
    arrays = _digits() if name == "digits" else _from_tfds(name, data_dir)
    x_train, y_train, x_test, y_test = (arrays[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    marks = store.fingerprint(x_train, y_train, x_test, y_test)
    mean = x_train.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
    deviation = x_train.std(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)

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
    """Raise UsageError at once if `load` could not succeed: an unknown name, or a data set that is
    neither prepared in `data_dir` nor to be reached."""
    if name not in NAMES:
        raise UsageError(f"--dataset={name}: unknown data set; choose one of {', '.join(NAMES)}.")
    if name == "digits" or _prepared(name, data_dir):
        return
    if not _reachable(_HOSTS[name]):
        raise UsageError(
            f"--dataset={name}: not in {_data_dir(data_dir)}, and its site cannot be reached to "
            "download it; use --dataset=digits (embedded), or --data_dir=FOLDER with a prepared "
            f"{name} of tensorflow-datasets."
        )


def _digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = bunch.images[..., None].astype(np.uint8)  # [1797, 8, 8, 1], values 0..16
    order = np.random.default_rng(0).permutation(len(x))  # one split for ever, whatever the seed
    train, test = order[:1437], order[1437:]
    y = bunch.target
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def _from_tfds(name, data_dir):
    folder = _prepared(name, data_dir)
    if folder is None:
        folder = _download(name, data_dir)
    files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir())
    info = (folder / "dataset_info.json").read_text()
    key = {"dataset": name, "files": files, "info": info}
    cache = pathlib.Path(os.environ.get("WEDGES_CACHE_DIR", "~/.cache/wedges")).expanduser()
    path = cache / f"{name}-{store.digest(key)}.npz"
    arrays = store.load(path, key)
    if arrays is not None:
        return arrays
    say(f"decoding {name} from {folder} (once; kept in {cache})")
    try:
        arrays = _decode(folder)
    except Exception as error:  # whatever tfds or TensorFlow raise on a damaged copy
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"--dataset={name}: the prepared copy in {folder} cannot be read ({reason[:160]}); "
            "prepare it anew, or name another with --data_dir."
        ) from None
    try:
        store.save(path, arrays, key)
    except UsageError as error:
        reason = str(error).split("; ")[0]
        say(f"no decoded copy kept, so every start decodes again: {reason}; see WEDGES_CACHE_DIR")
    return arrays


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
            f"--dataset={name}: the download failed ({reason[:200]}); try again, use "
            "--dataset=digits (embedded), or --data_dir=FOLDER with a prepared copy."
        ) from None
    return _prepared(name, data_dir)


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
