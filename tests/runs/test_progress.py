"""The progress display: lines without a terminal, bars on one, and a stream that fails without the run noticing."""

import io
import os
import pty
import threading

import pytest
from lightning_utilities.core.rank_zero import rank_zero_only
from rich.console import Console

from aal.runs import progress as module
from aal.runs.progress import Progress, quiet


class Clock:
    """A clock that goes only when told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run_rounds(progress: Progress, clock: Clock, seconds: float, start: int = 20, total: int = 520) -> None:
    rounds = progress.rounds(total)
    for index, labels in enumerate(range(start, total + 1)):
        clock.now += seconds
        rounds.epoch(3)
        rounds.update(labels, index, 0.5)
    rounds.done()
    rounds.done()
    progress.stop()


def test_fast_rounds_leave_few_lines_and_always_the_last(clock: Clock) -> None:
    stream = io.StringIO()
    run_rounds(Progress(stream), clock, seconds=0.03)  # 501 rounds in 15 s: at 0, 5, 10 and 15 s
    lines = stream.getvalue().splitlines()
    assert lines[0] == "round 0: 20/520 labels, accuracy 0.500"
    assert lines[-1] == "round 500: 520/520 labels, accuracy 0.500, took 0:00:15"
    assert len(lines) == 4


def test_slow_rounds_leave_a_line_each(clock: Clock) -> None:
    stream = io.StringIO()
    run_rounds(Progress(stream), clock, seconds=6, total=30)
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == [f"round {i}" for i in range(11)]


def test_last_round_is_told_when_the_rounds_end_early(clock: Clock) -> None:
    stream = io.StringIO()
    rounds = Progress(stream).rounds(520)
    for labels in (20, 21, 22):
        rounds.update(labels, labels - 20, None)
    rounds.done()
    assert stream.getvalue().splitlines() == ["round 0: 20/520 labels", "round 2: 22/520 labels, took 0:00:00"]


def test_time_left_counts_only_labels_of_this_process(clock: Clock) -> None:
    stream = io.StringIO()
    rounds = Progress(stream).rounds(500)
    for labels in (401, 402):  # a resumed run: 10 s a label, and 98 to go
        clock.now += 10
        rounds.update(labels, labels - 20, 0.9)
    assert stream.getvalue().splitlines()[-1] == "round 382: 402/500 labels, accuracy 0.900, 0:16:20 left"


def test_time_left_follows_the_recent_rounds(clock: Clock) -> None:
    stream = io.StringIO()
    rounds = Progress(stream).rounds(1000)
    for labels in range(1, 301):
        clock.now += 1 if labels < 200 else 10
        rounds.update(labels, labels, None)
    clock.now += 10
    rounds.update(301, 301, None)
    assert stream.getvalue().splitlines()[-1].endswith(f"{module.clock(699 * 10)} left")


def test_task_leaves_lines_only_if_it_takes_a_while(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.task("encoding pool", 100) as task:
        task.advance(50)
        clock.now += 0.5
        task.advance(50)
    assert stream.getvalue() == ""
    with progress.task("crafting [poisons]", 40) as task:
        for _ in range(4):
            clock.now += 2
            task.advance(10)
    assert stream.getvalue().splitlines() == [
        "crafting [poisons]: 10/40, 0:00:06 left",
        "crafting [poisons]: 40/40, took 0:00:08",
    ]


def on_terminal(monkeypatch: pytest.MonkeyPatch, clock: Clock, encoding: str = "utf-8", **environment: str) -> str:
    """Run tasks and rounds on a pseudo-terminal and return all that was written to it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    master, slave = pty.openpty()
    seen = bytearray()

    def read() -> None:
        try:
            while data := os.read(master, 65536):
                seen.extend(data)
        except OSError:  # the other end was closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w", encoding=encoding) as stream:
        progress = Progress(stream)
        threads = threading.active_count()
        rounds = progress.rounds(30)
        for labels in (20, 25, 30):
            with progress.task("encoding [pool]", 10) as task:
                clock.now += 2
                task.advance(5)
            clock.now += 2
            rounds.update(labels, labels // 5, 0.25)
        assert threading.active_count() == threads, "bars are drawn without a thread"
        rounds.done()
        progress.stop()
        late = progress.task("late", 1)
        progress.stop()
        late.advance(1)
        late.done()
    reader.join()
    os.close(master)
    return seen.decode(encoding)


def test_terminal_shows_nested_bars_and_is_left_sound(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    text = on_terminal(monkeypatch, clock)
    assert "\u2501" in text
    assert "round 5: 25/30 labels, accuracy 0.250, 0:00:04 left" in text
    assert "encoding [pool]" in text
    assert "5/10, 0:00:02 left" in text
    assert "\x1b[?25l" not in text, "the cursor was hidden, and a killed run could not show it again"
    assert "encoding [pool]:" not in text, "tasks inside the rounds leave no line"
    assert "round 6: 30/30 labels, accuracy 0.250, took 0:00:12" in text


def test_terminal_without_utf8_or_colour(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    text = on_terminal(monkeypatch, clock, encoding="ascii", NO_COLOR="1")
    assert "round 5: 25/30 labels" in text
    assert "-----" in text
    assert "\x1b[9" not in text, "a colour"
    assert "\x1b[3" not in text, "a colour"


def test_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    text = on_terminal(monkeypatch, clock, TERM="dumb")
    assert "\x1b" not in text
    assert "round 6: 30/30 labels" in text


def test_terminal_that_goes_away_gives_the_streams_back(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    stream = os.fdopen(slave, "w")
    progress = Progress(stream)
    rounds = progress.rounds(30)
    before = module.sys.stderr
    os.close(master)  # from here on the terminal answers with an error
    run_rounds(progress, clock, seconds=1, total=30)
    rounds.done()
    assert type(before).__name__ == "FileProxy"
    assert type(module.sys.stderr).__name__ != "FileProxy"


def test_broken_streams_are_no_error(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    reading, writing = os.pipe()
    broken = os.fdopen(writing, "w")
    os.close(reading)
    closed = io.StringIO()
    shut = Progress(closed)
    closed.close()
    monkeypatch.setattr(module.sys, "stderr", None)
    for progress in (Progress(broken), Progress(closed), shut, Progress(), quiet()):
        run_rounds(progress, clock, seconds=6, total=30)
    with pytest.raises(BrokenPipeError):
        broken.close()


def test_only_rank_zero_shows(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    stream = io.StringIO()
    run_rounds(Progress(stream), clock, seconds=6, total=30)
    assert stream.getvalue() == ""


def test_what_is_remarked_is_cut_before_the_time_left(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    progress = Progress(stream)
    rounds = progress.rounds(1000)
    for labels in (150, 250):
        clock.now += 10
        rounds.update(labels, 12, 0.912, "12 of 50 poisons queried, 3 labels flipped")
    shown = Console(width=80, file=io.StringIO())
    shown.print(progress.bars.get_renderable())
    assert shown.file.getvalue().count("\n") == 1
    assert shown.file.getvalue().startswith("rounds \u2501")
    assert "round 12: 250/1000 labels, accuracy 0.912, 0:01:15 left" in shown.file.getvalue()
