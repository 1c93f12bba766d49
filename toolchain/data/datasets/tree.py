"""A folder of class folders, with a split or without: which files are samples, and what else lies there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.npz import MAX_CLASSES

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MAX_SAMPLES = 1_000_000
_SYSTEM = ("thumbs.db", "desktop.ini")  # and hidden files: no user put them there


@dataclass(slots=True)
class Tree:
    """files: of all parts, by part, class and name; labels, parts: of each file. names: of the classes.

    groups: of each file, the folder directly below its class's, '' where it lies in that itself.

    left: what lies there and is not read, counted by what it is called in a note.
    """

    names: list[str]
    files: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    nested: int = 0

    def by_folder(self) -> list[str]:
        """``groups`` as ``--data groups=folder`` wants them; InvalidFileError for a file that has none."""
        if "" in self.groups:
            raise InvalidFileError(
                f"groups=folder: {self.files[self.groups.index('')]} lies in its class's own folder, expected in a "
                f"folder of its group below it: {self.names[0]}/GROUP/FILE"
            )
        return self.groups

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for what was left out, and one for what lay deeper than a class's folder."""
        left = ", ".join(f"{count} {what}" for what, count in self.left.most_common(6))
        nested = f"{self.nested} files in folders below a class's own are read as of that class" if self.nested else ""
        return tuple(filter(None, (f"not read: {left}" if left else "", nested)))


def read_tree(folder: Path, suffixes: Collection[str], how: str) -> Tree:
    """<class>/..., or <part>/<class>/... where there are folders train and test or val (written in any case).

    suffixes: of samples, lower case; files in folders below a class's are its samples too. how: what is expected, for
    messages. Raises InvalidFileError, for a class without samples as well.
    """
    places = _parts(folder, how)
    left: Counter[str] = Counter()
    classes = {part: _folders(place, left) for part, place in places.items()}
    names = classes["train"]
    if not 2 <= len(names) <= MAX_CLASSES:
        others = "".join(f", {count} {what}" for what, count in left.most_common(3))
        raise InvalidFileError(
            f"{places['train']} holds {len(names)} folders{others}; {how} (2 to {MAX_CLASSES} classes)"
        )
    for part, place in places.items():
        for name in classes[part]:
            if name not in names:
                raise InvalidFileError(f"class {name!r} of {place} is not in {places['train']}; add it there")
    tree = Tree(names=names, left=left)
    for part, place in places.items():
        for label, name in enumerate(names):
            beside: Counter[str] = Counter()
            found = _samples(place / name, suffixes, beside)
            if not found and (part == "train" or name in classes[part]):
                # An empty class is more likely a mistake than a wish, in a part that a user sorted by hand as well.
                lying = _beside(beside)
                raise InvalidFileError(
                    f"class {name!r}: {place / name} holds no samples ({', '.join(sorted(suffixes))}){lying}; add some "
                    f"or remove the folder"
                )
            tree.files += found
            tree.labels += [label] * len(found)
            tree.parts += [part] * len(found)
            below = [file.relative_to(place / name).parts[:-1] for file in found]
            tree.groups += [folders[0] if folders else "" for folders in below]
            tree.nested += sum(map(bool, below))
            tree.left += beside
            if len(tree.files) > MAX_SAMPLES:
                raise InvalidFileError(f"{folder} holds over {MAX_SAMPLES} samples, expected fewer")
    return tree


def part_folders(folder: Path) -> dict[str, Path]:
    """{'train' | 'val' | 'test': its folder} of a folder that holds such, in any case; InvalidFileError for two."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        part = PARTS.get(path.name.lower())
        if part is None or not path.is_dir():
            continue
        if part in found:
            raise InvalidFileError(
                f"{folder} holds both {found[part].name}/ and {path.name}/, expected one; remove one"
            )
        found[part] = path
    return found


def _parts(folder: Path, how: str) -> dict[str, Path]:
    """What is read of ``folder``, train first; a folder without a split is all 'train'."""
    with readable(folder, how):
        found = part_folders(folder)
    if "train" not in found or len(found) == 1:
        if "train" in found or len(found) > 1:
            there = ", ".join(sorted(f"{path.name}/" for path in found.values()))
            raise InvalidFileError(
                f"{folder} holds {there} and no {'test/ or val/' if 'train' in found else 'train/'} beside it; add it, "
                f"or name the one folder to have it split: {folder / there.rstrip('/').split('/')[0]}"
            )
        return {"train": folder}
    return {part: found[part] for part in ("train", "val", "test") if part in found}


def _folders(place: Path, left: Counter[str]) -> list[str]:
    """The class folders of ``place``; other things there are counted in ``left``."""
    with readable(place, "folders of classes"):
        names = []
        for path in sorted(place.iterdir()):
            if path.name == "__MACOSX":
                left["__MACOSX folder (an archive's leftover)"] += 1
            elif path.name.startswith("._") or not path.is_dir():
                _count(path, left)
            elif not path.name.startswith("."):
                names.append(path.name)
    return names


def _samples(place: Path, suffixes: Collection[str], left: Counter[str]) -> list[Path]:
    """The samples below ``place``, by name."""
    found: list[Path] = []
    for at, below, files in os.walk(place):
        for name in sorted(below):
            if Path(at, name).is_symlink():
                left["links to folders"] += 1
        below[:] = sorted(name for name in below if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            path = Path(at, name)
            if path.suffix.lower() in suffixes and not name.startswith("."):
                found.append(path)
            else:
                _count(path, left)
    return found


def _count(path: Path, left: Counter[str]) -> None:
    if path.name.startswith("._"):
        left["._* files (of macOS)"] += 1
    elif not path.name.startswith(".") and path.name.lower() not in _SYSTEM:
        left[f"{path.suffix[:20].lower()} files" if path.suffix else f"files like {path.name[:40]!r}"] += 1


def _beside(left: Counter[str]) -> str:
    return f", but {', '.join(f'{count} {what}' for what, count in left.most_common(3))} lie there" if left else ""
