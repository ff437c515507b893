"""The model server in every image: one model, loaded once, answered over HTTP.

Read `server.py` for the process, `app.py` for the paths, `batching.py` for what makes it quick and
`model.py` for what a format has to provide. It is started as `python -m placet.runtime`. The platform never
imports it and it imports nothing of the platform: an image holds this package and no other of ours.
"""
