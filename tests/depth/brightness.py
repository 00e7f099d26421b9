"""A backend that needs no network and no runtime."""


class Brightness:
    """A backend whose depth is the brightness of what it is given: the heat map then shows the photo."""

    threads = 1

    def __init__(self):
        self.batches = []
        self.closed = 0

    def __call__(self, batch):
        self.batches.append(batch)
        return batch.mean(axis=1)

    def close(self):
        self.closed += 1
