"""The model's own page at `/docs`: one document without scripts, fonts or addresses of anybody else."""

from __future__ import annotations

import base64
import hashlib
from html import escape

import msgspec

from placet.runtime.signature import Signature, Tensor

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent);
  --wash: color-mix(in srgb, currentColor 6%, transparent); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 0 auto;
  padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .6rem; }
p { margin: .5rem 0; }
.facts { opacity: .7; }
pre, code { font: .875rem/1.5 ui-monospace, monospace; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; }
"""

POLICY = b"sandbox; default-src 'none'; frame-ancestors 'none'; style-src 'sha256-%s'" % base64.b64encode(
    hashlib.sha256(_STYLE.encode()).digest()
)

_SHOWN = 600  # characters of an example that a person still reads


def page(
    signature: Signature,
    *,
    project: str,
    release: str | None,
    address: str,
    example: bytes,
    needs_token: bool,
) -> bytes:
    token = ' -H "Authorization: Bearer $PLACET_TOKEN"' if needs_token else ""
    content = "-H 'Content-Type: application/json'"
    call = f"curl {address}/predict{token} \\\n  {content} \\\n  -d '{_compact(example)}'"
    answer = ", ".join(
        f'"{key}"' for key in ("outputs", "probabilities") if key == "outputs" or signature.probabilities
    )
    columns = (
        f"<p>Columns, in order: {escape(', '.join(signature.columns))}.</p>" if signature.columns else ""
    )
    facts = f"release {release or '-'}, served from {signature.platform}"
    protocol = f"{address}/v2/models/{project}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(project)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(project)}</h1>
<p class="facts">{escape(facts)}</p>
<h2>Ask it</h2>
<pre>{escape(call)}</pre>
<p>The answer is JSON with {escape(answer)}, one entry a row. A request that does not fit is answered with
<code>application/problem+json</code> that names the row and the column.</p>
<h2>Takes</h2>
{_table(signature.inputs)}{columns}
<h2>Gives</h2>
{_table(signature.outputs)}
<h2>Other ways in</h2>
<table>
<tr><td>Open Inference Protocol v2, JSON or binary</td><td><code>{escape(protocol)}/infer</code></td></tr>
<tr><td>Inputs and outputs, for machines</td><td><code>{escape(protocol)}</code></td></tr>
<tr><td>OpenAPI</td><td><code>{escape(address)}/openapi.json</code></td></tr>
<tr><td>Ready</td><td><code>{escape(address)}/v2/health/ready</code></td></tr>
<tr><td>Metrics</td><td><code>{escape(address)}/metrics</code></td></tr>
</table>
</body></html>
""".encode()


def _table(tensors: tuple[Tensor, ...]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(tensor.name)}</code></td><td>{tensor.datatype}</td>"
        f"<td>{' by '.join('any' if size < 0 else str(size) for size in tensor.shape)}</td></tr>"
        for tensor in tensors
    )
    return f"<table><tr><th>name</th><th>datatype</th><th>shape</th></tr>{rows}</table>"


def _compact(example: bytes) -> str:
    """For a shell's single quotes; a long example is cut, and says so."""
    text = msgspec.json.encode(msgspec.json.decode(example)).decode().replace("'", "'\\''")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
