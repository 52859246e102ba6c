"""Who is who: the pairs of greatest total worth, each side used once."""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from edgemass.tensors import IntArray

MAX_EXACT = 3000  # pairs of one knot: some hundredths of a second. A crowd of 200 makes knots of dozens

FEW = 8  # pairs that are sooner looked at one by one than all at once

_Edges = dict[int, list[tuple[int, float]]]  # left -> (right, worth)


def assign(left: IntArray, right: IntArray, worth: NDArray[np.float64]) -> tuple[IntArray, IntArray]:
    """Choose pairs so that no left and no right occurs twice and the sum of what they are worth is greatest.

    left, right: int64 (p,), small numbers from 0 on, each pair once; worth: float64 (p,), above 0.

    Exact, but for knots of more than MAX_EXACT pairs, each of which hangs together with all others of it: there the
    pair that is worth most goes first, since nothing on this earth can be told apart in such a heap.

    Returns:
        left and right of the pairs chosen.
    """
    chosen: list[tuple[IntArray, IntArray]] = []
    if len(left) > FEW:
        alone = (np.bincount(left)[left] == 1) & (np.bincount(right)[right] == 1)
        chosen.append((left[alone], right[alone]))
        others = ~alone
        left, right, worth = left[others], right[others], worth[others]
    while len(left) > FEW:
        sure = _sure(left, right, worth)
        if not sure.any():
            break
        chosen.append((left[sure], right[sure]))
        rest = ~(_among(left, left[sure]) | _among(right, right[sure]))
        left, right, worth = left[rest], right[rest], worth[rest]
    pairs = [pair for knot in _knots(left, right, worth) for pair in _solve(knot)]
    if pairs:
        solved = np.array(pairs, np.int64)
        chosen.append((solved[:, 0], solved[:, 1]))
    if not chosen:
        return left, right
    if len(chosen) == 1:
        return chosen[0]
    return np.concatenate([one for one, _ in chosen]), np.concatenate([other for _, other in chosen])


