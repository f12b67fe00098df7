"""A run in this process, or shared by several that each take some of the entities."""

from __future__ import annotations

import multiprocessing as mp
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from threading import BrokenBarrierError
from typing import Any

from generators.run import Producing, Run
from generators.tally import Tally, together
from streaming.errors import ServiceError, TidemarkError

_PATIENCE = 120
"""Seconds for every process to build its population and connect."""


def carry_out(
    run: Run,
    processes: int = 1,
    show: Callable[[Tally], None] = lambda tally: None,
    asked: Callable[[], bool] = lambda: False,
) -> Tally:
    """Runs to the end, or until `asked` or (in the main thread) SIGINT or SIGTERM; what was sent by then
    is waited for.

    `show` is given the running tally a few times a second. Raises ServiceError when no broker answers,
    a topic is missing or a process dies.
    """
    with _signalled() as signalled:

        def stop() -> bool:
            return signalled() or asked()

        if processes == 1:
            tally = Tally()
            for tally in Producing(run).go(stop):
                show(tally)
            return tally
        return _share_out(run, processes, show, stop)


@contextmanager
def _signalled() -> Iterator[Callable[[], bool]]:
    """A function that tells whether a signal has asked this process to stop."""
    received: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, _: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _share_out(run: Run, processes: int, show: Callable[[Tally], None], stop: Callable[[], bool]) -> Tally:
    context = mp.get_context("spawn")
    together_now, halt = context.Barrier(processes), context.Event()
    tallies: dict[int, Tally] = {number: Tally() for number in range(processes)}
    pipes: dict[Connection, int] = {}
    workers = []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        shard = (number, processes)
        workers.append(
            context.Process(target=_work, args=(run, shard, together_now, halt, theirs), daemon=True)
        )
        workers[-1].start()
        theirs.close()
        pipes[ours] = number
    while pipes:
        if stop():
            halt.set()
        ready = wait(list(pipes), timeout=0.2)
        for pipe in [p for p in pipes if p in ready]:
            number = pipes[pipe]
            try:
                tallies[number] = pipe.recv()
            except EOFError:
                del pipes[pipe]
                if not tallies[number].finished:
                    halt.set()
                    tallies[
                        number
                    ].error = (
                        f"producer process {number} died: what it had sent is not accounted for; run again"
                    )
        show(together(list(tallies.values())))
    for worker in workers:
        worker.join()
    whole = together(list(tallies.values()))
    if whole.error:
        raise ServiceError(whole.error)
    return whole


def _work(run: Run, shard: tuple[int, int], together_now: Any, halt: Any, pipe: Connection) -> None:
    """One process: starts when all are ready, leaves Ctrl-C to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        producing = Producing(run, shard)
        together_now.wait(_PATIENCE)
        for tally in producing.go(halt.is_set):
            pipe.send(tally)
    except BrokenBarrierError:
        pipe.send(Tally(finished=True))
    except TidemarkError as error:
        together_now.abort()
        pipe.send(Tally(finished=True, error=str(error)))
