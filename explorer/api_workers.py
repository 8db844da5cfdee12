"""Workers as JSON: what each has and does, and its operators' orders."""

from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

from explorer.api import Problem, body, described, missing
from reproduce import pool
from reproduce.models import Worker
from reproduce.operators import is_operator


class SlotSerializer(serializers.Serializer):
    device = serializers.ChoiceField([("cuda", "GPU"), ("cpu", "CPU")])
    name = serializers.CharField(help_text="The GPU's name, or CPU")
    gpus = serializers.ListField(child=serializers.CharField(), help_text="UUIDs of the GPUs it has")
    memory_gb = serializers.FloatField(allow_null=True, help_text="Of the smallest of its GPUs")
    state = serializers.ChoiceField([(state, state) for state in ("idle", "busy", "blocked")])
    why = serializers.CharField(help_text="What it does, or who keeps its GPU from it")


class WorkerSerializer(serializers.ModelSerializer):
    slots = SlotSerializer(many=True)
    versions = serializers.DictField(child=serializers.CharField())
    labels = serializers.ListField(child=serializers.CharField(), help_text="What runs may ask for")

    class Meta:
        model = Worker
        fields = [
            "id", "name", "host", "orders", "ordered_by", "ordered", "slots", "labels", "versions",
            "started", "seen",
        ]  # fmt: skip


class OrdersRequest(serializers.Serializer):
    orders = serializers.ChoiceField(
        Worker.Orders.choices, help_text="serve; pause: take no new run; drain: then leave, once idle"
    )


@described("workers_list", {200: WorkerSerializer(many=True)})
@api_view(["GET"])
def workers(request):
    """The workers that are alive, as each last told of itself."""
    return Response(WorkerSerializer(pool.alive_workers(), many=True).data)


@described(
    "workers_order", {200: WorkerSerializer}, problems=[400, 401, 403, 404, 409, 411, 413, 415],
    request=OrdersRequest, methods=["POST"],
)  # fmt: skip
@api_view(["POST"])
def orders(request, worker_id):
    """Tell a worker to serve, pause or drain: the operators' right."""
    if not is_operator(request.user):
        raise Problem(403, "not_yours", "Only operators tell workers what to do.")
    asked = body(request, OrdersRequest)
    worker = Worker.objects.filter(pk=worker_id).first()
    if worker is None:
        raise missing(f"There is no worker {worker_id}.", "GET /api/workers lists those that are alive.")
    if not pool.give_orders(worker, asked["orders"], who=request.user.get_username()):
        raise Problem(409, "already_so", f"{worker.name} has left, or was told so already.")
    worker.refresh_from_db()
    return Response(WorkerSerializer(worker).data)
