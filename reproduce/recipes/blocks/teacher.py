"""The trained byte model that compression recipes start from, kept in the user's cache once it is made.

Losses are nats a byte, ids are (sequences, length + 1); a checkpoint is used only if its SHA-256 fits.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from reproduce.recipes import corpora
from reproduce.recipes.blocks import tinygpt
from reproduce.recipes.blocks.learning import Plan, train, validation_loss
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context

VERSION = 2  # 1 took 2000 steps and overfitted
PLANS = {"smoke": Plan(steps=70, rate=3e-3, evaluations=1), "full": Plan(steps=1200, rate=1e-3)}
SHAPES = {"smoke": tinygpt.SMOKE, "full": tinygpt.SMALL}
BATCHES = {"smoke": 16, "full": 64}
CORPUS_BYTES = {"smoke": 300_000, "full": 4_700_000}
HELD_OUT = {"smoke": 60, "full": 600}  # sequences; a multiple of every number of seeds in use


@dataclass
class Teacher:
    """A trained model in fp32, and the text that it learnt and is judged by."""

    model: TinyGPT
    text: Text
    held: torch.Tensor

    def calibration(self, seed: int, count: int) -> torch.Tensor:
        """(count, length) ids from random places of the training half."""
        generator = torch.Generator().manual_seed(10_000 + seed)
        return self.text.draw(count, self.model.shape.length, generator)[:, :-1]

    def held_out(self, seed: int, seeds: int) -> torch.Tensor:
        """A seed's own share of the held-out sequences, spread over all of them."""
        return self.held[seed::seeds]

    def loss(self, model: nn.Module, seed: int = 0, seeds: int = 1) -> float:
        """Validation loss of a model on a seed's share, in fp32 throughout."""
        return validation_loss(model, self.held_out(seed, seeds), parts=4, half=False)


def teacher(context: Context, begin: float = 0.1, end: float = 0.4) -> Teacher:
    """The model of the run's preset, from the cache or trained now between these fractions of the run.

    Writes where it came from into `context.data`.
    """
    shape, plan = SHAPES[context.preset], PLANS[context.preset]
    corpus = corpora.code(CORPUS_BYTES[context.preset])
    model = TinyGPT(shape, seed=plan.seed).to(context.device)
    text = Text.of(corpus, context.device)
    made = Teacher(model, text, text.held_out(HELD_OUT[context.preset], shape.length))
    made_from = {"shape": asdict(shape), "plan": asdict(plan), "batch": BATCHES[context.preset]}
    made_from = json.loads(json.dumps({**made_from, "corpus": corpus.record(), "version": VERSION}))
    path = _folder() / f"teacher-{_digest(json.dumps(made_from, sort_keys=True).encode())[:32]}.pt"
    context.progress(begin, "a small language model to compress")
    origin, content = "cache", _cached(path)
    if content is None:
        origin = "trained in this run"
        _learn(context, made, plan, begin, end)
        content = _content(model)
        _keep(context, path, content)
    model.load_state_dict(torch.load(io.BytesIO(content), map_location=context.device, weights_only=True))
    model.eval().requires_grad_(False)
    context.data["teacher"] = {
        **made_from,
        "origin": origin,
        "sha256": _digest(content),
        "parameters": model.size(),
        "validation_nats_per_byte": made.loss(model),
    }
    return made


def linears(model: TinyGPT) -> Iterator[tuple[str, nn.Linear]]:
    """The layers that compression touches, first to last: all products but embedding and output."""
    return ((name, part) for name, part in model.blocks.named_modules() if isinstance(part, nn.Linear))


def replace(model: TinyGPT, name: str, module: nn.Module) -> None:
    """Puts another module in the place of one that `linears` named."""
    parent, _, last = name.rpartition(".")
    setattr(model.blocks.get_submodule(parent), last, module)


def _learn(context: Context, made: Teacher, plan: Plan, begin: float, end: float) -> None:
    count, length = BATCHES[context.preset], made.model.shape.length
    curve = train(
        made.model,
        lambda step, generator: made.text.draw(count, length, generator),
        plan,
        lambda model: validation_loss(model, made.held, half=False),
        progress=lambda done: context.progress(begin + (end - begin) * done, "teaching it"),
    )
    context.samples["teacher"] = curve.record()
    context.log(f"The teacher's validation loss: {', '.join(f'{loss:.3f}' for loss in curve.validation)}.")


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "spectrum" / "teachers"


def _cached(path: Path) -> bytes | None:
    """The checkpoint's bytes if there are any and their digest, kept beside them, fits."""
    try:
        content, wanted = path.read_bytes(), path.with_suffix(".sha256").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return content if _digest(content) == wanted.strip() else None


def _keep(context: Context, path: Path, content: bytes) -> None:
    """Writes both files, whole or not at all; a cache that cannot be written is only slower."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, part in ((path, content), (path.with_suffix(".sha256"), _digest(content).encode())):
            passing = target.with_name(f"{target.name}.{os.getpid()}")
            passing.write_bytes(part)
            passing.replace(target)
    except OSError as error:
        context.log(f"The teacher is not kept for other runs: {error.strerror}.")


def _content(model: nn.Module) -> bytes:
    kept = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, kept)
    return kept.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
