"""The threads that belong to the whole process: OpenCV's and torch's."""

from __future__ import annotations

import sys

import cv2


def use_threads(threads: int) -> None:
    """Set the threads of OpenCV, and of torch where it is loaded.

    Sessions of ONNX Runtime and OpenVINO have their own. Needed where pipelines with different counts are open at once.
    """
    cv2.setNumThreads(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
