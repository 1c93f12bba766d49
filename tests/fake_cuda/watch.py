"""Notes what a step would make a GPU wait for or copy, with the line of ours that did it."""

from __future__ import annotations

import contextlib
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT}/{folder}/" for folder in ("search", "toolchain", "snnas", "tests"))
SELF = str(Path(__file__))
# They give the host a number, or a shape that depends on one.
ASKING = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "_unique2", "unique_consecutive"}
COPYING = {"_to_copy", "copy_"}
# They work in place, and FakeTensors do not know that.
IN_PLACE = {"_fused_adamw_", "_fused_sgd_"}


class Faults(Counter[str]):
    """How often each was seen: 'sync|copy|mixed operation at file:line code'."""

    def note(self, kind: str, what: str) -> None:
        frames = [f for f in traceback.extract_stack() if f.filename.startswith(OURS) and f.filename != SELF]
        at = frames[-1] if frames else None
        place = f"{Path(at.filename).resolve().relative_to(ROOT)}:{at.lineno} {at.line}" if at else "backward pass"
        self[f"{kind} {what} at {place}"] += 1


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class Operations(TorchDispatchMode):
    """Looks at every operation of torch, those of the backward pass and of the optimiser as well."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults, self.seen = faults, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name().removeprefix("aten::").partition(".")[0]
        self.seen += not name.startswith("prim::")
        given = _tensors((args, kwargs))
        if name in ASKING and any(x.is_cuda for x in given):
            self.faults.note("sync", name)
        out = None if name in IN_PLACE else func(*args, **kwargs)
        kinds = {x.device.type for x in given}
        if name in COPYING:
            if len(kinds | {x.device.type for x in _tensors(out)}) > 1:
                self.faults.note("copy", name)
        elif len(kinds) > 1:
            self.faults.note("mixed", name)
        return out


class Calls(TorchFunctionMode):
    """Looks at calls that copy below the dispatcher: an index that lies on the host, a tensor made of numbers."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("__getitem__", "__setitem__") and args[0].is_cuda:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(i, list | np.ndarray) for i in index):
                self.faults.note("copy", "index on the host")
        if name in ("tensor", "as_tensor") and "cuda" in str(kwargs.get("device")):
            self.faults.note("copy", name)
        return func(*args, **kwargs)


@contextlib.contextmanager
def watched(faults: Faults) -> Iterator[Operations]:
    """Within it torch computes nothing and every fault is noted."""
    operations = Operations(faults)
    with FakeTensorMode(allow_non_fake_inputs=True), operations, Calls(faults):
        yield operations
