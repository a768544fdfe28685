"""The client, and a development server, of models that hali_tf exports."""
