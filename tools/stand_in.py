"""What answers as TF Serving does, over REST and gRPC; tools/serve_local.py starts it."""

import base64
import concurrent.futures
import json
import math

import flask
import grpc
import numpy as np
import tensorflow as tf
import werkzeug.exceptions
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from mocotf.errors import first_line

# What a request may raise; the last where it is nested too deeply.
WRONG = (ArithmeticError, KeyError, TypeError, ValueError, tf.errors.OpError, RecursionError)


def rest(model, name, version):
    """Returns the web application of the REST interface to a `SessionModel`."""
    app = flask.Flask(__name__)
    own = {"name": name, "version": version}

    @app.get("/v1/models/<name>")
    @app.get("/v1/models/<name>/versions/<version>")
    def status(**asked):
        check(asked)
        state = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return {"model_version_status": [{"version": own["version"]} | state]}

    @app.post("/v1/models/<name>:predict")
    @app.post("/v1/models/<name>/versions/<version>:predict")
    def predict(**asked):
        check(asked)
        try:
            body = json.loads(flask.request.get_data(), **STRICT)
            rows = "instances" in body
            elements = body["instances" if rows else "inputs"]
            signature = body.get("signature_name", "serving_default")
            outputs = model.predict(signature, to_array(elements, *model.input_of(signature)))
        except WRONG as error:
            return {"error": f"{type(error).__name__}: {first_line(error)}"}, 400
        outputs = {name: values.tolist() for name, values in outputs.items()}
        if not rows:
            return {"outputs": outputs}
        columns = zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in columns]}

    def check(asked):
        if asked != {key: own[key] for key in asked}:
            flask.abort(404, f"Servable not found for request: {asked}")

    @app.errorhandler(werkzeug.exceptions.HTTPException)
    def failed(error):
        return {"error": error.description}, error.code

    return app


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number that can be kept")
    return number


def _once(pairs):
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name comes twice in an object")
    return dict(pairs)


# As the server reads JSON, which Python reads more kindly.
STRICT = {"parse_constant": _finite, "parse_float": _finite, "object_pairs_hook": _once}


def to_array(elements, name, dtype):
    """Returns the array of what JSON holds of an input: a list, or an object that names it."""

    def plain(value):
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, dict) and value.keys() == {"b64"}:
            return base64.b64decode(value["b64"], validate=True)
        return plain(value[name]) if isinstance(value, dict) else value

    return np.array(plain(elements), dtype)


def serve_grpc(model, served, host, port):
    """Starts the gRPC interface; returns the server and its port."""

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802  (gRPC's name)
            asked = request.model_spec
            signature = asked.signature_name or "serving_default"
            if asked.name != served:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {asked.name}")
            try:
                name, _ = model.input_of(signature)
                outputs = model.predict(signature, tf.make_ndarray(request.inputs[name]))
            except WRONG as error:
                said = f"{type(error).__name__}: {first_line(error)}"
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, said)
            response = predict_pb2.PredictResponse()
            for key, values in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(values))
            return response

    # Else two servers would share a port, and each get a part of the requests.
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server, port
