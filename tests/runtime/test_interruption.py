import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from mfr.runtime.interruption import Interrupted, Interruption, check, deferred


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_at_once(number: int) -> None:
    with Interruption(), pytest.raises(Interrupted, match=signal.Signals(number).name) as caught:
        os.kill(os.getpid(), number)
        raise AssertionError("went on")
    assert caught.value.number == number


def test_a_deferred_block_is_finished_first() -> None:
    done = []
    with Interruption(), pytest.raises(Interrupted):
        with deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("inside")
        done.append("after")
    assert done == ["inside"]


def test_a_deferred_block_ends_where_it_checks() -> None:
    done = []
    with Interruption(), pytest.raises(Interrupted), deferred():
        check()
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("before")
        check()
        done.append("after")
    assert done == ["before"]


def test_a_deferred_function_inside_a_deferred_block_defers_to_the_end_of_the_block() -> None:
    done = []

    @deferred()
    def interrupted(name: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        done.append(name)

    with Interruption(), pytest.raises(Interrupted):
        with deferred():
            interrupted("first")
            interrupted("second")
        done.append("after")
    with Interruption(), pytest.raises(Interrupted):
        interrupted("alone")
        done.append("after")
    assert done == ["first", "second", "alone"]


def test_a_deferred_block_that_fails_ends_with_its_own_error_and_the_earlier_handlers() -> None:
    with Interruption():
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        with pytest.raises(ZeroDivisionError), deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ZeroDivisionError
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_another_thread_has_nothing_to_defer() -> None:
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(deferred()(str), 5).result() == "5"


def test_a_handler_that_is_not_python_stays() -> None:
    earlier = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with deferred():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, earlier)


def test_the_first_signal_interrupts_and_the_next_do_not() -> None:
    with Interruption():
        with pytest.raises(Interrupted), deferred():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        with deferred():
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_earlier_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
