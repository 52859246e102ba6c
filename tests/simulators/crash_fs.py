"""A model of a file system that keeps nothing it was not told to sync, and what a power cut may leave on it.

`Recorder` watches real code work in a real folder. Before every operation that matters (fsync, rename, link, unlink,
mkdir, open) it notes what is in the folder now. From that it follows, for every moment, what the disk surely holds: the
content of a file as of its last fsync, the names in a folder as of the folder's last fsync. Everything newer may be
there or not after a power cut, each thing by itself:

    a file's content    the synced one, the new one, the new one torn off at any byte, with or without zeros behind
    a name in a folder  any of the files that it has named since the folder was synced, or none

That is weaker than any real file system, which keeps at least some order: what holds here holds there.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, final

OPERATIONS = ("open", "fsync", "replace", "rename", "link", "unlink", "remove", "mkdir")
Name = tuple[int, str]
"""A folder's number, and a name in it."""
Tree = dict[str, bytes | None]
"""Path below the root -> content; None = a folder."""


@dataclass(frozen=True)
class Cut:
    """One moment at which the power may go.

    step: how many calls of `Recorder.step` were over. before: the operation that did not happen any more.
    names: for each name, the files that it may name, 0 = none; the last is the newest. contents: of each file what it
    may hold, (synced, newest); folders: numbers that are folders.
    """

    step: int
    before: str
    names: dict[Name, tuple[int, ...]]
    contents: dict[int, tuple[bytes | None, bytes]]
    folders: frozenset[int]
    root: int


@dataclass
class _Inode:
    """handle: keeps its number from being given to another file."""

    handle: int
    folder: bool
    synced: bytes | None = None
    content: bytes = b""


@dataclass
class _Disk:
    inodes: dict[int, _Inode] = field(default_factory=dict)
    synced: dict[Name, int] = field(default_factory=dict)
    now: dict[Name, int] = field(default_factory=dict)
    since: dict[Name, list[int]] = field(default_factory=dict)


