#!/usr/bin/python3
"""Trains the digits model: a 64-64-10 network (ReLU, softmax) on 8 x 8 images.

    train.py OUTPUT_DIRECTORY [--data FILE]

writes two files and prints the accuracy on images that training never saw:

  heldout.csv   the images kept back, 64 pixels and the label per line
  weights.bin   the model, all numbers little-endian:
                  8 bytes    the letters "DIGITS1" and a zero byte
                  3 uint32   inputs (64), hidden units (64), outputs (10)
                  float32    hidden weights [hidden][inputs], hidden biases [hidden],
                             output weights [outputs][hidden], output biases [outputs]

The model takes pixels as they are, 0 to 16: their scaling is part of the hidden weights. The same
data give the same split and, on one machine, the same weights.
"""

import argparse
import os
import pathlib
import struct
import sys
import tempfile

# One thread: sums are then always added in the same order.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (reads the variables above)

MAGIC = b"DIGITS1\0"
INPUTS, HIDDEN, OUTPUTS = 64, 64, 10
PIXEL_MAX = 16
SEED = 20240229
EPOCHS = 60
BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
KEEP_BACK = 5  # one image in so many


def load(path):
    """Returns images [n, 64] and labels [n]; refuses anything else."""
    table = np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2)
    if table.shape[1] != INPUTS + 1:
        raise ValueError(f"{path}: a line must have {INPUTS + 1} numbers, not {table.shape[1]}")
    images, labels = table[:, :-1], table[:, -1]
    if images.min() < 0 or images.max() > PIXEL_MAX:
        raise ValueError(f"{path}: a pixel must be between 0 and {PIXEL_MAX}")
    if labels.min() < 0 or labels.max() >= OUTPUTS:
        raise ValueError(f"{path}: a label must be between 0 and {OUTPUTS - 1}")
    return images, labels


def split(labels):
    """Indices for training and for checking: sorted by label, every fifth is kept back."""
    by_label = np.argsort(labels, kind="stable")
    kept_back = np.arange(len(labels)) % KEEP_BACK == 0
    return np.sort(by_label[~kept_back]), np.sort(by_label[kept_back])


def forward(parameters, x):
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(x @ w1.T + b1, 0)
    scores = hidden @ w2.T + b2
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return hidden, probabilities


def gradients(parameters, x, labels):
    """Of the mean cross entropy, in the order of the parameters."""
    w2 = parameters[2]
    hidden, probabilities = forward(parameters, x)
    at_scores = probabilities
    at_scores[np.arange(len(labels)), labels] -= 1
    at_scores /= len(labels)
    at_hidden = (at_scores @ w2) * (hidden > 0)
    return [at_hidden.T @ x, at_hidden.sum(axis=0), at_scores.T @ hidden, at_scores.sum(axis=0)]


def train(images, labels):
    """Adam with a learning rate that falls to zero; returns w1, b1, w2, b2."""
    random = np.random.default_rng(SEED)
    x = images / PIXEL_MAX
    parameters = [
        random.normal(0, np.sqrt(2 / INPUTS), (HIDDEN, INPUTS)),
        np.zeros(HIDDEN),
        random.normal(0, np.sqrt(2 / HIDDEN), (OUTPUTS, HIDDEN)),
        np.zeros(OUTPUTS),
    ]
    mean = [np.zeros_like(p) for p in parameters]
    spread = [np.zeros_like(p) for p in parameters]
    batches = -(-len(labels) // BATCH)
    step = 0
    for _ in range(EPOCHS):
        order = random.permutation(len(labels))
        for batch in np.array_split(order, batches):
            rate = LEARNING_RATE * (1 - step / (EPOCHS * batches))
            step += 1
            slopes = gradients(parameters, x[batch], labels[batch])
            for p, g, m, v in zip(parameters, slopes, mean, spread):
                if p.ndim == 2:
                    g = g + WEIGHT_DECAY * p
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    parameters[0] /= PIXEL_MAX
    return [p.astype(np.float32) for p in parameters]


def write_whole(path, content):
    """A reader sees the old file or the new one, never half of one."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
        out.write(content)
    os.chmod(out.name, 0o644)
    os.replace(out.name, path)


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Trains the digits model.")
    parser.add_argument("output", type=pathlib.Path, help="directory for weights.bin, heldout.csv")
    parser.add_argument("--data", type=pathlib.Path, default=here / "data" / "optdigits.csv")
    chosen = parser.parse_args()

    images, labels = load(chosen.data)
    seen, unseen = split(labels)
    parameters = train(images[seen], labels[seen])
    _, probabilities = forward(parameters, images[unseen].astype(np.float32))
    right = int((probabilities.argmax(axis=1) == labels[unseen]).sum())

    chosen.output.mkdir(parents=True, exist_ok=True)
    header = MAGIC + struct.pack("<3I", INPUTS, HIDDEN, OUTPUTS)
    write_whole(chosen.output / "weights.bin",
                header + b"".join(p.astype("<f4").tobytes() for p in parameters))
    rows = np.column_stack([images[unseen], labels[unseen]])
    write_whole(chosen.output / "heldout.csv",
                "".join(",".join(map(str, row)) + "\n" for row in rows.tolist()).encode())
    print(f"trained on {len(seen)} images; {right} of {len(unseen)} held-out images right: "
          f"accuracy {right / len(unseen):.3f}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"train.py: {error}")
