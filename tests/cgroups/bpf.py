"""A small BPF interpreter: the instructions of a device filter, executed on made-up accesses."""
from __future__ import annotations

import struct
import sys

MASK = 0xffffffff
CONTEXT = 1 << 40                    # where struct bpf_cgroup_dev_ctx "is": register 1 at the start


def run(program: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """The program's answer for an access. AssertionError for anything the kernel's verifier would refuse."""
    context = struct.pack("=III", access << 16 | kind, major, minor)
    code = [struct.unpack("=BBhi", program[i:i + 8]) for i in range(0, len(program), 8)]
    registers: dict[int, int] = {1: CONTEXT}
    at = 0
    for _ in range(len(code) + 1):   # no jump goes back, so a longer run is a loop
        operation, pair, offset, value = code[at]
        to, source = (pair & 15, pair >> 4) if sys.byteorder == "little" else (pair >> 4, pair & 15)
        at += 1
        match operation:
            case 0x61:               # BPF_LDX | BPF_MEM | BPF_W
                address = registers[source] - CONTEXT + offset
                assert 0 <= address <= 8, "outside the context"
                registers[to] = struct.unpack_from("=I", context, address)[0]
            case 0xb4:               # BPF_ALU | BPF_MOV | BPF_K
                registers[to] = value & MASK
            case 0xbc:               # BPF_ALU | BPF_MOV | BPF_X
                registers[to] = registers[source] & MASK
            case 0x54:               # BPF_ALU | BPF_AND | BPF_K
                registers[to] &= value & MASK
            case 0x74:               # BPF_ALU | BPF_RSH | BPF_K
                registers[to] = (registers[to] & MASK) >> value
            case 0x56:               # BPF_JMP32 | BPF_JNE | BPF_K
                at += offset if registers[to] & MASK != value & MASK else 0
            case 0x5e:               # BPF_JMP32 | BPF_JNE | BPF_X
                at += offset if registers[to] & MASK != registers[source] & MASK else 0
            case 0x16:               # BPF_JMP32 | BPF_JEQ | BPF_K
                at += offset if registers[to] & MASK == value & MASK else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"instruction {operation:#x}")
    raise AssertionError("no end")


def reached(program: bytes) -> set[int]:
    """The instructions that some execution could reach. AssertionError when one leads out of the program."""
    code = [struct.unpack("=BBhi", program[i:i + 8]) for i in range(0, len(program), 8)]
    seen: set[int] = set()
    todo = [0]
    while todo:
        at = todo.pop()
        assert 0 <= at < len(code), "runs out of the program"
        if at in seen:
            continue
        seen.add(at)
        operation, _, offset, _ = code[at]
        if operation == 0x95:
            continue
        todo.append(at + 1)
        if operation in (0x56, 0x5e, 0x16):
            todo.append(at + 1 + offset)
    return seen
