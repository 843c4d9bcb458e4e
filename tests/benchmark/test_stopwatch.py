"""Parts of a round add up to it, and an inner part is not charged to the outer one."""

import time

import pytest

from hoi_d2.benchmark.stopwatch import CLOCK, CPU, Stopwatch


def test_no_rounds_no_parts():
    assert Stopwatch().averages(CLOCK) == {}


def test_inner_parts_are_taken_off_the_outer_one():
    watch = Stopwatch()
    sleep = watch.timed(time.sleep, "sleep")
    sleep(0.001)  # outside a round: not counted
    for _ in range(3):
        start = time.perf_counter()
        with watch.round("rest"):
            with watch.part("outer"):
                sleep(0.02)
        whole = time.perf_counter() - start
    clock = watch.averages(CLOCK)
    assert list(clock) == ["rest", "outer", "sleep"]
    assert clock["sleep"] >= 0.02 > 0.01 > clock["outer"] >= 0
    assert watch.averages(CPU)["sleep"] < 0.01
    assert sum(watch.rounds[-1][CLOCK].values()) == pytest.approx(whole, abs=0.002)


def test_a_part_that_fails_is_closed():
    watch = Stopwatch()
    with pytest.raises(ZeroDivisionError), watch.round("rest"):
        with watch.part("inner"):
            raise ZeroDivisionError
    with watch.round("rest"):
        pass
    assert len(watch.rounds) == 2 and list(watch.rounds[1][CLOCK]) == ["rest"]


def test_a_part_that_a_round_lacks_took_nothing():
    watch = Stopwatch()
    for number in range(3):
        with watch.round("rest"):
            if number == 0:
                with watch.part("once"):
                    time.sleep(0.001)
    assert watch.averages(CLOCK)["once"] == 0
