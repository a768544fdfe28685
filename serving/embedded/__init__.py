"""The parts of the embedded development server; `serving/server.py` puts them together.

protos     configuration messages that the API package leaves out
status     errors with a gRPC code, and what TensorFlow's errors become
tensors    TensorProto to array and back
servable   one loaded version: a session, its signatures, its leases
batching   one queue a signature, shared threads, the stock server's parameters
manager    which versions are loaded: polling, retries, policies, labels
inference  Predict, Classify and metadata on a servable; warm-up
core       the calls of the API, free of any transport
endpoints  gRPC services and health
rest       JSON over HTTP, metrics page
metrics    request counts and latencies under the stock server's names
"""
