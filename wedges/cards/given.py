"""What a card is asked for, and all that can be refused of it before TensorFlow is started.

Files are opened here: what is missing, cut short or of another kind is refused within a second, and a
card that is finished is found by the content of the files it is of.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import glob
import hashlib
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shlex
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import wedges
from wedges import _checks, archive
from wedges.cards import reading

VERSION = 4  # of what sections hold: an older card of the same models is made anew, beside it
_WEIGHTS = (".weights.h5", ".npz")  # files without the model they are of
_HDF5 = b"\x89HDF\r\n\x1a\n"  # how such a file begins
_BLOCK = 2**20


class Given(NamedTuple):
    """The arguments of `wedges.card`, checked.

    Attributes:
      checkpoints: files and models, at least one.
      names: what each is called.
      data, held_out: as given; `read` puts `reading.Data` in place of files.
      mark: SHA-256 of the files and settings; None where a card depends on more than files hold, such as
        code of one's own.
    """

    checkpoints: list[Any]
    names: list[str]
    data: Any
    model: Any
    loss: Any
    held_out: Any
    minutes: float
    out_dir: pathlib.Path
    examples: int | None
    seed: int
    command: str | None
    mark: str | None


def checked(
    checkpoints: Any,
    data: Any,
    *,
    model: Any = None,
    loss: Any = None,
    held_out: Any = None,
    minutes: float = 5.0,
    out_dir: str | os.PathLike[str] = "cards",
    examples: int | None = None,
    seed: int = 0,
) -> Given:
    """The arguments of `wedges.card`; nothing is read but files, for their mark.

    Raises:
      ValueError: in one line, what is missing or of another kind.
      OSError: no folder can be made at `out_dir`.
    """
    _checks.positive("minutes", minutes)
    examples = None if examples is None else _checks.whole("examples", examples, 2)
    seed = _checks.whole("seed", seed, 0, 2**31 - 1)
    one = _is_file(checkpoints) or _is_model(checkpoints) or not isinstance(checkpoints, Iterable)
    called = isinstance(checkpoints, Mapping) and _names(checkpoints)
    several = [checkpoints] if one else list(checkpoints.values() if called else checkpoints)
    if not several:
        raise ValueError("checkpoints must be at least one file or model; received none.")
    _check_function("model", model)
    for each in several:
        if _is_file(each):
            with _reading("checkpoints", each):
                _check_checkpoint(pathlib.Path(each), model)
        elif not _is_model(each):
            raise ValueError(f"checkpoints must be files or models; received {_checks.called(each)}.")
    if model is None:
        _check_alike([pathlib.Path(c) for c in several if _is_file(c) and str(c).endswith(".keras")])
    for name, value in (("data", data), ("held_out", held_out)):
        if _is_file(value) and reading.is_function(value):
            _check_function(name, str(value))
        elif _is_file(value) and not pathlib.Path(value).exists():
            raise ValueError(
                f"{name} must be a file that is there, or module:function; received {str(value)!r}."
            )
        elif _is_file(value) and os.path.isfile(value):
            with _reading(name, value), open(value, "rb"):
                pass
    # Code of a user's may register losses of its own.
    if not any(map(_is_code, (model, data, held_out))):
        _check_loss(loss)
    out_dir = pathlib.Path(out_dir)
    _check_folder(out_dir)
    settings = {"loss": loss, "minutes": float(minutes), "examples": examples, "seed": seed}
    others = {"data": data, "held_out": held_out, "model": model, **settings, "out_dir": out_dir}
    names = called or named(several)
    return Given(
        several,
        names,
        data,
        model,
        loss,
        held_out,
        float(minutes),
        out_dir,
        examples,
        seed,
        None if called else _command(several, others),
        _mark(several, names, data, held_out, model, settings),
    )


def read(given: Given) -> Given:
    """The same with examples in place of the files that hold them.

    Raises:
      ValueError: in one line, what is no file of examples, or does not fit together.
    """
    of = lambda value, name: reading.data_of(value, name, examples=given.examples, seed=given.seed)
    is_array_file = lambda value: _is_file(value) and not reading.is_function(value)
    held_out = given.held_out
    if held_out is None:
        beside = reading.held_out_in(given.data)
        if beside is not None:
            name = f"{given.data} ({', '.join(reading.HELD_OUT)})"
            held_out = of(beside, "held_out")._replace(name=name)
    elif is_array_file(held_out):
        held_out = of(held_out, "held_out")
    data = of(given.data, "data") if is_array_file(given.data) else given.data
    return given._replace(data=data, held_out=held_out)


def finished(given: Given) -> tuple[pathlib.Path, dict[str, Any]] | None:
    """The page and the numbers of a card that was finished for the same files and settings."""
    if given.mark is None:
        return None
    name = glob.escape(folder_name(given.names))
    for path in sorted(given.out_dir.glob(f"{name}-*/card.json")):
        try:
            found = archive.read_json(path, {"mark": str, "finished": bool, "sections": {str: dict}})
            if found["mark"] != given.mark or not found["finished"]:
                continue
            page, sections = path.with_name("card.html"), found["sections"]
            kept = {n: archive.read_json(path.parent / "sections" / f"{n}.json") for n in sections}
        except (OSError, archive.Damaged):  # which is made again
            continue
        if kept == sections and page.exists():
            return page, found
    return None


# ---- names ------------------------------------------------------------------------------------------


def named(checkpoints: Sequence[Any]) -> list[str]:
    """What checkpoints are called: files without their endings, models by name; alike ones numbered.

    Models whose names Keras made up are "model", whatever number they have in their process.

    >>> wedges.cards.given.named(["runs/a.keras", "b.weights.h5", "other/a.keras"])
    ['a (1)', 'b', 'a (2)']
    """
    names = [_stem(pathlib.Path(c)) if _is_file(c) else _own_name(c) for c in checkpoints]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    ]


def folder_name(names: Sequence[str]) -> str:
    """How the folder of a card of such checkpoints begins.

    >>> wedges.cards.given.folder_name("abc"), wedges.cards.given.folder_name("abcde")
    ('a-b-c', 'a-b-and-3-more')
    """
    some = names if len(names) < 4 else [*names[:2], f"and-{len(names) - 2}-more"]
    return "-".join(some).replace(os.sep, "-")[:60]


def _names(checkpoints):
    """Those of a mapping of names to checkpoints.

    Raises:
      ValueError: a name that is no text, or none.
    """
    for name in checkpoints:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"checkpoints must have names that are text; received {name!r}.")
    return list(checkpoints)


def _own_name(model):
    """The name of a model, "model" where it is one that Keras made up."""
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(model).__name__).lower()
    return "model" if re.fullmatch(rf"{re.escape(kind)}(_\d+)?", model.name) else model.name


def _stem(path):
    for suffix in (".keras", *_WEIGHTS, ".h5", ".hdf5"):
        if path.name.endswith(suffix) and path.name != suffix:
            return path.name.removesuffix(suffix)
    return path.name


# ---- what is refused --------------------------------------------------------------------------------


def _is_file(value):
    return isinstance(value, (str, os.PathLike))


def _is_model(value):
    return hasattr(value, "trainable_variables")


def _is_code(value):
    """Whether a user's own code comes in with this argument."""
    return callable(value) or (isinstance(value, str) and reading.is_function(value))