@final
class Recorder:
    """Watches `root` for as long as it is entered. What lies there at that time counts as synced.

    deaf_to: fsync calls that are taken for not made: "file", "folder" or "": to see that a test finds it.
    cuts: all moments so far.
    """

    def __init__(self, root: Path, *, deaf_to: str = "") -> None:
        self.cuts: list[Cut] = []
        self.steps = 0
        self._root = root
        self._deaf_to = deaf_to
        self._disk = _Disk()
        self._real: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Recorder:
        self._real = {name: getattr(os, name) for name in OPERATIONS}
        self._look()
        for inode in self._disk.inodes.values():
            inode.synced = inode.content
        self._disk.synced, self._disk.since = dict(self._disk.now), {}
        for name in OPERATIONS:
            setattr(os, name, self._watched(name))
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for name, real in self._real.items():
            setattr(os, name, real)
        self._note("the end")
        for inode in self._disk.inodes.values():
            os.close(inode.handle)

    def step(self) -> None:
        """A call of the code that is watched has returned: from now on its promise counts."""
        self._note("the next step")
        self.steps += 1

    def _watched(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def operation(*arguments: Any, **options: Any) -> Any:
            self._note(f"{name} {arguments[0]}")
            result = real(*arguments, **options)
            if name == "fsync":
                self._sync(arguments[0])
            return result

        return operation

    def _note(self, what: str) -> None:
        self._look()
        disk = self._disk
        known = sorted({*disk.synced, *disk.since}, key=lambda name: (name[1], name[0]))  # for a seed to mean something
        names = {name: (disk.synced.get(name, 0), *disk.since.get(name, ())) for name in known}
        contents = {number: (inode.synced, inode.content) for number, inode in disk.inodes.items() if not inode.folder}
        last = self.cuts[-1] if self.cuts else None
        if last is not None and (last.step, last.names, last.contents) == (self.steps, names, contents):
            return  # nothing has changed
        folders = frozenset(number for number, inode in disk.inodes.items() if inode.folder)
        self.cuts.append(Cut(self.steps, what, names, contents, folders, self._root.stat().st_ino))

    def _look(self) -> None:
        """Take in what has changed since the last look."""
        disk = self._disk
        found: dict[Name, int] = {}
        folders = [(self._root, self._know(self._root))]
        while folders:
            folder, parent = folders.pop()
            for path in folder.iterdir():
                number = found[parent, path.name] = self._know(path)
                if disk.inodes[number].folder:
                    folders.append((path, number))
        for name in {*found, *disk.now}:
            number = found.get(name, 0)
            if number != disk.now.get(name, 0):
                disk.since.setdefault(name, []).append(number)
        disk.now = found
        for inode in disk.inodes.values():
            if not inode.folder:
                size = os.fstat(inode.handle).st_size
                inode.content = os.pread(inode.handle, size, 0)

    def _know(self, path: Path) -> int:
        status = path.lstat()
        if status.st_ino not in self._disk.inodes:
            handle = self._real["open"](path, os.O_RDONLY | os.O_NOFOLLOW)
            self._disk.inodes[status.st_ino] = _Inode(handle, stat.S_ISDIR(status.st_mode))
        return status.st_ino

    def _sync(self, descriptor: int) -> None:
        self._look()
        disk = self._disk
        number = os.fstat(descriptor).st_ino
        inode = disk.inodes.get(number)
        if inode is None or self._deaf_to == ("folder" if inode.folder else "file"):
            return
        if not inode.folder:
            inode.synced = inode.content
            return
        for name in [name for name in disk.since if name[0] == number]:
            del disk.since[name]
        disk.synced = {name: to for name, to in disk.synced.items() if name[0] != number}
        disk.synced |= {name: to for name, to in disk.now.items() if name[0] == number}


def aftermaths(cut: Cut, chance: random.Random | None, most: int) -> Iterator[Tree]:
    """What may be found after a power cut, no two alike.

    chance: None = all of `_every`, up to `most`; else the two extremes, each thing lost and kept alone, and as many
    random ones, `most` in all.
    """
    unsure = {name: tuple(dict.fromkeys(options)) for name, options in cut.names.items() if len(set(options)) > 1}
    torn = {
        number: _contents(synced, newest, full=chance is None)
        for number, (synced, newest) in cut.contents.items()
        if synced != newest
    }
    seen: set[int] = set()
    choices = _every(unsure, torn) if chance is None else _some(unsure, torn, chance, most)
    for names, contents in choices:
        tree = _tree(cut, names, contents)
        mark = hash(tuple(sorted(tree.items(), key=lambda item: item[0])))
        if mark not in seen:
            seen.add(mark)
            yield tree
        if len(seen) >= most:
            return


def killed(cut: Cut) -> Tree:
    """What is found where only the process died: everything, as it was written last."""
    return _tree(cut, {name: options[-1] for name, options in cut.names.items()}, {})


_Choice = tuple[dict[Name, int], dict[int, bytes]]


def _every(unsure: dict[Name, tuple[int, ...]], torn: dict[int, tuple[bytes, ...]]) -> Iterator[_Choice]:
    """Every choice of names; with each, every choice of whole contents, and every content of one file beside whole ones
    of the others.
    """
    ends = {number: tuple({options[0]: None, options[-1]: None}) for number, options in torn.items()}
    for chosen in product(*unsure.values()):
        names = dict(zip(unsure, chosen, strict=True))
        for contents in product(*ends.values()):
            yield names, dict(zip(torn, contents, strict=True))
        for number, options in torn.items():
            newest = {other: found[-1] for other, found in torn.items()}
            for content in options[1:-1]:
                yield names, {**newest, number: content}


def _some(
    unsure: dict[Name, tuple[int, ...]], torn: dict[int, tuple[bytes, ...]], chance: random.Random, most: int
) -> Iterator[_Choice]:
    lost = {name: options[0] for name, options in unsure.items()}
    kept = {name: options[-1] for name, options in unsure.items()}
    synced = {number: options[0] for number, options in torn.items()}
    newest = {number: options[-1] for number, options in torn.items()}
    yield lost, synced
    yield kept, newest
    yield kept, synced
    for name in unsure:
        yield {**lost, name: kept[name]}, newest
        yield {**kept, name: lost[name]}, newest
    for number, options in torn.items():
        for content in options[1:-1]:
            yield kept, {**newest, number: content}
    for _ in range(most):
        yield (
            {name: chance.choice(options) for name, options in unsure.items()},
            {number: chance.choice(options) for number, options in torn.items()},
        )


def _contents(synced: bytes | None, newest: bytes, *, full: bool) -> tuple[bytes, ...]:
    """What may be found of a file: what was synced (an empty file where nothing was) first, the newest last."""
    size = len(newest)
    places = range(size) if full else sorted({1, 16, size // 3, size // 2, size - 16, size - 1} & set(range(size)))
    found = [synced or b""]
    for place in places:
        found += [newest[:place], newest[:place] + bytes(size - place)]
        if synced is not None and len(synced) > place:
            found.append(newest[:place] + synced[place:])
    return tuple(dict.fromkeys([*found, newest]))


def _tree(cut: Cut, names: dict[Name, int], contents: dict[int, bytes]) -> Tree:
    """The files and folders that can be reached from the root."""
    below: dict[int, list[tuple[str, int]]] = {}
    for (folder, name), options in cut.names.items():
        number = names.get((folder, name), options[-1])
        if number:
            below.setdefault(folder, []).append((name, number))
    tree: Tree = {}
    todo = [("", cut.root)]
    while todo:
        place, folder = todo.pop()
        for name, number in below.get(folder, ()):
            path = f"{place}{name}"
            if number in cut.folders:
                tree[path] = None
                todo.append((f"{path}/", number))
            else:
                tree[path] = contents.get(number, cut.contents[number][1])
    return tree


def build(tree: Tree, root: Path) -> Path:
    """Make a real folder of it, which must not exist yet."""
    root.mkdir()
    for path, content in sorted(tree.items()):
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
    return root
