"""Bare Starlette: the smallest handler from JSON over the model to JSON."""

from __future__ import annotations

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.runtime.peers.loading import load

model = load()


async def predict(request: Request) -> JSONResponse:
    rows = (await request.json())["inputs"]
    return JSONResponse({"outputs": model.predict(np.array(rows)).tolist()})


async def ready(request: Request) -> JSONResponse:
    return JSONResponse({"ready": True})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/ready", ready)])