@contextlib.contextmanager
def _reading(name, path):
    """Tell in a line that a file could not be read while this lasts."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{name} must be a file that can be read; received {str(path)!r}: {error.strerror or error}."
        ) from None


def _check_checkpoint(path, model):
    if path.is_dir():
        raise ValueError(f"checkpoints must be files; received {str(path)!r}, a folder.")
    if not path.is_file():
        raise ValueError(f"checkpoints must be files that are there; received {str(path)!r}.")
    if path.name.endswith(_WEIGHTS) and model is None:
        raise ValueError(
            f"model must be module:function, which builds the model that {path.name} has the weights "
            "of; received None."
        )
    if path.suffix in (".keras", ".npz"):
        _check_zip(path)
    elif path.suffix in (".h5", ".hdf5"):
        with open(path, "rb") as file:
            begin = file.read(len(_HDF5))
        if begin != _HDF5:
            raise ValueError(
                f"{path.name} must be an HDF5 file, as Keras saves it; received {_of(path)}."
            )


def _check_zip(path):
    inside = ("config.json", "model.weights.h5") if path.suffix == ".keras" else ("theta.npy",)
    kind = "model as model.save writes it" if path.suffix == ".keras" else "file of weights with theta"
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path.name} must be a whole {kind}; received {_of(path)}.")
    try:
        with zipfile.ZipFile(path) as file:
            missing = [name for name in inside if name not in file.namelist()]
            damaged = file.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path.name} must be a whole {kind}; received: {error}.") from None
    if missing or damaged:
        what = f"one without {missing[0]}" if missing else f"one whose {damaged} is damaged"
        raise ValueError(f"{path.name} must be a whole {kind}; received {what}.")


def _check_alike(paths):
    """Raise ValueError where the weights of two .keras files cannot be of one architecture."""
    import h5py  # Keras' own for its files

    found: list[tuple[str, dict[str, tuple[int, ...]]]] = []
    for path in paths if len(paths) > 1 else []:
        try:
            with (
                zipfile.ZipFile(path) as whole,
                whole.open("model.weights.h5") as inner,
                h5py.File(inner, "r") as file,
            ):
                found.append((path.name, _shapes(file)))
        except (OSError, KeyError, RuntimeError):  # which Keras will say more about
            continue
    for name, shapes in found[1:]:
        first, wanted = found[0]
        if sorted(shapes.values()) != sorted(wanted.values()):
            pairs = itertools.zip_longest(wanted.items(), shapes.items(), fillvalue=("the end", ()))
            (a, m), (b, n) = next((a, b) for a, b in pairs if a[1] != b[1])
            said = [f"{c} {list(s)}" if s else c for c, s in ((a, m), (b, n))]
            raise ValueError(unlike(first, name, *said))


def _shapes(file):
    """{"dense_1/0": shape} of a model's weights in a file of Keras', in the order of layers' numbers."""
    found = {}

    def add(path, item):
        parts = [part for part in path.split("/") if part not in ("layers", "vars")]
        if hasattr(item, "shape") and parts[0] != "optimizer" and "seed_generator" not in path:
            found["/".join(parts)] = tuple(map(int, item.shape))

    file.visititems(add)
    numbers = lambda path: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path)]
    return {path: found[path] for path in sorted(found, key=numbers)}


