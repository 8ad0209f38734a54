"""ComfyUI: a workflow of nodes on another machine, run over HTTP.

An entry of the operator's file names a workflow (`graph.py`) and a mapping (`mapping.py`), which
says what of a request goes to which node. `fill.py` puts a request into the workflow, `media.py`
makes files of its pictures, videos and sound, `preflight.py` compares the workflow with the nodes
and models that a server has, and `service.py` speaks to the server.
"""
