"""Which of several calls are made, with a thread whose end the test decides."""

import pytest

from napari_ctseg.background.threads import LatestCall


class Thread:
    def __init__(self):
        self.ends = []

    def __call__(self, function, on_done, on_error):
        def end():
            try:
                value = function()
            except ZeroDivisionError as error:
                on_error(error)
            else:
                on_done(value)

        self.ends.append(end)

    def end(self):
        self.ends.pop(0)()


@pytest.fixture
def calls():
    thread, errors, done = Thread(), [], []
    return LatestCall(thread, errors.append), thread, errors, done


def test_only_the_last_of_those_that_wait_is_called(calls):
    latest, thread, errors, done = calls
    for number in range(4):
        latest.ask(lambda number=number: number, done.append)
        assert len(thread.ends) == 1 and latest.running
    thread.end()
    assert done == [0] and latest.running
    thread.end()
    assert done == [0, 3] and latest.idle and not thread.ends and not errors


def test_what_waits_can_be_dropped_and_the_running_one_ends(calls):
    latest, thread, _, done = calls
    for number in range(2):
        latest.ask(lambda number=number: number, done.append)
    latest.drop()
    assert not latest.idle
    thread.end()
    assert done == [0] and latest.idle and not thread.ends


def test_an_error_ends_it_and_the_next_call_is_made(calls):
    latest, thread, errors, done = calls
    latest.ask(lambda: 1 / 0, done.append)
    latest.ask(lambda: 5, done.append)
    thread.end()
    assert [type(error) for error in errors] == [ZeroDivisionError] and latest.idle and not done
    latest.ask(lambda: 7, done.append)
    thread.end()
    assert done == [7]


def test_while_one_is_reported_the_next_waits(calls):
    latest, thread, _, _ = calls
    seen = []
    latest.ask(lambda: 1, lambda value: seen.append((latest.running, latest.idle)))
    latest.ask(lambda: 2, lambda value: seen.append((latest.running, latest.idle)))
    thread.end()
    thread.end()
    assert seen == [(False, False), (False, True)]
