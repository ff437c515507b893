"""The process in which expressions are evaluated: `python -P worker.py`, one JSON request a line on stdin.

A policy is written by people, and the evaluator has no cost limit of its own. So it runs here, where the kernel
ends it: each expression gets a second of processor time (SIGPROF) and the process 256 MB. The engine starts
another one and goes on with the next rule. This file imports nothing of placet, so that a new process is
there in some 50 milliseconds.

Requests: {"facts", "items": [{"expression", "params", "bound"?: {name: value}}]} or {"compile": [expression]}. One
answer a line per item. Or many at once: {"expressions": [[expression, params]], "params", "batch": [{"facts",
"items"}]}, where an item is the number of an expression, or [expression, params, bound], and its `params` the number of
those it needs, or -1. All is answered in one line, a list for each of the batch, of true, false and errors.
"""

from __future__ import annotations

import resource
import signal
import sys
import types
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

MEMORY_BYTES = 256 * 1024**2

# The package imports its own command line first, and with it typer, rich and pygments: 0.7 of 0.75 seconds.
sys.modules.setdefault("cel.cli", types.ModuleType("cel.cli"))
import cel  # noqa: E402 - after the line above, or in vain

Answer = dict[str, Any]
compiled: Callable[[str], cel.Program] = lru_cache(maxsize=4096)(cel.compile)


def evaluate(expression: str, context: cel.Context) -> Answer:
    try:
        value = compiled(expression).execute(context)
    except KeyError as error:
        return {"error": "missing", "name": str(error.args[0]) if error.args else ""}
    except IndexError:
        return {"error": "index"}
    except ZeroDivisionError:
        return {"error": "zero"}
    except OverflowError:
        return {"error": "overflow"}
    except TypeError:
        return {"error": "type"}
    except (ValueError, RuntimeError):
        return {"error": "undefined"}
    return {"value": value} if isinstance(value, bool) else {"error": "not-boolean"}


def references(expression: str) -> Answer:
    try:
        found = compiled(expression).references()
    except (ValueError, RuntimeError) as error:
        return {"error": "syntax", "detail": str(error)}
    return {"variables": found["variables"], "functions": found["functions"]}


def main(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal is the parent's to act on
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line)
        if "batch" in request:
            sys.stdout.buffer.write(msgspec.json.encode(together(request, seconds)) + b"\n")
            sys.stdout.buffer.flush()
            continue
        for answer in answers(request, seconds):
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()


def answers(request: dict[str, Any], seconds: float) -> Any:
    for expression in request.get("compile", ()):
        with_limit(seconds)
        yield references(expression)
    context = cel.Context(request.get("facts", {}))
    for item in request.get("items", ()):
        # The context is shared and only these change: converting the facts is what costs.
        for name, value in {**item.get("bound", {}), "params": item["params"]}.items():
            context.add_variable(name, value)
        with_limit(seconds)
        yield evaluate(item["expression"], context)
        for name in item.get("bound", ()):
            context.add_variable(name, None)  # nobody else's name; a context forgets none
    signal.setitimer(signal.ITIMER_PROF, 0)


def together(request: dict[str, Any], seconds: float) -> list[list[Any]]:
    answers = [
        list(of_one(each, request["expressions"], request["params"], seconds)) for each in request["batch"]
    ]
    signal.setitimer(signal.ITIMER_PROF, 0)
    return answers


def of_one(asked: dict[str, Any], expressions: list[Any], params: list[Any], seconds: float) -> Iterator[Any]:
    context, held = cel.Context(asked["facts"]), -1
    for item in asked["items"]:
        expression, needed, *bound = expressions[item] if isinstance(item, int) else item
        if needed not in (-1, held):
            context.add_variable("params", params[needed])
            held = needed
        for name, value in (bound[0] if bound else {}).items():
            context.add_variable(name, value)
        with_limit(seconds)
        answer = evaluate(expression, context)
        yield answer.get("value", answer)
        for name in bound[0] if bound else ():
            context.add_variable(name, None)


def with_limit(seconds: float) -> None:
    """From here on so much processor time; SIGPROF is not handled, so it ends the process wherever it is."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]))
