"""A disk that is full once heat maps are to be written."""

from pathlib import Path

from midas_bench.heatmap_files import NOTE


def fill_disk(monkeypatch):
    """Let every file fail to be written but the note of the network, which is written first."""
    write_bytes = Path.write_bytes

    def full(path, content):
        if NOTE not in path.name:
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
