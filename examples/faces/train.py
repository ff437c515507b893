"""Train a small neural network that tells faces from non-faces, and write it as an ONNX graph.

    python train.py

200 grey images of 25 x 25 pixels (the LFW subset inside scikit-image). The network is trained by scikit-learn; the
graph is written with ONNX's own helper, scaling included, so that serving needs neither. The held-out quarter
chose nothing but once confirmed that more iterations do no harm. The same command writes the same model.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skimage.data import lfw_subset
from sklearn.metrics import accuracy_score, log_loss, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier

FOLDER = Path(__file__).parent
SIDE = 25
SEED = 20240611

Floats = npt.NDArray[np.float32]


def images() -> tuple[Floats, npt.NDArray[np.int64]]:
    """Grey between 0 and 1, one row an image; 1 for a face."""
    pixels = lfw_subset().astype(np.float32)
    return pixels.reshape(len(pixels), -1), np.repeat([1, 0], len(pixels) // 2)


def mirrored(pixels: Floats, target: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """A face seen in a mirror is a face: twice the images to learn from."""
    flipped = pixels.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(pixels), -1)
    return np.concatenate([pixels, flipped]), np.concatenate([target, target])


def as_onnx(network: MLPClassifier, mean: Floats, spread: Floats) -> onnx.ModelProto:
    """image -> (image - mean) / spread -> ReLU layers -> sigmoid -> label and the probabilities of both classes."""
    weights = [
        numpy_helper.from_array(mean, "mean"),
        numpy_helper.from_array(spread, "spread"),
        numpy_helper.from_array(np.array([0.5], np.float32), "half"),
        numpy_helper.from_array(np.array([1.0], np.float32), "one"),
        numpy_helper.from_array(np.array([1], np.int64), "columns"),
    ]
    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "spread"], ["layer0"]),
    ]
    last = len(network.coefs_) - 1
    for index, (weight, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"weight{index}"))
        weights.append(numpy_helper.from_array(bias.astype(np.float32), f"bias{index}"))
        nodes.append(
            helper.make_node("Gemm", [f"layer{index}", f"weight{index}", f"bias{index}"], [f"sum{index}"])
        )
        activation = "Sigmoid" if index == last else "Relu"
        nodes.append(helper.make_node(activation, [f"sum{index}"], [f"layer{index + 1}"]))
    face = f"layer{last + 1}"
    nodes += [
        helper.make_node("Sub", ["one", face], ["other"]),
        helper.make_node("Concat", ["other", face], ["probabilities"], axis=1),
        helper.make_node("Greater", [face, "half"], ["is_face"]),
        helper.make_node("Cast", ["is_face"], ["labels"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["labels", "columns"], ["label"]),
    ]
    graph = helper.make_graph(
        nodes,
        "faces",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", SIDE * SIDE])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2]),
        ],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="placet examples"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    pixels, target = images()
    seen, held_out, seen_target, held_out_target = train_test_split(
        pixels, target, test_size=0.25, stratify=target, random_state=SEED
    )
    mean, spread = seen.mean(axis=0), seen.std(axis=0) + np.float32(1e-3)
    search = GridSearchCV(
        MLPClassifier(max_iter=1500, random_state=SEED),
        {"hidden_layer_sizes": [(32,), (64, 16)], "alpha": [0.01, 1.0, 10.0]},
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=SEED),
    )
    search.fit((seen - mean) / spread, seen_target)
    network = MLPClassifier(max_iter=1500, random_state=SEED, **search.best_params_)
    doubled, doubled_target = mirrored(seen, seen_target)
    network.fit((doubled - mean) / spread, doubled_target)

    path = FOLDER / "model.onnx"
    path.write_bytes(as_onnx(network, mean, spread).SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {"image": held_out})
    np.testing.assert_allclose(probabilities, network.predict_proba((held_out - mean) / spread), atol=1e-4)

    report = {
        "chosen": search.best_params_,
        "images": {"seen": len(seen), "held out": len(held_out)},
        "cross-validated log loss": round(-float(search.best_score_), 4),
        "held-out accuracy": round(float(accuracy_score(held_out_target, labels)), 4),
        "held-out precision": round(float(precision_score(held_out_target, labels)), 4),
        "held-out recall": round(float(recall_score(held_out_target, labels)), 4),
        "held-out ROC AUC": round(float(roc_auc_score(held_out_target, probabilities[:, 1])), 4),
        "held-out log loss": round(float(log_loss(held_out_target, probabilities)), 4),
    }
    chosen = [int(np.flatnonzero(held_out_target == label)[0]) for label in (1, 0)]
    rows = held_out[chosen].round(3)
    labels, probabilities = session.run(["label", "probabilities"], {"image": rows})
    sample = {
        "request": {"inputs": [[round(float(value), 3) for value in row] for row in rows]},
        "response": {
            "outputs": labels.tolist(),
            "probabilities": probabilities.astype(float).round(6).tolist(),
        },
        "tolerance": 1e-4,
    }
    (FOLDER / "sample.json").write_text(json.dumps(sample) + "\n")
    print(json.dumps(report, indent=2))  # noqa: T201 -- the result of a script


if __name__ == "__main__":
    main()
