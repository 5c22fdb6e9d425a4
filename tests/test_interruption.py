import os
import signal

import pytest

from mfr.interruption import Interrupted, Interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_at_once(number: int) -> None:
    with Interruption(), pytest.raises(Interrupted, match=signal.Signals(number).name) as caught:
        os.kill(os.getpid(), number)
        raise AssertionError("went on")
    assert caught.value.number == number


def test_a_deferred_block_is_finished_first() -> None:
    done = []
    with Interruption() as interruption, pytest.raises(Interrupted):
        with interruption.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("inside")
        done.append("after")
    assert done == ["inside"]


def test_a_deferred_block_ends_where_it_checks() -> None:
    done = []
    with Interruption() as interruption, pytest.raises(Interrupted), interruption.deferred():
        interruption.check()
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("before")
        interruption.check()
        done.append("after")
    assert done == ["before"]


def test_the_first_signal_interrupts_and_the_next_do_not() -> None:
    with Interruption() as interruption:
        with pytest.raises(Interrupted), interruption.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        with interruption.deferred():
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_earlier_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
