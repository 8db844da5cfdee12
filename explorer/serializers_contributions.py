"""How contributions read as JSON."""

from rest_framework import serializers

from explorer.serializers import MeasurementSerializer
from papers.models import Change
from reproduce.models import Contribution


class ContributedMeasurementSerializer(MeasurementSerializer):
    """What a contributed bundle measured, with the verdict that it has or would get."""

    class Meta(MeasurementSerializer.Meta):
        fields = [name for name in MeasurementSerializer.Meta.fields if name != "run"]


class DecisionSerializer(serializers.ModelSerializer):
    """One line of a contribution's public history."""

    who = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    action = serializers.CharField(help_text='"accept", "reject", or "undo" of the decision before')

    class Meta:
        model = Change
        fields = ["when", "who", "action", "why"]


class ContributionSerializer(serializers.ModelSerializer):
    page = serializers.CharField(source="get_absolute_url", help_text="Where people read it on this site")
    sent_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    decided_by = serializers.SlugRelatedField("username", read_only=True, allow_null=True)
    run = serializers.PrimaryKeyRelatedField(
        read_only=True, allow_null=True, help_text="The run that it became once it was accepted"
    )

    class Meta:
        model = Contribution
        fields = [
            "id", "page", "recipe", "device_name", "bundle_sha256", "sent", "sent_by", "decision", "reason",
            "decided", "decided_by", "run",
        ]  # fmt: skip


class ContributionDetailSerializer(ContributionSerializer):
    measurements = ContributedMeasurementSerializer(many=True)
    history = DecisionSerializer(many=True, help_text="The newest first")

    class Meta(ContributionSerializer.Meta):
        fields = [*ContributionSerializer.Meta.fields, "measurements", "history"]
