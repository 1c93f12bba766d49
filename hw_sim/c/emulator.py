"""Runs an image in unicorn, alone in its process: python emulator.py JOB.json < frames > spikes and logits.

JOB.json: {"arch": "arm" or "riscv", "image": path, "segments": [[address, size, offset, held], ...], "symbols": {name:
[address, size]}, "samples": B, "timesteps": T, "frame_bytes": n, "counted": how many samples' instructions are counted,
"result": path}. The result: {"instructions": [[of init, of all timesteps, of the logits], ...], "stack": bytes,
"blocks": [[address, instructions in all counted samples], ...], "ends": [[timesteps until it was decided, the class
then, instructions of these timesteps with the questions], ...]}. Where an image cannot be asked, ends is empty; where
it can, each sample runs to its end all the same, and blocks leave the questions out.
Python 3.9 syntax, unicorn, and nothing of ours.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import Any

PAGE = 4096
STACK, STACK_BYTES, FILL = 0x70000000, 1 << 18, 0xA5
RETURN = 0x7F000000


def main(path: str) -> None:
    import unicorn  # pyright: ignore[reportMissingImports]

    with open(path) as text:
        job = json.load(text)
    machine, pointer, link = _machine(job["arch"])
    thumb = 1 if job["arch"] == "arm" else 0
    with open(job["image"], "rb") as file:
        image = file.read()
    _map(machine, job["segments"], image)
    machine.mem_map(STACK, STACK_BYTES)
    machine.mem_write(STACK, bytes([FILL]) * STACK_BYTES)
    machine.mem_map(RETURN, PAGE)
    counter = _Counter(machine, thumb)
    symbols = job["symbols"]

    def call(name: str) -> int:
        machine.reg_write(pointer, STACK + STACK_BYTES)
        machine.reg_write(link, RETURN | thumb)
        before = counter.total
        machine.emu_start(symbols[name][0] | thumb, RETURN)
        return int(counter.total - before)

    def asked(name: str) -> tuple[int, int]:
        """What the image answers, and the instructions that it takes to do so."""
        counter.apart = True
        taken = call(name)
        counter.apart = False
        return struct.unpack("<I", bytes(machine.mem_read(symbols["device_answer"][0], 4)))[0], taken

    found, ends = [], []
    for sample in range(job["samples"]):
        if sample == job["counted"]:
            counter.stop()
        counts = [call("device_init"), 0, 0]
        last, ended, questions = b"", None, 0
        for step in range(job["timesteps"]):
            frame = sys.stdin.buffer.read(job["frame_bytes"])
            if len(frame) != job["frame_bytes"]:
                raise SystemExit("frames are missing")
            again = frame == last and "device_again" in symbols  # as its user would: a still frame is given once
            machine.mem_write(symbols["device_frame"][0], frame)
            counts[1] += call("device_again" if again else "device_step")
            last = frame
            if ended is None and "device_decided" in symbols:
                decided, taken = asked("device_decided")
                questions += taken
                if decided:
                    ended = [step + 1, asked("device_class")[0], counts[1] + questions]
            if "device_spikes" in symbols:
                sys.stdout.buffer.write(bytes(machine.mem_read(*symbols["device_spikes"])))
        ends += [] if ended is None else [ended]
        counts[2] = call("device_logits_out")
        sys.stdout.buffer.write(bytes(machine.mem_read(*symbols["device_logits"])))
        if sample < job["counted"]:
            found.append(counts)
    sys.stdout.buffer.flush()
    stack = bytes(machine.mem_read(STACK, STACK_BYTES))
    used = len(stack.lstrip(bytes([FILL])))
    with open(job["result"], "w") as out:
        blocks = list(counter.blocks.items())
        json.dump(
            {"instructions": found, "stack": used, "blocks": blocks, "ends": ends, "unicorn": unicorn.__version__}, out
        )


def _machine(arch: str) -> tuple[Any, int, int]:
    """The core, and the numbers of its stack pointer and link register."""
    import unicorn  # pyright: ignore[reportMissingImports]
    from unicorn import arm_const, riscv_const  # pyright: ignore[reportMissingImports]

    if arch == "arm":
        machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        machine.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        return machine, arm_const.UC_ARM_REG_SP, arm_const.UC_ARM_REG_LR
    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
    return machine, riscv_const.UC_RISCV_REG_SP, riscv_const.UC_RISCV_REG_RA


def _map(machine: Any, segments: list[list[int]], image: bytes) -> None:
    pages: set[int] = set()
    for address, size, _, _ in segments:
        pages.update(range(address // PAGE, (address + size - 1) // PAGE + 1))
    start: int | None = None
    for page in sorted(pages):
        if start is None:
            start = page
        if page + 1 not in pages:
            machine.mem_map(start * PAGE, (page + 1 - start) * PAGE)
            start = None
    for address, _, offset, held in segments:
        machine.mem_write(address, image[offset : offset + held])


class _Counter:
    """Instructions, block by block: a block's are counted once, from their lengths."""

    def __init__(self, machine: Any, thumb: int) -> None:
        self.machine, self.thumb, self.total = machine, thumb, 0
        self.known: dict[tuple[int, int], int] = {}
        self.blocks: dict[int, int] = {}
        self.apart = False  # blocks do not grow
        import unicorn  # pyright: ignore[reportMissingImports]

        self.hook = machine.hook_add(unicorn.UC_HOOK_BLOCK, self.block)

    def stop(self) -> None:
        self.machine.hook_del(self.hook)

    def block(self, machine: Any, address: int, size: int, _: Any) -> None:
        count = self.known.get((address, size))
        if count is None:
            count = self.known[address, size] = self.length(bytes(machine.mem_read(address, size)))
        self.total += count
        if self.apart:
            return
        self.blocks[address] = self.blocks.get(address, 0) + count

    def length(self, code: bytes) -> int:
        at = count = 0
        while at < len(code):
            (first,) = struct.unpack_from("<H", code, at)
            long = first >> 11 in (0b11101, 0b11110, 0b11111) if self.thumb else first & 3 == 3
            at += 4 if long else 2
            count += 1
        return count


if __name__ == "__main__":
    main(sys.argv[1])
