"""Starts the processes of a run: one, several on one machine, several machines, or torchrun's own.

Where there is a GPU for each process, detectron2's own `launch` starts them. It needs CUDA and does
not know torchrun: the rest is here. Everything after the process group exists (samplers,
evaluators, checkpoints) reads detectron2's `comm`.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.engine import launch as detectron2_launch
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
    device: str = "cuda",
    share_gpus: bool = False,
    args: tuple = (),
) -> Any:
    """Runs `main(*args)` in every process of the run.

    Under torchrun (`LOCAL_RANK` is set) the processes exist already and the other arguments are
    ignored. On a CPU `num_gpus` counts processes, which communicate through gloo.

    Args:
        main: must be importable by name (no lambda) where processes are started.
        num_gpus: processes per machine.
        num_machines: machines of the run; this function is called on each.
        machine_rank: number of this machine, 0-based.
        dist_url: where the processes meet; "auto" takes a free port (one machine only).
        device: of the model, as `MODEL.DEVICE`; on a machine without CUDA it is the CPU.
        share_gpus: more processes than GPUs are allowed; they communicate through gloo. For tests:
            it is slower than one process.
        args: arguments of `main`.

    Returns:
        What `main` returned; None where processes were started.

    Raises:
        LaunchError: more processes than GPUs, "auto" with several machines, or a process died.
        SystemExit: of a process that ended with that status.
    """
    gpus = _gpus(device)
    if "LOCAL_RANK" in os.environ:
        _join_torchrun(gpus)
        return _run_in_group(main, args)
    if num_gpus * num_machines <= 1:
        return main(*args)
    if not share_gpus:
        _check_gpus(gpus, num_gpus, f"--num-gpus {num_gpus}")
    if not 0 <= machine_rank < num_machines:
        raise LaunchError(f"--machine-rank must be 0 to {num_machines - 1}, got {machine_rank}")
    url = _meeting_place(dist_url, num_machines)
    with _stoppable(num_gpus):
        if gpus >= num_gpus:
            of_run = (num_gpus, num_machines, machine_rank, url)
            detectron2_launch(_run_in_group, *of_run, args=(main, args), timeout=TIMEOUT)
        else:
            world_size = num_gpus * num_machines
            of_worker = (main, args, num_gpus, machine_rank, world_size, url, gpus)
            mp.start_processes(_worker, of_worker, num_gpus, start_method="spawn")
    return None


def _meeting_place(dist_url: str, num_machines: int) -> str:
    """The address at which the processes find each other."""
    if dist_url != "auto":
        return dist_url
    if num_machines > 1:
        raise LaunchError("--dist-url auto works on one machine only; use tcp://HOST:PORT")
    return f"tcp://127.0.0.1:{_free_port()}"


def backend(device: str, processes: int) -> str:
    """What carries the gradients of several processes on this machine: "nccl" or "gloo"."""
    return "nccl" if _gpus(device) >= processes else "gloo"


def _gpus(device: str) -> int:
    """GPUs that a run on this device may use."""
    return torch.cuda.device_count() if device.startswith("cuda") else 0


def _check_gpus(gpus: int, processes: int, asked: str) -> None:
    if 0 < gpus < processes:
        raise LaunchError(f"{asked}, but there are {gpus} GPUs here")


def _join_torchrun(gpus: int) -> None:
    local_size = int(os.environ["LOCAL_WORLD_SIZE"])
    _check_gpus(gpus, local_size, f"--nproc-per-node {local_size}")
    _take_gpu(int(os.environ["LOCAL_RANK"]), gpus)
    dist.init_process_group("nccl" if gpus else "gloo", timeout=TIMEOUT)
    _prepare_group(local_size)


def _worker(
    local_rank: int,
    main: Callable[..., Any],
    args: tuple,
    num_gpus: int,
    machine_rank: int,
    world_size: int,
    dist_url: str,
    gpus: int,
) -> None:
    """A process that has no GPU of its own."""
    rank = machine_rank * num_gpus + local_rank
    _take_gpu(local_rank, gpus)
    dist.init_process_group(
        "gloo", init_method=dist_url, world_size=world_size, rank=rank, timeout=TIMEOUT
    )
    _prepare_group(num_gpus)
    _run_in_group(main, args)


def _take_gpu(local_rank: int, gpus: int) -> None:
    """Before the group exists: NCCL's first act is on the device that is current then."""
    if gpus:
        torch.cuda.set_device(local_rank % gpus)


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


@contextmanager
def _stoppable(num_processes: int) -> Iterator[None]:
    """Hands the stop signals on to the processes that are started in it, and says why one died."""

    def hand_on(signum: int, frame: Any) -> None:
        logging.getLogger(__name__).warning("signal %d: passed on to the workers", signum)
        for process in multiprocessing.active_children():
            if process.pid is not None:
                os.kill(process.pid, signum)

    previous = {number: signal.signal(number, hand_on) for number in STOP_SIGNALS}
    try:
        yield
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
