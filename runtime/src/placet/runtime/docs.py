"""The model's own page at `/docs`, where it can be tried: one document without anything of anybody else.

Its one script is ours, and allowed by its hash. The page is sandboxed as all that a model answers, so for a browser
it is of no origin: it asks through a path of its own, whose name only readers of the page know, so that no other page
of the web can make a visitor's browser ask the model. Of a model that asks for tokens the page shows nothing to who
has none, but takes one to ask with, and fetches with it what it then may show.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

import msgspec

from placet.runtime import inference_protocol
from placet.runtime.signature import Signature, Tensor

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent);
  --wash: color-mix(in srgb, currentColor 6%, transparent); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 0 auto;
  padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .6rem; }
p { margin: .5rem 0; }
#facts { opacity: .7; }
pre, code { font: .875rem/1.5 ui-monospace, monospace; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; }
label { display: block; margin: .6rem 0 .2rem; opacity: .7; font-size: .875rem; }
textarea, input { font: .875rem/1.5 ui-monospace, monospace; color: inherit; background: var(--wash); width: 100%;
  box-sizing: border-box; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
textarea { min-height: 9rem; resize: vertical; }
button { font: inherit; color: inherit; background: var(--wash); border: 1px solid var(--line); border-radius: .5rem;
  padding: .4rem 1.1rem; margin: .6rem .6rem .6rem 0; cursor: pointer; }
button:hover { border-color: currentColor; }
output { display: block; white-space: pre-wrap; overflow-wrap: anywhere; font: .875rem/1.5 ui-monospace, monospace; }
output[data-is=wrong] { color: light-dark(#a40000, #ff9b9b); }
"""

_SCRIPT = """
const find = (id) => document.getElementById(id);
const answer = find("answer");

async function ask(method, body, accept = "application/json") {
  const headers = {Accept: accept, ...(body === undefined ? {} : {"Content-Type": "application/json"})};
  if (find("token") && find("token").value.trim()) headers.Authorization = "Bearer " + find("token").value.trim();
  const began = performance.now();
  const response = await fetch(find("ask").dataset.path, {method, headers, body});
  const text = await response.text();
  const took = Math.round(performance.now() - began);
  return {ok: response.ok, status: response.status, took, text};
}

function show(text, isWrong) {
  answer.textContent = text;
  answer.dataset.is = isWrong ? "wrong" : "right";
}

function problem(text) {
  try {
    const {detail, fix} = JSON.parse(text);
    return fix ? detail + "; " + fix : detail;
  } catch { return text; }
}

async function shown(work) {
  show("…", false);
  try { await work(); } catch { show("the model does not answer", true); }
}

find("ask").addEventListener("click", () => shown(async () => {
  const {ok, status, took, text} = await ask("POST", find("body").value);
  show(status + ", " + took + " ms\\n" + (ok ? text : problem(text)), !ok);
}));

if (find("fill")) find("fill").addEventListener("click", () => shown(async () => {
  const {ok, text} = await ask("GET");
  if (ok) find("body").value = text;
  show(ok ? "" : problem(text), !ok);
}));

async function tell() {
  show("", false);
  const {ok, text} = await ask("GET", undefined, "text/html");
  if (!ok) return show(problem(text), true);
  const page = new DOMParser().parseFromString(text, "text/html");
  for (const id of ["facts", "told"]) find(id).replaceWith(page.getElementById(id));
  if (!find("body").value) find("body").value = page.getElementById("body").value;
}

if (find("token")) for (const event of ["change", "input"]) find("token").addEventListener(event, ({inputType}) => {
  const isWhole = event === "change" || inputType === "insertFromPaste";
  if (isWhole && find("token").value.trim()) tell().catch(() => show("the model does not answer", true));
});
"""


def _hash(text: str) -> bytes:
    return base64.b64encode(hashlib.sha256(text.encode()).digest())


POLICY = (
    b"sandbox allow-scripts; default-src 'none'; frame-ancestors 'none'; connect-src 'self'; "
    b"style-src 'sha256-%s'; script-src 'sha256-%s'"
) % (_hash(_STYLE), _hash(_SCRIPT))

_SHOWN = 600  # characters of an example that a person still reads
_FILLED_IN = 200_000


