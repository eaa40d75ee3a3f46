"""Oracles: the lines that a person should read, written out; the events of a step, counted by hand.

Steps are timed with the pauses between lines shortened to hundredths of a second.
"""

from __future__ import annotations

import io
import logging
import time

import pytest
from rich.console import Console

from nestvec import progress
from nestvec.errors import InputError
from nestvec.progress import (
    BarReporter,
    LineReporter,
    PartReporter,
    ProgressEvent,
    Silent,
    describe_progress,
    foresee,
    format_duration,
    format_rough,
    make_reporter,
)


def console(**options):
    return Console(file=io.StringIO(), width=100, highlight=False, **options)


@pytest.fixture
def hurried(monkeypatch):
    """Lines as often as every two hundredths of a second."""
    monkeypatch.setattr(progress, "BEGIN_SECONDS", 0.02)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.02)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (130, "2 min 10 s"),
     (3599.6, "1 h 00 min"), (3900, "1 h 05 min"), (90_000, "25 h 00 min")],
)  # fmt: skip
def test_durations_are_said_as_a_person_says_them(seconds, said):
    assert format_duration(seconds) == said


def test_how_far_a_step_is():
    assert describe_progress(0, 1, 31) == "running for 31 s"
    assert describe_progress(0, 400, 31) == "0 of 400 after 31 s"
    assert describe_progress(1200, 4000, 60) == "1,200 of 4,000, 2 min 20 s left"
    assert describe_progress(5, 4, 10) == "5 of 4, 0.0 s left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "less than a minute"), (60, "less than a minute"), (61, "about 2 min"), (890, "about 15 min"),
     (901, "about 20 min"), (3500, "about 1 h"), (3601, "about 1 h 10 min"), (4800, "about 1 h 20 min"),
     (90_000, "about 25 h")],
)  # fmt: skip
def test_estimates_are_rounded_up(seconds, said):
    assert format_rough(seconds) == said


def test_how_long_the_whole_run_takes():
    def unknown_before_the_first(share, seconds):
        return None if share == 0 else 600 - seconds

    assert describe_progress(0, 400, 31, unknown_before_the_first) == "0 of 400 after 31 s"
    told = describe_progress(100, 400, 30, unknown_before_the_first)
    assert told == "100 of 400, 1 min 30 s left; whole run: about 10 min left"
    assert describe_progress(0, 1, 31, lambda *_: 90.0) == "running for 31 s; whole run: about 2 min left"


def test_parts_of_the_work_tell_of_the_whole(hurried):
    shown = console()
    reporter = LineReporter(shown)
    part = PartReporter(reporter, "fold 1 of 2")
    with foresee(part, lambda share, seconds: 1000 * (1 - share)), part.step("train mnr", 4) as advance:
        advance(1)
        time.sleep(0.1)
    with part.step("train mnr", 4):
        time.sleep(0.1)
    first, _, second = shown.file.getvalue().partition("done in")
    assert "left; whole run: about 13 min left\n" in first
    assert "whole run" not in second


def test_a_reporter_of_the_user_s_own_is_left_as_it_is():
    class Own:
        def say(self, text): ...

        def step(self, label, total): ...

    own = Own()
    with foresee(own, lambda share, seconds: 1.0):
        assert vars(own) == {}


def test_bars_tell_of_the_whole():
    shown = console(force_terminal=True)
    reporter = BarReporter(shown)
    with foresee(reporter, lambda share, seconds: 1000 * (1 - share)), reporter.step("train mnr", 4) as advance:
        reporter._bars.refresh()
        before = shown.file.getvalue()
        advance(1)
        reporter._bars.refresh()
    assert "run:" not in before
    assert "run: about 13 min left" in shown.file.getvalue()


def test_a_step_that_never_advances_is_heard_of(hurried):
    shown = console()
    with LineReporter(shown).step("train mnr", 400):
        time.sleep(0.2)
    begin, *between, end = shown.file.getvalue().splitlines()
    assert begin == "train mnr …"
    assert between and set(between) <= {f"train mnr: 0 of 400 after 0.{tenth} s" for tenth in range(10)}
    assert end.startswith("train mnr: done in 0.")


