"""The filter's program, run on a small interpreter of the kernel's filter language."""

import errno
import mmap
import os
import platform
import re
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.video import seccomp
from mover_ray.video.system_calls import (
    ALLOWED,
    FATAL,
    FIRST_NEW,
    MAPPINGS,
    SIGNALS,
    CallTable,
    Machine,
)

PROCESS = 4711
MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}
ALLOW = "allow"
KILL = "kill"

machines = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def verdict(machine: Machine, number: int, *arguments: int, arch: int | None = None) -> str | int:
    """Gives `allow`, `kill` or the error number that the filter answers a call with."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    arch = machine.audit_arch if arch is None else arch
    data = struct.pack("<iIQ6Q", number, arch, 0, *(value % 2**64 for value in values))
    program = seccomp.build_filter(machine, PROCESS)
    position, loaded = 0, 0
    while True:
        code, if_true, if_false, operand = struct.unpack("HBBI", program[position])
        position += 1
        if code == 0x06:
            known = {0x7FFF0000: ALLOW, 0x80000000: KILL}
            return known.get(operand) or operand - 0x50000
        if code == 0x20:
            (loaded,) = struct.unpack_from("<I", data, operand)
            continue
        holds = {0x15: loaded == operand, 0x35: loaded >= operand, 0x45: bool(loaded & operand)}
        position += if_true if holds[code] else if_false


@machines
def test_each_table_has_its_verdict(machine: Machine) -> None:
    assert {verdict(machine, number) for number in machine.numbers(ALLOWED)} == {ALLOW}
    assert {verdict(machine, number) for number in machine.numbers(FATAL)} == {KILL}


@machines
def test_signals_go_to_the_own_process_alone(machine: Machine) -> None:
    for number in machine.numbers(SIGNALS):
        assert verdict(machine, number, PROCESS, 6) == ALLOW
        for other in (PROCESS + 1, 0, 1, -1, -PROCESS):
            assert verdict(machine, number, other, 6) == errno.EPERM


@machines
def test_no_memory_becomes_executable(machine: Machine) -> None:
    for number in machine.numbers(MAPPINGS):
        assert verdict(machine, number, 0, 4096, mmap.PROT_READ | mmap.PROT_WRITE) == ALLOW
        assert verdict(machine, number, 0, 4096, mmap.PROT_READ | mmap.PROT_EXEC) == errno.EPERM


@machines
@given(number=st.integers(0, FIRST_NEW - 1), arguments=st.lists(st.integers(0, 2**64 - 1)))
def test_what_stands_in_no_table_is_refused(
    machine: Machine, number: int, arguments: list[int]
) -> None:
    tables = (ALLOWED, FATAL, SIGNALS, MAPPINGS)
    if not any(number in machine.numbers(table) for table in tables):
        assert verdict(machine, number, *arguments[:6]) == errno.EPERM


@machines
def test_newer_calls_seem_not_to_exist(machine: Machine) -> None:
    # The last one has the bit that marks calls of x86_64's 32-bit twin.
    for number in (FIRST_NEW, 2**20, 0x40000000):
        assert verdict(machine, number) == errno.ENOSYS


@machines
def test_another_calling_convention_is_fatal(machine: Machine) -> None:
    i386 = 0x40000003
    assert verdict(machine, machine.numbers(ALLOWED)[0], arch=i386) == KILL


def test_no_call_stands_in_two_tables() -> None:
    names = [name for table in (ALLOWED, FATAL, SIGNALS, MAPPINGS) for name in table]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("column", "header"), [(0, "x86_64-linux-gnu/asm/unistd_64.h"), (1, "asm-generic/unistd.h")]
)
@pytest.mark.parametrize("table", [ALLOWED, FATAL, SIGNALS, MAPPINGS])
def test_numbers_are_those_of_the_kernels_headers(
    table: CallTable, column: int, header: str
) -> None:
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip(f"no kernel headers: {path}")
    pairs = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text(encoding="ascii"))
    known = {name: int(number) for name, number in pairs}
    for name, row in table.items():
        assert known.get(name) == row[column], name


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's calls")
def test_unknown_machines_are_not_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    name = platform.uname()
    monkeypatch.setattr(os, "uname", lambda: name._replace(machine="riscv64"))
    with pytest.raises(OSError, match="no filter of system calls for riscv64"):
        seccomp.filter_system_calls()
