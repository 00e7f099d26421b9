"""A stand-in for `midas_bench.depth.calls`, as an older revision or a user could have it: small networks, no package.

`config` says which runtime runs, and what fails.
"""

import time
from contextlib import contextmanager

SIZE = 8


class RefusedError(Exception):
    """A user's error as every revision has it, by its fields alone."""

    def __init__(self):
        self.thing, self.reason, self.next_step = "own.onnx", "is no network", "export it again"
        super().__init__("refused")


@contextmanager
def calls(photos, **config):
    print("what libraries say", flush=True)  # noqa: T201
    if config.get("fails") == "refuse":
        raise RefusedError
    yield {"inference": globals()[config["runtime"]](config), "pipeline": lambda: len(photos)}


def nothing(config):
    def call():
        if config.get("fails") == "die":
            raise MemoryError("no room for a tensor")
        if config.get("fails") == "hang":
            time.sleep(600)

    return call


def onnx_runtime(config):
    import numpy as np
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(path_or_bytes=config["model"], sess_options=options, providers=["CPUExecutionProvider"])
    given = {"x": np.ones((1, 3, SIZE, SIZE), np.float32)}
    return lambda: [session.run(None, given) for _ in range(config.get("times", 1))]


def openvino(config):
    import numpy as np
    from openvino import Core

    core = Core()
    compiled = core.compile_model(core.read_model(config["model"]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given = np.ones((1, 3, SIZE, SIZE), np.float32)
    return lambda: compiled(given)


def torch(config):
    import torch
    from torch import nn

    del config
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 1))
    given = torch.ones(1, 3, SIZE, SIZE)

    def call():
        with torch.inference_mode():
            return network(given)

    return call
