"""KITTI's official evaluation of boxes as its description says it: loops over objects, no arrays.

It shares no code with the package. Objects are dictionaries with the words of a label or result
line: `type`, `truncation`, `occlusion`, `box` (left, top, right, bottom), `h`, `w`, `l`, `t` (the
bottom centre), `ry`, and `score` for results.
"""

from __future__ import annotations

import math

MIN_HEIGHT = (40, 25, 25)
MAX_OCCLUSION = (0, 1, 2)
MAX_TRUNCATION = (0.15, 0.3, 0.5)
MIN_OVERLAP = {'Car': 0.7, 'Pedestrian': 0.5, 'Cyclist': 0.5}
NEIGHBOUR = {'Car': 'Van', 'Pedestrian': 'Person_sitting', 'Cyclist': None}
NOTHING = -1e7


def footprint(o):
    """Corners in the plane of x and z, in one sense of turning."""
    c, s = math.cos(o['ry']), math.sin(o['ry'])
    corners = []
    for along, across in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
        a, b = along * o['l'] / 2, across * o['w'] / 2
        corners.append((c * a + s * b + o['t'][0], -s * a + c * b + o['t'][2]))
    return corners if area(corners) > 0 else corners[::-1]


def area(polygon):
    """Signed area."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        total += x0 * y1 - x1 * y0
    return total / 2


def clipped(subject, clip):
    """Sutherland and Hodgman's intersection with a convex polygon."""
    for (ax, ay), (bx, by) in zip(clip, clip[1:] + clip[:1], strict=True):
        result = []
        for p, q in zip(subject, subject[1:] + subject[:1], strict=True):
            side_p = (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax)
            side_q = (bx - ax) * (q[1] - ay) - (by - ay) * (q[0] - ax)
            if side_p >= 0:
                result.append(p)
            if side_p * side_q < 0:
                share = side_p / (side_p - side_q)
                result.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
        subject = result
        if not subject:
            return []
    return subject


def overlap(d, g, view):
    """IoU seen from above, or in space."""
    if math.hypot(d['t'][0] - g['t'][0], d['t'][2] - g['t'][2]) > 20:
        return 0.0
    common = clipped(footprint(d), footprint(g))
    common = area(common) if len(common) > 2 else 0.0
    if view == 'bev':
        return common / (d['l'] * d['w'] + g['l'] * g['w'] - common)
    low, high = min(d['t'][1], g['t'][1]), max(d['t'][1] - d['h'], g['t'][1] - g['h'])
    common *= max(0.0, low - high)
    return common / (d['l'] * d['w'] * d['h'] + g['l'] * g['w'] * g['h'] - common)


def clean(name, level, truth, found):
    """Flags of truth and results, and how many truths are asked for."""
    flags, asked = [], 0
    for g in truth:
        kind = 1 if g['type'] == name else 0 if g['type'] == NEIGHBOUR[name] else -1
        height = g['box'][3] - g['box'][1]
        ignore = (
            g['occlusion'] > MAX_OCCLUSION[level]
            or g['truncation'] > MAX_TRUNCATION[level]
            or height <= MIN_HEIGHT[level]
        )
        if kind == 1 and not ignore:
            flags.append(0)
            asked += 1
        elif kind == 0 or (kind == 1 and ignore):
            flags.append(1)
        else:
            flags.append(-1)
    result_flags = []
    for d in found:
        if int(abs(d['box'][1] - d['box'][3])) < MIN_HEIGHT[level]:
            result_flags.append(1)
        else:
            result_flags.append(0 if d['type'] == name else -1)
    return flags, result_flags, asked


def statistics(name, truth, found, flags, result_flags, view, count_wrong, threshold=0.0):
    """True and false positives, misses, and scores of the true positives."""
    assigned = [False] * len(found)
    below = [count_wrong and d['score'] < threshold for d in found]
    hits, missed, scores = 0, 0, []
    for g, flag in zip(truth, flags, strict=True):
        if flag == -1:
            continue
        index, valid, most, is_ignored = -1, NOTHING, 0.0, False
        for j, d in enumerate(found):
            if result_flags[j] == -1 or assigned[j] or below[j]:
                continue
            o = overlap(d, g, view)
            if o <= MIN_OVERLAP[name]:
                continue
            if not count_wrong and d['score'] > valid:
                index, valid = j, d['score']
            elif count_wrong and (o > most or is_ignored) and result_flags[j] == 0:
                most, index, valid, is_ignored = o, j, 1, False
            elif count_wrong and valid == NOTHING and result_flags[j] == 1:
                index, valid, is_ignored = j, 1, True
        if valid == NOTHING and flag == 0:
            missed += 1
        elif valid != NOTHING and (flag == 1 or result_flags[index] == 1):
            assigned[index] = True
        elif valid != NOTHING:
            hits += 1
            scores.append(found[index]['score'])
            assigned[index] = True
    wrong = 0
    if count_wrong:
        for j in range(len(found)):
            if not (assigned[j] or result_flags[j] in (-1, 1) or below[j]):
                wrong += 1
    return hits, wrong, missed, scores


def thresholds_of(scores, asked):
    """Scores at which the recall is nearest to each of 41 steps."""
    scores = sorted(scores, reverse=True)
    result, current = [], 0.0
    for i, score in enumerate(scores):
        left = (i + 1) / asked
        right = (i + 2) / asked if i < len(scores) - 1 else left
        if right - current < current - left and i < len(scores) - 1:
            continue
        result.append(score)
        current += 1 / 40
    return result


def average_precision(name, level, view, frames):
    """(R40, R11, asked) of frames [(truth, found), ...]."""
    cleaned, scores, total = [], [], 0
    for truth, found in frames:
        flags, result_flags, asked = clean(name, level, truth, found)
        total += asked
        cleaned.append((flags, result_flags))
        scores += statistics(name, truth, found, flags, result_flags, view, False)[3]
    if not total:
        return math.nan, math.nan, 0
    precision = [0.0] * 41
    for t, threshold in enumerate(thresholds_of(scores, total)):
        hits = wrong = 0
        for (truth, found), (flags, result_flags) in zip(frames, cleaned, strict=True):
            one = statistics(name, truth, found, flags, result_flags, view, True, threshold)
            hits, wrong = hits + one[0], wrong + one[1]
        precision[t] = hits / (hits + wrong) if hits + wrong else 0.0
    for t in range(41):
        precision[t] = max(precision[t:])
    return sum(precision[1:]) / 40, sum(precision[::4]) / 11, total
