"""Train the network of this example, export it as a program, and write the sample request with its answers.

    pip install numpy==2.4.6 scikit-learn==1.9.1 torch==2.14.1
    python train.py

The data set lies inside scikit-learn; nothing is downloaded.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import train_test_split
from torch import nn

FOLDER = Path(__file__).parent
SEED = 2026
SIDE, DARKEST, EPOCHS, BATCH = 8, 16, 80, 64


class Handwriting(nn.Module):  # type: ignore[misc]  # PyTorch is not there when types are checked
    """Two convolutions and a layer of all their values: a digit, and how likely each of the ten is."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(24 * 16, 10),
        )

    def scores(self, pixels: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers((pixels / DARKEST).reshape(-1, 1, SIDE, SIDE))
        return scores

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.scores(pixels)
        return {"digit": scores.argmax(1), "probabilities": scores.softmax(1)}


def trained(pixels: torch.Tensor, digits: torch.Tensor) -> Handwriting:
    torch.manual_seed(SEED)
    network = Handwriting()
    network.train()
    steps = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(steps, EPOCHS)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(pixels)).split(BATCH):
            steps.zero_grad()
            nn.functional.cross_entropy(network.scores(pixels[rows]), digits[rows]).backward()
            steps.step()
        slower.step()
    network.eval()
    return network


def main() -> None:
    pixels, digits = load_digits(return_X_y=True)
    seen, held_out, seen_digits, held_out_digits = train_test_split(
        pixels.astype(np.float32), digits, test_size=0.25, stratify=digits, random_state=SEED
    )
    network = trained(torch.from_numpy(seen), torch.from_numpy(seen_digits))
    with torch.inference_mode():
        answers = network(torch.from_numpy(held_out))
    report = {
        "parameters": sum(each.numel() for each in network.parameters()),
        "images": {"seen": len(seen), "held out": len(held_out)},
        "held-out accuracy": round(float(accuracy_score(held_out_digits, answers["digit"])), 4),
        "held-out macro F1": round(float(f1_score(held_out_digits, answers["digit"], average="macro")), 4),
        "held-out log loss": round(float(log_loss(held_out_digits, answers["probabilities"].double())), 4),
    }

    rows = torch.export.Dim("rows", max=65536)
    program = torch.export.export(
        network, (torch.from_numpy(held_out[:4]),), dynamic_shapes={"pixels": {0: rows}}
    )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # which would tell where the folder lay
    torch.export.save(program, FOLDER / "model.pt2")

    asked = held_out[[int(np.flatnonzero(held_out_digits == digit)[0]) for digit in (4, 7)]]
    with torch.inference_mode():
        expected = network(torch.from_numpy(asked))
    sample = {
        "request": {"inputs": asked.astype(int).tolist()},
        "response": {
            "outputs": expected["digit"].tolist(),
            "probabilities": expected["probabilities"].double().numpy().round(6).tolist(),
        },
        "tolerance": 1e-4,
    }
    (FOLDER / "sample.json").write_text(json.dumps(sample) + "\n")
    print(json.dumps(report, indent=2))  # noqa: T201 -- the result of a script


if __name__ == "__main__":
    main()
