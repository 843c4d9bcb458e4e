"""Starts the processes of a run: one, several on one machine, several machines, or torchrun's own.

detectron2 0.6's `launch` needs CUDA and does not know torchrun; everything after the process group
exists (samplers, evaluators, checkpoints) reads detectron2's `comm`, so this is all it takes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from hoi_d2.utils.compat import create_local_process_group
from hoi_d2.utils.signals import STOP_SIGNALS
from hoi_d2.utils.user_errors import UserError

TIMEOUT = timedelta(minutes=30)


class LaunchError(UserError, ValueError):
    """Processes that cannot be started as asked, or that ended before the run did."""


def launch(
    main: Callable[..., Any],
    *,
    num_gpus: int = 1,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
    args: tuple = (),
) -> Any:
    """Runs `main(*args)` in every process of the run.

    Under torchrun (`LOCAL_RANK` is set) the processes exist already and the other arguments are
    ignored. On a machine without CUDA `num_gpus` counts CPU processes, which talk through gloo.

    Args:
        main: must be importable by name (no lambda) where processes are started.
        num_gpus: processes per machine.
        num_machines: machines of the run; this function is called on each.
        machine_rank: number of this machine, 0-based.
        dist_url: where the processes meet; "auto" takes a free port (one machine only).
        args: arguments of `main`.

    Returns:
        What `main` returned; None where processes were started.

    Raises:
        LaunchError: more processes than GPUs, "auto" with several machines, or a process died.
        SystemExit: of a process that ended with that status.
    """
    if "LOCAL_RANK" in os.environ:
        _join_torchrun()
        return _run_in_group(main, args)
    if num_gpus * num_machines <= 1:
        return main(*args)
    _check_gpus(num_gpus, f"--num-gpus {num_gpus}")
    if not 0 <= machine_rank < num_machines:
        raise LaunchError(f"--machine-rank must be 0 to {num_machines - 1}, got {machine_rank}")
    if dist_url == "auto":
        if num_machines > 1:
            raise LaunchError("--dist-url auto works on one machine only; use tcp://HOST:PORT")
        dist_url = f"tcp://127.0.0.1:{_free_port()}"
    world_size = num_gpus * num_machines
    _spawn(num_gpus, (main, args, num_gpus, machine_rank, world_size, dist_url))
    return None


def _check_gpus(processes: int, asked: str) -> None:
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise LaunchError(f"{asked}, but there are {torch.cuda.device_count()} GPUs here")


def _join_torchrun() -> None:
    local_size = int(os.environ["LOCAL_WORLD_SIZE"])
    _check_gpus(local_size, f"--nproc-per-node {local_size}")
    _take_gpu(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(_backend(), timeout=TIMEOUT)
    _prepare_group(local_size)


def _worker(
    local_rank: int,
    main: Callable[..., Any],
    args: tuple,
    num_gpus: int,
    machine_rank: int,
    world_size: int,
    dist_url: str,
) -> None:
    rank = machine_rank * num_gpus + local_rank
    _take_gpu(local_rank)
    dist.init_process_group(
        _backend(), init_method=dist_url, world_size=world_size, rank=rank, timeout=TIMEOUT
    )
    _prepare_group(num_gpus)
    _run_in_group(main, args)


def _backend() -> str:
    return "nccl" if torch.cuda.is_available() else "gloo"


def _take_gpu(local_rank: int) -> None:
    """Before the group exists: NCCL's first act is on the device that is current then."""
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)


def _prepare_group(local_size: int) -> None:
    create_local_process_group(local_size)
    comm.synchronize()


def _run_in_group(main: Callable[..., Any], args: tuple) -> Any:
    try:
        result = main(*args)
    except SystemExit as end:
        if not end.code:  # a run that was asked to stop and saved its state
            dist.destroy_process_group()
        raise
    # After an error the group is left alone: taking it down waits for the other ranks.
    dist.destroy_process_group()
    return result


def _spawn(num_processes: int, args: tuple) -> None:
    """Starts the processes, hands on the stop signals, and waits."""
    context = mp.start_processes(_worker, args, num_processes, join=False, start_method="spawn")

    def hand_on(signum: int, frame: Any) -> None:
        logging.getLogger(__name__).warning("signal %d: passed on to the workers", signum)
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, signum)

    previous = {number: signal.signal(number, hand_on) for number in STOP_SIGNALS}
    try:
        while not context.join():
            pass
    except mp.ProcessExitedException as error:
        if error.signal_name is None:  # it has said why
            raise SystemExit(error.exit_code) from error
        raise LaunchError(
            f"process {error.error_index} of {num_processes} was ended by {error.signal_name} "
            "(SIGKILL often means that the system ran out of memory); the others were stopped. Use "
            "--resume to continue from the last checkpoint"
        ) from error
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