def _sure(left: IntArray, right: IntArray, worth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pairs that belong to the best choice whatever the others do.

    They are worth more than the next best of their left and the next best of their right together.
    """
    order = np.argsort(worth, kind="stable")
    leads, next_best = _leads(left, worth, order)
    leads_right, next_best_right = _leads(right, worth, order)
    sure: NDArray[np.bool_] = leads & leads_right & (worth > next_best + next_best_right)
    return sure


def _leads(
    side: IntArray, worth: NDArray[np.float64], order: IntArray
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """For each pair whether it is the best of its side, and what the best but one there is worth; 0 for none.

    order: the pairs by what they are worth, ascending: of those written to one place, the last stays.
    """
    most = int(side.max()) + 1
    best = np.empty(most, np.int64)
    best[side[order]] = order
    leads = np.zeros(len(side), np.bool_)
    leads[best[side]] = True
    others = order[~leads[order]]
    next_best = np.zeros(most)
    next_best[side[others]] = worth[others]
    return leads, next_best[side]


def _among(values: IntArray, chosen: IntArray) -> NDArray[np.bool_]:
    marked = np.zeros(int(values.max()) + 1, np.bool_)
    marked[chosen] = True
    return marked[values]


def _knots(left: IntArray, right: IntArray, worth: NDArray[np.float64]) -> list[_Edges]:
    """The pairs by what hangs together."""
    edges: _Edges = defaultdict(list)
    back: dict[int, list[int]] = defaultdict(list)
    for one, other, value in zip(left.tolist(), right.tolist(), worth.tolist(), strict=True):
        edges[one].append((other, value))
        back[other].append(one)
    knots: list[_Edges] = []
    seen: set[int] = set()
    for start in edges:
        if start in seen:
            continue
        seen.add(start)
        todo, knot = [start], {}
        while todo:
            one = todo.pop()
            knot[one] = edges[one]
            near = dict.fromkeys(neighbour for other, _ in edges[one] for neighbour in back.pop(other, ()))
            todo += [neighbour for neighbour in near if neighbour not in seen]
            seen.update(near)
        knots.append(knot)
    return knots


def _solve(knot: _Edges) -> list[tuple[int, int]]:
    """The best pairs of one knot."""
    if len(knot) == 1:
        ((one, options),) = knot.items()
        return [(one, max(options, key=lambda option: option[1])[0])]
    if len(knot) == 2:
        return _two(knot)
    if sum(len(options) for options in knot.values()) > MAX_EXACT:
        return _greedy(knot)
    return _shortest_paths(knot)


def _two(knot: _Edges) -> list[tuple[int, int]]:
    """Of two lefts, by trying all there is: most knots are of two."""
    (one, options), (other, other_options) = knot.items()
    best = [
        max((value, -right, one) for right, value in options),
        max((v, -right, other) for right, v in other_options),
    ]
    if best[0][1] != best[1][1]:
        return [(left, -right) for _, right, left in best]
    contested = -best[0][1]
    spare = max(((value, right) for right, value in options if right != contested), default=(0.0, -1))
    other_spare = max(((value, right) for right, value in other_options if right != contested), default=(0.0, -1))
    stays = best[0][0] + other_spare[0] >= best[1][0] + spare[0]
    found = [(one, contested), (other, other_spare[1])] if stays else [(one, spare[1]), (other, contested)]
    return [(left, right) for left, right in found if right >= 0]


def _greedy(knot: _Edges) -> list[tuple[int, int]]:
    pairs = sorted((-value, one, other) for one, options in knot.items() for other, value in options)
    taken: dict[int, int] = {}
    used: set[int] = set()
    for _, one, other in pairs:
        if one not in taken and other not in used:
            taken[one] = other
            used.add(other)
    return list(taken.items())


def _shortest_paths(knot: _Edges) -> list[tuple[int, int]]:
    """Successive shortest augmenting paths with potentials (Jonker and Volgenant, 1987), over the pairs there are.

    To stay alone costs `most`, a pair `most` less what it is worth: so that every left takes one of its options, and
    the least cost is the greatest worth. A left stays alone by a right of its own, numbered -1 - left.
    """
    most = max(value for options in knot.values() for _, value in options)
    costs = {
        one: [*((other, most - value) for other, value in options), (-1 - one, most)] for one, options in knot.items()
    }
    potential: dict[int, float] = defaultdict(float)  # of each right
    owner: dict[int, int] = {}  # right -> left
    paid: dict[int, float] = {}  # left -> cost of the pair that it has
    for start in costs:
        reached: dict[int, float] = {}
        settled: dict[int, float] = {}
        came_from: dict[int, int] = {}
        heap: list[tuple[float, int]] = []
        one, so_far = start, 0.0
        while True:
            held = paid[one] if one != start else 0.0
            for other, cost in costs[one]:
                way = so_far + cost - held - potential[other]
                if other not in settled and way < reached.get(other, np.inf):
                    reached[other] = way
                    came_from[other] = one
                    heappush(heap, (way, other))
            while True:
                so_far, nearest = heappop(heap)
                if nearest not in settled:
                    break
            settled[nearest] = so_far
            if nearest not in owner:
                break
            one = owner[nearest]
        for other, way in settled.items():
            potential[other] += way - so_far
        _turn(owner, came_from, nearest, start)
        for other in settled:
            one = owner[other]
            paid[one] = next(cost for name, cost in costs[one] if name == other) - potential[other]
    return sorted((one, other) for other, one in owner.items() if other >= 0)


def _turn(owner: dict[int, int], came_from: dict[int, int], last: int, start: int) -> None:
    """Give each right on the path to the left that came to it."""
    holds = {one: other for other, one in owner.items()}
    while True:
        one = came_from[last]
        owner[last] = one
        if one == start:
            return
        last = holds[one]
