import threading

import numpy as np
import pytest
import threadpoolctl

from nfcodec.blas import one_thread_each, single_threaded


def setting():
    return {c["num_threads"] for c in threadpoolctl.threadpool_info() if c["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def _three_threads():
    """What a host program may have chosen."""
    np.dot(np.ones(2), np.ones(2))
    with threadpoolctl.threadpool_limits(limits=3, user_api="blas"):
        if setting() != {3}:
            pytest.skip("the threads of numpy's products cannot be set here")
        yield
        assert setting() == {3}


def test_the_setting_of_a_host_program_comes_back():
    with one_thread_each():
        assert setting() == {1}
        with one_thread_each():
            assert setting() == {1}
        assert setting() == {1}
    assert setting() == {3}
    with pytest.raises(ZeroDivisionError), one_thread_each():
        1 / 0  # noqa: B018
    assert setting() == {3}


def test_the_last_one_who_leaves_puts_it_back():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with one_thread_each():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with one_thread_each():
        thread.start()
        inside.wait(10)
    assert setting() == {1}
    leave.set()
    thread.join()
    assert setting() == {3}


def test_functions():
    @single_threaded
    def function(x, *, y):
        """Its text."""
        return x, y, setting()

    assert function(1, y=2) == (1, 2, {1})
    assert function.__doc__ == "Its text." and setting() == {3}