def test_a_step_says_how_far_it_is(hurried):
    shown = console()
    with LineReporter(shown).step("train mnr", 400) as advance:
        advance(100)
        advance(100)
        time.sleep(0.1)
    assert "\ntrain mnr: 200 of 400, 0." in shown.file.getvalue()


def test_a_short_step_says_only_that_it_is_done():
    shown = console()
    reporter = LineReporter(shown)
    reporter.say("298 records [bold]")
    with reporter.step("read", 1):
        pass
    assert shown.file.getvalue() == "298 records [bold]\nread: done in 0.0 s\n"


def test_a_step_that_fails_is_not_done():
    shown = console()
    with pytest.raises(ValueError, match="broken"), LineReporter(shown).step("read", 1):
        raise ValueError("broken")
    assert shown.file.getvalue() == ""


def test_bars_are_drawn_below_the_lines_and_gone_at_the_end():
    shown = console(force_terminal=True)
    reporter = BarReporter(shown)
    for label in ("train mnr", "train graded"):  # the second after the first is gone
        with reporter.step(label, 4) as advance, reporter.step(f"within {label}", 2) as advance_within:
            advance(3)
            advance_within(1)
            reporter.say(f"a fact of {label}")
            reporter._bars.refresh()
    drawn = shown.file.getvalue()
    for label in ("train mnr", "train graded"):
        assert f"a fact of {label}\n" in drawn
        assert label in drawn and f"within {label}" in drawn
    assert "3/4" in drawn and "1/2" in drawn
    after = drawn.rpartition("\x1b[0m")[2]  # the last bar
    assert after.count("\x1b[2K") == 2  # both lines are made empty
    assert "\n" not in after


@pytest.mark.parametrize(
    ("options", "widgets", "kind"),
    [({}, True, LineReporter), ({"force_terminal": True}, False, BarReporter),
     ({"force_jupyter": True}, True, BarReporter), ({"force_jupyter": True}, False, LineReporter)],
)  # fmt: skip
def test_a_bar_where_one_can_be_drawn(monkeypatch, options, widgets, kind):
    monkeypatch.setattr(progress, "find_spec", lambda name: name if widgets else None)
    assert type(make_reporter(True, console(**options))) is kind


def test_a_callback_gets_every_advance_and_every_fact():
    events = []
    reporter = make_reporter(events.append)
    reporter.say("298 records")
    with reporter.step("train mnr", 5) as advance:
        advance(2)
        advance(3)
    assert events == [
        ProgressEvent("", 0, 0, "298 records"),
        ProgressEvent("train mnr", 0, 5),
        ProgressEvent("train mnr", 2, 5),
        ProgressEvent("train mnr", 5, 5),
    ]


def test_what_a_callback_raises_stops_the_work():
    def stop(event):
        if event.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), make_reporter(stop).step("train mnr", 5) as advance:
        advance(1)


@pytest.mark.parametrize("make", [Silent, lambda: LineReporter(console()), lambda: make_reporter(lambda event: None)])
def test_every_reporter_logs(make, caplog):
    caplog.set_level(logging.INFO, "nestvec.progress")
    reporter = make()
    reporter.say("100 % of 298 records")
    with reporter.step("train mnr", 5):
        pass
    said, begin, end = caplog.messages
    assert (said, begin) == ("100 % of 298 records", "train mnr: begins, 5 to do")
    assert end.startswith("train mnr: done in 0.")


def test_what_is_asked_for(monkeypatch):
    assert type(make_reporter(False)) is Silent
    told = Silent()
    assert make_reporter(told) is told
    for wrong in (None, 1, "yes"):
        with pytest.raises(InputError, match="progress is"):
            make_reporter(wrong)
    monkeypatch.setenv("RANK", "1")
    assert type(make_reporter(True)) is Silent
    assert type(make_reporter(print)) is Silent
