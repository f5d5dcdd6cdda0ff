"""Rows are grouped by what they begin with where that saves more than a group costs."""

import random

from prompteol.inference.shared_prefixes import group_by_prefix

HEAD = list(range(100, 130))


def rows_behind(head, count, seed=0):
    chance = random.Random(seed)
    return [[*head, *(chance.randrange(50) for _ in range(chance.randrange(1, 9)))] for _ in range(count)]


def cost(rows, groups):
    return sum(len(prefix) + sum(len(rows[place]) - len(prefix) for place in places) for prefix, places in groups)


def check(rows, groups):
    assert sorted(place for _, places in groups for place in places) == list(range(len(rows)))
    for prefix, places in groups:
        assert all(tuple(rows[place][: len(prefix)]) == prefix and len(rows[place]) > len(prefix) for place in places)


def test_one_head():
    rows = rows_behind(HEAD, 20)
    groups = group_by_prefix(rows)
    check(rows, groups)
    assert [len(prefix) for prefix, _ in groups] == [30]


def test_nothing_shared_and_too_little():
    for rows in (rows_behind([], 40), rows_behind([7, 8], 20), [[1], [2, 3]], [[5]], [[1, 2, 3]] * 2, []):
        groups = group_by_prefix(rows)
        check(rows, groups)
        assert all(prefix == () for prefix, _ in groups)


def test_two_queries_behind_one_instruction():
    queries = [[*HEAD, *([number] * 25)] for number in (1, 2)]
    rows = rows_behind(queries[0], 10) + rows_behind(queries[1], 10, seed=1) + [[3, 4, 5], [*HEAD, 60]]
    groups = group_by_prefix(rows)
    check(rows, groups)
    assert sorted(len(prefix) for prefix, _ in groups) == [0, 55, 55]
    assert cost(rows, groups) < cost(rows, [((), list(range(len(rows))))]) / 4


def test_prefixes_that_extend_each_other_without_end():
    rows = [[1] * length for length in range(1, 2000)]
    check(rows, group_by_prefix(rows))


def test_equal_rows_leave_a_token_each():
    rows = [HEAD] * 5
    groups = group_by_prefix(rows)
    check(rows, groups)
    assert groups[0][0] == tuple(HEAD[:-1])
