"""Parts of a round add up to it, and an inner part is not charged to the outer one."""

import time

import pytest

from hoi_d2.benchmark.stopwatch import CLOCK, CPU, Stopwatch, replaced, shares


def test_no_rounds_no_parts():
    assert Stopwatch().seconds() == {CLOCK: {}, CPU: {}}


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
    clock = watch.seconds()[CLOCK]
    assert list(clock) == ["rest", "outer", "sleep"]
    assert clock["sleep"] >= 0.02 > 0.01 > clock["outer"] >= 0
    assert watch.seconds()[CPU]["sleep"] < 0.01
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
    assert watch.seconds()[CLOCK]["once"] == 0


class Worker:
    def work(self):
        return 3


@pytest.mark.parametrize("own", [False, True])
def test_methods_are_timed_and_put_back(own):
    worker, watch = Worker(), Stopwatch()
    if own:
        worker.work = lambda: 3
    before = dict(vars(worker))
    with pytest.raises(ZeroDivisionError), watch.methods([(worker, "work", "part")]):
        with watch.round("rest"):
            assert worker.work() == 3
        raise ZeroDivisionError
    assert vars(worker) == before and worker.work() == 3
    assert set(watch.seconds()[CLOCK]) == {"rest", "part"}
    with replaced(worker, "work", None):
        assert worker.work is None
    assert vars(worker) == before


def test_shares_add_up_to_one():
    assert shares({"a": 1.0, "b": 3.0}) == {"a": 0.25, "b": 0.75}
