#!/usr/bin/python3
"""Measures a served digits model on images that training never saw.

    evaluate.py --url http://localhost:8000/serve/vision/digits --heldout heldout.csv
                [--token-file FILE] [--batch 36] [--at-least 0.95]

Speaks the Open Inference Protocol, version 2. Ends with 1 when the accuracy is below --at-least or
when something is wrong, and then says what.
"""

import argparse
import http.client
import json
import ssl
import sys
import time
import urllib.parse

PIXELS = 64
SHADES = " .:-=+*#@"
TIMEOUT_S = 30


class Trouble(Exception):
    """A sentence for the person who runs this."""


def load(path):
    """Returns (pixels, label) for each line."""
    rows = []
    with open(path, encoding="ascii") as lines:
        for number, line in enumerate(lines, 1):
            try:
                *pixels, label = map(int, line.split(","))
            except ValueError:
                raise Trouble(f"{path}, line {number}: not a list of whole numbers") from None
            if len(pixels) != PIXELS or not all(0 <= pixel <= 16 for pixel in pixels):
                raise Trouble(f"{path}, line {number}: not {PIXELS} pixels from 0 to 16 and a label")
            rows.append((pixels, label))
    if not rows:
        raise Trouble(f"{path} is empty")
    return rows


class Server:
    """One kept connection to the base URL of a deployment."""

    def __init__(self, url, token):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Trouble(f"{url} is not an http or https URL")
        self.url = url
        self.base = parts.path.rstrip("/")
        if parts.scheme == "https":
            self.connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        else:
            self.connection = http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=TIMEOUT_S)
        self.headers = {"Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def infer(self, images):
        """Returns the model's digit for each image."""
        body = json.dumps({"inputs": [{
            "name": "image", "datatype": "FP32", "shape": [len(images), PIXELS],
            "data": [pixel for image in images for pixel in image]}]})
        try:
            self.connection.request(
                "POST", f"{self.base}/v2/models/digits/infer", body, self.headers)
            reply = self.connection.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"{self.url} does not answer: {error or type(error).__name__}") from None
        if reply.status != 200:
            raise Trouble(f"{self.url} answered {reply.status}: {reason(content) or reply.reason}")
        try:
            outputs = {output["name"]: output["data"] for output in json.loads(content)["outputs"]}
            labels = [int(label) for label in outputs["label"]]
        except (ValueError, KeyError, TypeError):
            raise Trouble(f"{self.url} answered something that is no inference") from None
        if len(labels) != len(images):
            raise Trouble(f"{self.url} sent {len(labels)} labels for {len(images)} images")
        return labels


def reason(content):
    """The sentence in an error body: the model server's own, or that of a proxy before it."""
    try:
        document = json.loads(content)
        return document.get("error") or document.get("detail") or document.get("title")
    except (ValueError, AttributeError):
        return None


def draw(image):
    for start in range(0, PIXELS, 8):
        print("  " + "".join(SHADES[pixel // 2] * 2 for pixel in image[start:start + 8]).rstrip())


def main():
    parser = argparse.ArgumentParser(description="Measures a served digits model.")
    parser.add_argument("--url", required=True, help="where the deployment is served")
    parser.add_argument("--heldout", required=True, help="heldout.csv as train.py writes it")
    parser.add_argument("--token-file", help="file with an access token or an API key")
    parser.add_argument("--batch", type=int, default=36, help="images per request")
    parser.add_argument("--at-least", type=float, default=0.95, help="accuracy to reach")
    chosen = parser.parse_args()
    if chosen.batch < 1:
        raise Trouble("--batch must be at least 1")

    rows = load(chosen.heldout)
    token = None
    if chosen.token_file:
        with open(chosen.token_file, encoding="ascii") as file:
            token = file.read().strip()
    server = Server(chosen.url, token)

    answers = []
    requests = 0
    began = time.perf_counter()
    for start in range(0, len(rows), chosen.batch):
        answers += server.infer([image for image, _ in rows[start:start + chosen.batch]])
        requests += 1
    took_ms = (time.perf_counter() - began) * 1000 / requests

    print(f"The model says {answers[0]}, the writer meant {rows[0][1]}:")
    draw(rows[0][0])
    right = sum(answer == label for answer, (_, label) in zip(answers, rows))
    accuracy = right / len(rows)
    print(f"{len(rows)} held-out digits, {right} right: accuracy {accuracy:.3f} "
          f"({took_ms:.1f} ms per request of {min(chosen.batch, len(rows))})")
    if accuracy < chosen.at_least:
        raise Trouble(f"the accuracy is below {chosen.at_least}")


if __name__ == "__main__":
    try:
        main()
    except (Trouble, OSError, UnicodeError) as error:
        sys.exit(f"evaluate.py: {error}")