def page(
    signature: Signature,
    *,
    project: str,
    release: str | None,
    address: str,
    ask: str,
    example: bytes,
    needs_token: bool,
) -> bytes:
    """`ask` is the path, beside the page, that its script asks at."""
    token = ' -H "Authorization: Bearer $PLACET_TOKEN"' if needs_token else ""
    content = "-H 'Content-Type: application/json'"
    call = f"curl {address}/predict{token} \\\n  {content} \\\n  -d '{_compact(example)}'"
    answer = ", ".join(
        f'"{key}"' for key in ("outputs", "probabilities") if key == "outputs" or signature.probabilities
    )
    columns = (
        f"<p>Columns, in order: {escape(', '.join(signature.columns))}.</p>" if signature.columns else ""
    )
    classes = "".join(
        f"<p>Classes of <code>{escape(tensor.name)}</code>, in order: {escape(', '.join(map(str, tensor.labels)))}.</p>"
        for tensor in signature.outputs
        if tensor.labels
    )
    facts = f"release {release or '-'}, served from {signature.platform}"
    protocol = f"{address}/v2/models/{project}"
    infer = f"curl {protocol}/infer{token} \\\n  {content} \\\n  -d '{_compact(inference_protocol.example(signature))}'"
    return _document(
        project,
        facts,
        f"""<h2>Try it</h2>
{_form(ask, _readable(example), needs_token=needs_token)}
<div id="told">
<h2>Ask it</h2>
<pre>{escape(call)}</pre>
<p>The answer is JSON with {escape(answer)}, one entry a row. A request that does not fit is answered with
<code>application/problem+json</code> that names the row and the column.</p>
<h2>Takes</h2>
{_table(signature.inputs)}{columns}
<h2>Gives</h2>
{_table(signature.outputs)}{classes}
<h2>Other ways in</h2>
<p>By the Open Inference Protocol v2, in JSON or binary:</p>
<pre>{escape(infer)}</pre>
<table>
{_link("Inputs and outputs, for machines", f"v2/models/{project}", address, needs_token=needs_token)}
{_link("OpenAPI", "openapi.json", address, needs_token=needs_token)}
{_link("Ready", "v2/health/ready", address)}
{_link("Metrics", "metrics", address, needs_token=needs_token)}
</table>
</div>""",
    )


def _link(what: str, path: str, address: str, *, needs_token: bool = False) -> str:
    """Followed from beside the page, wherever proxies mount that. A browser that follows a link shows no token."""
    shown = f"<code>{escape(address)}/{escape(path)}</code>"
    link = shown if needs_token else f'<a href="{escape(path)}">{shown}</a>'
    return f"<tr><td>{what}</td><td>{link}</td></tr>"


def door(*, project: str, ask: str) -> bytes:
    """For whoever shows no token: nothing of the model, and where to put one."""
    return _document(
        project,
        "asks for a token",
        f"""<h2>Try it</h2>
{_form(ask, "", needs_token=True)}
<p id="told">With a token, this page tells what it takes and gives.</p>""",
    )


def _document(project: str, facts: str, body: str) -> bytes:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(project)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(project)}</h1>
<p id="facts">{escape(facts)}</p>
{body}
<script>{_SCRIPT}</script></body></html>
""".encode()


def _form(ask: str, example: str, *, needs_token: bool) -> str:
    token = (
        """<label for="token">Token</label>
<input id="token" type="password" autocomplete="off" spellcheck="false">
"""
        if needs_token
        else ""
    )
    fill = '<button id="fill" type="button">Fill in a sample</button>' if not example else ""
    return f"""{token}<label for="body">Request, as JSON</label>
<textarea id="body" spellcheck="false">{escape(example)}</textarea>
<button id="ask" type="button" data-path="{escape(ask)}">Predict</button>{fill}
<output id="answer"></output>"""


def _table(tensors: tuple[Tensor, ...]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(tensor.name)}</code></td><td>{tensor.datatype}</td>"
        f"<td>{' by '.join('any' if size < 0 else str(size) for size in tensor.shape)}</td></tr>"
        for tensor in tensors
    )
    return f"<table><tr><th>name</th><th>datatype</th><th>shape</th></tr>{rows}</table>"


def _readable(example: bytes) -> str:
    """A line for each row; nothing where that is more than a page can hold, and is there to be fetched."""
    if len(example) > _FILLED_IN:
        return ""
    document = msgspec.json.decode(example)
    rows = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(rows, list) or len(document) > 1:
        return msgspec.json.format(example, indent=2).decode()
    lines = ",\n".join(msgspec.json.encode(row).decode() for row in rows)
    return f'{{"inputs": [\n{lines}\n]}}'


def _compact(example: bytes) -> str:
    """For a shell's single quotes; a long example is cut, and says so."""
    text = msgspec.json.encode(msgspec.json.decode(example)).decode().replace("'", "'\\''")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
