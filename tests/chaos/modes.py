"""What a toy may do to the pool, and how its run must end when nobody meddles with it."""

RECIPE = "flashattention-io"  # whose questions are asked; its code is never run
DONE = ("done", "")
OUT_OF_MEMORY, TIMEOUT = ("failed", "out_of_memory"), ("failed", "timeout")
RECIPE_ERROR, BAD_REPORT = ("failed", "recipe_error"), ("failed", "bad_report")

# mode: how it ends, and how often it is asked for beside the others
MODES = {
    "quick": (DONE, 5),
    "slow": (DONE, 8),
    "stubborn": (DONE, 2),  # ignores SIGTERM
    "forks": (DONE, 3),  # leaves grandchildren in sessions of their own
    "loud": (DONE, 1),  # prints until nobody could keep it all
    "hog": (OUT_OF_MEMORY, 1),  # allocates all memory that it can get
    "confess": (OUT_OF_MEMORY, 1),
    "crash": (RECIPE_ERROR, 1),
    "segfault": (RECIPE_ERROR, 1),
    "no_space": (RECIPE_ERROR, 1),  # its file system takes no further byte
    "nan": (BAD_REPORT, 1),
    "garbage": (BAD_REPORT, 1),
    "nothing": (BAD_REPORT, 1),
    "stranger": (BAD_REPORT, 1),  # a sound report about another recipe
    "hang": (TIMEOUT, 1),
}
HANG_LIMIT_S = 3


def question(mode, number):
    """Sound parameters of the recipe that stand for a mode, and ask what no other number asks."""
    return {"batch": list(MODES).index(mode) + 1, "heads": number % 64 + 1, "layers": number // 64 + 1}


def mode_of(parameters):
    return list(MODES)[parameters["batch"] - 1]


def draw(random, count):
    """That many modes at random, each of them at least once if there is room."""
    weights = [weight for _, weight in MODES.values()]
    drawn = [*MODES, *random.choices(list(MODES), weights, k=max(0, count - len(MODES)))][:count]
    random.shuffle(drawn)
    return drawn


def numbers_of(run, measures):
    """The numbers that a toy measures: they follow from its run, so that a mixed-up one is seen."""
    return {name: run % 1000 + position / 100 for position, name in enumerate(measures)}