def unlike(first: str, other: str, one: str, another: str) -> str:
    """What is said of two checkpoints of several architectures."""
    return (
        f"{first} and {other} must be of one architecture; received weights that differ first in {one} "
        f"of {first} and {another} of {other}."
    )


def _of(path):
    """What a file is that is not of its kind."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        begin = file.read(4)
    cut = "the beginning of one, cut short" if begin == b"PK\x03\x04" else "something else"
    return f"{cut}, {size:,} bytes" if size else "an empty file"


def _check_function(name, value):
    """That "module:function" is of that form, and that its module's package is there."""
    if not isinstance(value, str):
        return
    form = re.fullmatch(r"([\w.]+):\w+", value)
    try:
        there = form is not None and importlib.util.find_spec(form.group(1).partition(".")[0])
    except (ImportError, ValueError):
        there = False
    if not there:
        why = f"no module {form.group(1)!r}" if form else "no colon and names beside it"
        raise ValueError(
            f"{name} must be module:function, importable from here; received {value!r}: {why}."
        )


def _check_loss(loss):
    if not isinstance(loss, str):
        return
    if ":" in loss:
        _check_function("loss", loss)
        return
    known = _losses()
    if known and not {loss, loss.lower()} & known:
        near = difflib.get_close_matches(loss.lower(), known, 1, 0.75)
        raise unknown_loss(loss, near[0] if near else "")


def unknown_loss(loss: str, near: str = "") -> ValueError:
    """What is said of a name that no loss has."""
    also = f" Did you mean {near}?" if near else ""
    return ValueError(
        "loss must be one of Keras', e.g. mean_squared_error or sparse_categorical_crossentropy, or "
        f"module:function; received {loss!r}.{also}"
    )


def _losses():
    """All words of the file of Keras' that lists its losses, which is read and not run; none without.

    What is not among them is no loss; of what is, Keras decides.
    """
    spec = importlib.util.find_spec("keras")
    if spec is None or spec.origin is None:
        return set()
    path = pathlib.Path(spec.origin).parent.joinpath("src", "losses", "__init__.py")
    return set(re.findall(r"\w+", path.read_text())) if path.exists() else set()


def _check_folder(path):
    """Raise OSError where no folder can be made."""
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), None)
    if there is not None and not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a folder", str(there))
    if there is not None and not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, "No permission to write", str(there))


# ---- the same again ---------------------------------------------------------------------------------


def _command(checkpoints, others):
    """The command of a shell that asks for the same; None where some of it is in memory alone."""
    usual = {"minutes": 5.0, "examples": None, "seed": 0, "out_dir": pathlib.Path("cards")}
    told = {n: v for n, v in others.items() if v is not None and v != usual.get(n)}
    if not all(isinstance(v, (str, os.PathLike, int, float)) for v in (*checkpoints, *told.values())):
        return None
    number = lambda v: f"{v:g}" if isinstance(v, float) else str(v)
    flags = [f"--{name}={number(value)}" for name, value in told.items()]
    return shlex.join(["python", "-m", "wedges", "card", *map(str, checkpoints), *flags])


def _needs_code(path):
    """Whether a file of a whole model names classes or functions of a user's own, which may change."""
    import h5py  # Keras' own for its files

    try:
        if pathlib.Path(path).suffix == ".keras":
            with zipfile.ZipFile(path) as file:
                config = file.read("config.json").decode()
        else:
            with h5py.File(path, "r") as file:
                config = str(file.attrs["model_config"])
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile):
        return True  # one that nothing is known of
    packages = {name.partition(".")[0] for name in re.findall(r'"module": "([^"]*)"', config)}
    return not packages <= {"builtins", "keras", "wedges"}


def _mark(checkpoints, names, data, held_out, model, settings):
    """SHA-256 of what a card is of, where that is files, numbers and names of losses."""
    files = [("checkpoints", each) for each in checkpoints] + [("data", data)]
    files += [] if held_out is None else [("held_out", held_out)]
    whole = all(_is_file(each) and os.path.isfile(each) for _, each in files)
    loss = settings["loss"]
    if (
        not whole
        or model is not None
        or not (loss is None or (isinstance(loss, str) and ":" not in loss))
        or any(map(_needs_code, checkpoints))
    ):
        return None
    versions = {"wedges": wedges.__version__, "contents": VERSION}
    settings = {**settings, **versions, "names": names}
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, each in files:
        digest = hashlib.sha256()
        with _reading(name, each), open(each, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        found.update(digest.digest())
    return found.hexdigest()
