"""How papers, claims, runs and submissions read as JSON. All read-only; requests are checked elsewhere."""

from rest_framework import serializers

from papers.identifiers import link
from papers.models import Claim, Entry, Identifier, Paper, Submission, Technique
from reproduce.models import Measurement, Run, RunEvent


class TechniqueSerializer(serializers.ModelSerializer):
    papers = serializers.IntegerField(source="used", help_text="How many papers use it")

    class Meta:
        model = Technique
        fields = ["slug", "name", "axis", "papers"]


class IdentifierSerializer(serializers.ModelSerializer):
    url = serializers.SerializerMethodField()

    class Meta:
        model = Identifier
        fields = ["scheme", "value", "url"]

    def get_url(self, identifier) -> str:
        return link(identifier.scheme, identifier.value)


class PaperSerializer(serializers.ModelSerializer):
    """A paper as lists show it. Give it search.with_evidence() and in_full()."""

    page = serializers.CharField(source="get_absolute_url", help_text="Where people read it on this site")
    authors = serializers.ListField(child=serializers.CharField(), source="author_list")
    techniques = serializers.SlugRelatedField("slug", many=True, read_only=True)
    axes = serializers.SerializerMethodField()
    identifiers = IdentifierSerializer(many=True)
    url = serializers.CharField(help_text="Where the paper itself is, or empty")
    code_url = serializers.CharField(help_text="Where its code is, or empty")
    claimed = serializers.IntegerField(help_text="How many claims it makes")
    measured = serializers.IntegerField(help_text="How many numbers full runs measured for it")
    headline = serializers.ChoiceField(
        Measurement.Verdict.choices, allow_null=True, help_text="Verdict of its latest headline number"
    )

    class Meta:
        model = Paper
        fields = [
            "key", "page", "title", "authors", "authors_complete", "year", "month", "venue", "kind", "axes",
            "techniques", "identifiers", "url", "code_url", "origin", "verified", "added", "changed",
            "claimed", "measured", "headline",
        ]  # fmt: skip

    def get_axes(self, paper) -> list[str]:
        return list(dict.fromkeys(technique.axis for technique in paper.techniques.all()))


class ClaimSerializer(serializers.ModelSerializer):
    """What a paper says of itself: `value` `unit` against `baseline` in `setting`."""

    paper = serializers.SlugRelatedField("key", read_only=True)
    metric_name = serializers.CharField()

    class Meta:
        model = Claim
        fields = [
            "paper", "slug", "metric", "metric_name", "kind", "value", "low", "high", "range_printed", "unit",
            "better", "baseline", "setting", "locator", "verified", "source_kind", "provenance",
        ]  # fmt: skip


class MeasurementSerializer(serializers.ModelSerializer):
    """What a run measured, with its 95 % interval, beside the claim it is held against."""

    claim = serializers.SlugRelatedField("slug", read_only=True, allow_null=True)
    claimed = serializers.DictField(
        allow_null=True, help_text="The claim as it stood when this was judged by it"
    )
    corrected_since = serializers.BooleanField(help_text="Whether the claim says something else by now")

    class Meta:
        model = Measurement
        fields = [
            "run", "name", "label", "metric", "claim", "claimed", "corrected_since", "value", "low",
            "high", "n", "unit", "predicted", "predicted_note", "noise", "detail", "headline",
            "verdict", "verdict_reason",
        ]  # fmt: skip


class RunSerializer(serializers.ModelSerializer):
    """A run as lists show it. Select paper, requested_by and worker with it."""

    page = serializers.CharField(source="get_absolute_url", help_text="Where people watch it on this site")
    paper = serializers.SlugRelatedField("key", read_only=True)
    requested_by = serializers.SlugRelatedField(
        "username",
        read_only=True,
        allow_null=True,
        help_text="Who asked for it; null if nobody's account did",
    )
    worker = serializers.SlugRelatedField("name", read_only=True, allow_null=True)

    class Meta:
        model = Run
        fields = [
            "id", "page", "recipe", "recipe_version", "recipe_digest", "paper", "preset", "parameters",
            "device", "device_name", "gpus", "labels", "origin", "requested_by", "status", "failure",
            "message", "attempt", "worker", "progress", "step", "cancel_requested", "queued", "started",
            "finished", "gpu_seconds", "energy_j",
        ]  # fmt: skip


class RunEventSerializer(serializers.ModelSerializer):
    class Meta:
        model = RunEvent
        fields = ["at", "attempt", "status", "who", "why"]


class RunDetailSerializer(RunSerializer):
    """A run with all that is known of it now. The raw samples, series and trace are in its bundle."""

    position = serializers.SerializerMethodField(help_text="Place in the queue; null once it started")
    starts_in_s = serializers.SerializerMethodField(help_text="Until its turn, as far as history tells")
    estimate_s = serializers.SerializerMethodField(help_text="Median of the latest runs of this recipe")
    notice = serializers.SerializerMethodField(
        help_text="Why it waits or was joined, and what to do; or empty"
    )
    has_bundle = serializers.SerializerMethodField()
    guards = serializers.ListField(child=serializers.DictField())
    measurements = MeasurementSerializer(many=True)
    events = RunEventSerializer(many=True)

    class Meta(RunSerializer.Meta):
        fields = [
            *RunSerializer.Meta.fields, "time_limit", "position", "starts_in_s", "estimate_s", "notice",
            "has_bundle", "bundle_sha256", "guards", "measurements", "events",
        ]  # fmt: skip

    def get_position(self, run) -> int | None:
        return self.context["place"] and self.context["place"][0]

    def get_starts_in_s(self, run) -> float | None:
        return self.context["place"] and self.context["place"][1]

    def get_estimate_s(self, run) -> float | None:
        return self.context["estimate_s"]

    def get_notice(self, run) -> str:
        return self.context["notice"]

    def get_has_bundle(self, run) -> bool:
        return bool(run.bundle_sha256)


