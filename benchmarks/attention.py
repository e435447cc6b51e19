"""Is attention written out as matrix products faster than the fused kernel on this CPU in bf16?
Prints ratios, side by side.

python -m benchmarks.attention
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.models.vit import VIT_SIZES, attention

ROUNDS = 7


def seconds(mix: Callable[[Tensor, Tensor, Tensor], Tensor], batch: Tensor, upstream: Tensor) -> float:
    """One forward and backward pass over (B, N, 3, heads, head_dim)."""
    started = time.perf_counter()
    query, key, value = batch.permute(2, 0, 3, 1, 4)
    mix(query, key, value).transpose(1, 2).reshape(upstream.shape).backward(upstream)
    return time.perf_counter() - started


def main() -> None:
    torch.set_num_threads(1)
    print("| size | precision | fused, ms | written out, ms | fused / written out (median of pairs) |\n|---|---|---|---|---|")
    for name in ("pico", "micro", "viny"):
        size = VIT_SIZES[name]
        for dtype in (torch.float32, torch.bfloat16):
            batch = torch.randn(64, 64, 3, size.heads, size.head_dim, dtype=dtype, requires_grad=True)
            upstream = torch.randn(64, 64, size.heads * size.head_dim, dtype=dtype)

            def written(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
                if query.dtype == torch.bfloat16:
                    return attention(query, key, value)
                return (query @ key.transpose(-1, -2)).mul(query.shape[-1] ** -0.5).softmax(dim=-1) @ value

            pairs = [(seconds(F.scaled_dot_product_attention, batch, upstream), seconds(written, batch, upstream)) for _ in range(ROUNDS + 1)][1:]
            fused, plain = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"| {name} | {str(dtype).removeprefix('torch.')} | {fused:.1f} | {plain:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
