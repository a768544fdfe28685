"""The parts of the embedded development server; `serving/server.py` puts them together.

flags          the command's flags; needs no TensorFlow
configuration  flags and files become ServerOptions
protos         configuration messages that the API package leaves out
status         errors with a gRPC code, and what TensorFlow's errors become
tensors        TensorProto to array and back
batching       the stock server's parameters for batching
scheduler      queues of requests that run together, and the threads that run them
limits         what a request may ask for
signatures     a model's signatures as plain data
servable       one loaded version: a session, its signatures, its leases
versions       one version's states, and which versions a model should have
catalog        the models, their versions and labels, as requests find them
manager        which versions are loaded: polling, retries, policies
inference      Predict and Classify on a servable; warm-up
metrics        request counts and latencies under the stock server's names
core           the calls of the API, counted, free of any transport
endpoints      gRPC services, health, reflection
call_threads   the threads of gRPC calls
json_tensors   JSON to tensors and back
rest           JSON over HTTP, metrics page
server         all of these together, in one process
"""