class LogSerializer(serializers.Serializer):
    text = serializers.CharField()
    next = serializers.IntegerField(help_text="Ask with after=this for what comes later")
    attempt = serializers.IntegerField(help_text="Each attempt begins a new log at 0")
    status = serializers.ChoiceField(Run.Status.choices)


class ContributedRunSerializer(RunSerializer):
    """A run that somebody measured elsewhere and sent in; it never counts towards a paper's verdict."""

    measurements = MeasurementSerializer(many=True)

    class Meta(RunSerializer.Meta):
        fields = [*RunSerializer.Meta.fields, "measurements"]


class PaperDetailSerializer(PaperSerializer):
    """A paper with its evidence: what it claims, and what its latest runs measured."""

    former_keys = serializers.SlugRelatedField("key", many=True, read_only=True)
    recipes = serializers.ListField(child=serializers.SlugField(), help_text="Those that re-measure it")
    claims = ClaimSerializer(many=True)
    measurements = MeasurementSerializer(many=True, help_text="Of the runs below")
    runs = RunSerializer(many=True, source="latest_runs", help_text="The latest 50")
    contributed = ContributedRunSerializer(many=True, help_text="From elsewhere, apart: the latest 50")

    class Meta(PaperSerializer.Meta):
        fields = [
            *PaperSerializer.Meta.fields, "abstract", "sources", "details", "former_keys", "recipes",
            "claims", "measurements", "runs", "contributed",
        ]  # fmt: skip


class ParameterSerializer(serializers.Serializer):
    name = serializers.CharField()
    help = serializers.CharField()
    type = serializers.CharField(help_text="int, float, int_list, choice or bool")
    smoke = serializers.JSONField(help_text="Its value in the preset smoke")
    full = serializers.JSONField(help_text="Its value in the preset full")
    min = serializers.FloatField(allow_null=True)
    max = serializers.FloatField(allow_null=True)
    max_items = serializers.IntegerField()
    choices = serializers.ListField(child=serializers.CharField())


class MeasureSerializer(serializers.Serializer):
    name = serializers.CharField()
    label = serializers.CharField()
    metric = serializers.CharField()
    claim = serializers.CharField(allow_null=True, help_text="The slug of the claim it is held against")
    rule = serializers.CharField()
    tolerance = serializers.FloatField(allow_null=True)
    headline = serializers.BooleanField()
    scored = serializers.BooleanField()
    note = serializers.CharField()


class RecipeSerializer(serializers.Serializer):
    """What a recipe says about itself."""

    slug = serializers.SlugField()
    title = serializers.CharField()
    version = serializers.IntegerField()
    digest = serializers.CharField(help_text="SHA-256 over the recipe's files")
    summary = serializers.CharField()
    paper = serializers.SerializerMethodField(help_text="The key of the paper here; null if it is not here")
    identifier = serializers.CharField(source="paper", help_text='The paper as "scheme:value"')
    tier = serializers.CharField()
    origin = serializers.CharField()
    differs = serializers.ListField(child=serializers.CharField(), help_text="What differs from the paper")
    gpus = serializers.IntegerField()
    gpu_memory_gb = serializers.FloatField()
    time_limit_s = serializers.DictField(child=serializers.IntegerField(), help_text="For each preset")
    parameters = ParameterSerializer(many=True, source="schema")
    measures = MeasureSerializer(many=True)
    changes = serializers.ListField(child=serializers.DictField())

    def get_paper(self, recipe) -> str | None:
        paper = self.context["papers"].get(recipe.slug)
        return paper and paper.key


class EntrySerializer(serializers.ModelSerializer):
    """One reference: whether it is new, already here or invalid, and what was decided."""

    title = serializers.SerializerMethodField()
    notes = serializers.SerializerMethodField(help_text="What was left out or read in a particular way")
    paper = serializers.SlugRelatedField("key", read_only=True, allow_null=True)

    class Meta:
        model = Entry
        fields = [
            "position", "line", "format", "title", "found", "reason", "notes",
            "decision", "decision_reason", "decided", "paper",
        ]  # fmt: skip

    def get_title(self, entry) -> str:
        return entry.fields.get("title", "")

    def get_notes(self, entry) -> list[str]:
        return entry.fields.get("notes", [])


class SubmissionSerializer(serializers.ModelSerializer):
    page = serializers.CharField(source="get_absolute_url", help_text="Where people read it on this site")
    count = serializers.IntegerField(help_text="Entries in it")
    pending = serializers.IntegerField(help_text="Entries that no moderator decided on yet")

    class Meta:
        model = Submission
        fields = ["id", "page", "created", "filename", "note", "count", "pending"]


class SubmissionDetailSerializer(SubmissionSerializer):
    entries = EntrySerializer(many=True)

    class Meta(SubmissionSerializer.Meta):
        fields = [*SubmissionSerializer.Meta.fields, "text", "entries"]
