"""Write `data/torch_operators.txt` from the PyTorch that is installed: the operators that an exported program may call.

    python libs/projects/tools/write_torch_operators.py

They are ATen's that take tensors, numbers and the words for how a tensor lies in memory, and give tensors or numbers.
What reads a file, hands out memory by its address, belongs to training only, or is there for PyTorch's own use is left
out, but for those of its own use that exporting is known to write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

TARGET = Path(__file__).parents[1] / "src/placet/projects/data/torch_operators.txt"

LEFT_OUT = frozenset(
    {
        "from_file",  # maps any file of the machine into a tensor
        *("set", "set_", "resize", "resize_", "resize_as", "resize_as_", "data", "set_data"),
        *("shallow_copy_data_", "rename", "rename_", "sorted", "tensor", "as_tensor", "grad", "retains_grad"),
        *(
            "Bool",
            "Float",
            "FloatImplicit",
            "Int",
            "IntImplicit",
            "ScalarImplicit",
            "cuda",
            "output_nr",
            "_backward",
        ),
    }
)
# Sparse, quantised and other hardware's tensors are no answers that a request can carry.
LEFT_OUT_PREFIXES = (
    "sparse_",
    "to_sparse",
    "to_mkldnn",
    "mkldnn_",
    "fbgemm_",
    "quantized_",
    "q_",
    "batch_norm_",
    "cudnn_",
    "miopen_",
    "convolution_",
    "copy_sparse",
    "resize_as",
)
# Of PyTorch's own, what `torch.export.export` and `run_decompositions` write.
ALSO = frozenset(
    {
        *(
            "_assert_async",
            "_assert_scalar",
            "_assert_tensor_metadata",
            "_local_scalar_dense",
            "_shape_as_tensor",
        ),
        *("_to_copy", "_unsafe_view", "_reshape_alias", "_conj", "_is_all_true", "_is_any_true"),
        *(
            "_log_softmax",
            "_softmax",
            "_safe_softmax",
            "_weight_norm",
            "_weight_norm_interface",
            "_euclidean_dist",
        ),
        *(
            "_convolution",
            "_convolution_mode",
            "_cdist_forward",
            "_pdist_forward",
            "_trilinear",
            "_dim_arange",
        ),
        *("_embedding_bag", "_embedding_bag_forward_only", "_native_batch_norm_legit"),
        *("_native_batch_norm_legit_no_training", "_batch_norm_no_update", "_fused_rms_norm", "_grouped_mm"),
        *(
            "_adaptive_avg_pool2d",
            "_adaptive_avg_pool3d",
            "_upsample_bicubic2d_aa",
            "_upsample_bilinear2d_aa",
        ),
        *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
        *(
            "_fft_c2c",
            "_fft_c2r",
            "_fft_r2c",
            "_linalg_det",
            "_linalg_eigh",
            "_linalg_slogdet",
            "_linalg_svd",
        ),
        *("_linalg_solve_ex", "_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
        *("_scaled_dot_product_attention_math", "_scaled_dot_product_flash_attention_for_cpu"),
        *("_thnn_fused_gru_cell", "_thnn_fused_lstm_cell", "_weight_int8pack_mm", "_add_relu", "_stack"),
    }
)
TYPES = frozenset(
    {
        *(
            "Tensor",
            "int",
            "SymInt",
            "float",
            "bool",
            "number",
            "Scalar",
            "str",
            "ScalarType",
            "Layout",
            "Device",
        ),
        "MemoryFormat",
    }
)
GIVEN = frozenset({"Tensor", "int", "SymInt", "float", "bool", "number", "Scalar"})


def names() -> set[str]:
    schemas: dict[str, list[Any]] = {}
    for schema in torch._C._jit_get_all_schemas():
        if schema.name.startswith("aten::"):
            schemas.setdefault(schema.name.removeprefix("aten::"), []).append(schema)
    return {name for name, overloads in schemas.items() if _is_wanted(name, overloads)}


def _is_wanted(name: str, overloads: list[Any]) -> bool:
    if name in LEFT_OUT or not hasattr(torch.ops.aten, name):
        return False
    if name in ALSO:
        return True
    is_private = name.startswith(("_", *LEFT_OUT_PREFIXES)) or name.endswith(("_backward", "_jvp"))
    return not is_private and any(_is_plain(schema) for schema in overloads)


def _is_plain(schema: Any) -> bool:
    arguments = [_plain(argument.real_type) for argument in schema.arguments if argument.name != "generator"]
    returns = [_plain(each.real_type) for each in schema.returns]
    return (
        bool(returns)
        and set(arguments) <= TYPES
        and set(returns) <= GIVEN
        and "Tensor" in arguments + returns
    )


def _plain(kind: Any) -> str:
    """`Optional[List[Tensor]]` is Tensor's."""
    while kind.kind() in ("OptionalType", "ListType"):
        kind = kind.getElementType()
    return str(kind)


if __name__ == "__main__":
    TARGET.write_text("".join(f"{name}\n" for name in sorted(names())))
