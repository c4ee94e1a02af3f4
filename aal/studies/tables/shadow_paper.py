"""Table 7 of paper *shadow* (Yu et al., Exploring Adversarial Examples for Efficient Active Learning), as printed.

MNIST with LeNet. Names that a study's rows may use: ``POOL/STRATEGY``, such as ``55k/DFAL`` and ``1.5k/DFAL_e^-3``.
``POOL`` is the size of the unlabelled pool, the paper's "budget"; in ``DFAL_e^-k`` perturbations have that magnitude.
"""

STRATEGIES = ("Random", "DFAL", "DFAL_e^-3", "DFAL_e^-2", "DFAL_e^-1", "Max Conf")
LABELS = (100, 500, 800, 1000)
ACCURACY: dict[str, tuple[tuple[float, ...], ...]] = {  # a row for each strategy, a column for each of LABELS
    "55k": (
        (0.8173, 0.9299, 0.9519, 0.96),
        (0.4458, 0.7031, 0.7656, 0.8063),
        (0.4511, 0.7402, 0.7941, 0.8565),
        (0.4201, 0.7028, 0.8151, 0.8412),
        (0.4178, 0.6849, 0.8098, 0.8373),
        (0.4352, 0.6846, 0.7811, 0.8197),
    ),
    "30k": (
        (0.8105, 0.9441, 0.9582, 0.9637),
        (0.4878, 0.7986, 0.8604, 0.8692),
        (0.5477, 0.8135, 0.8507, 0.8966),
        (0.4648, 0.8028, 0.8938, 0.8845),
        (0.5082, 0.7796, 0.8815, 0.8987),
        (0.5017, 0.7452, 0.8611, 0.8574),
    ),
    "10k": (
        (0.8114, 0.9376, 0.9358, 0.9552),
        (0.5189, 0.7809, 0.8646, 0.9011),
        (0.4006, 0.7902, 0.9007, 0.9174),
        (0.443, 0.802, 0.8915, 0.9284),
        (0.3615, 0.8263, 0.8924, 0.9278),
        (0.4294, 0.7455, 0.8758, 0.8983),
    ),
    "5k": (
        (0.833, 0.9444, 0.9549, 0.9654),
        (0.4639, 0.8375, 0.9289, 0.9507),
        (0.4526, 0.85, 0.9341, 0.9467),
        (0.4785, 0.8488, 0.9376, 0.9588),
        (0.4525, 0.8771, 0.9394, 0.9541),
        (0.4492, 0.8605, 0.8828, 0.9251),
    ),
    "2.5k": (
        (0.7972, 0.9276, 0.9607, 0.9616),
        (0.5183, 0.9101, 0.946, 0.9615),
        (0.512, 0.9304, 0.9595, 0.9634),
        (0.5267, 0.9246, 0.9586, 0.9605),
        (0.5135, 0.9268, 0.9583, 0.9658),
        (0.5094, 0.9125, 0.9524, 0.9559),
    ),
    "1.5k": (
        (0.8121, 0.9498, 0.9599, 0.9603),
        (0.5788, 0.928, 0.9573, 0.9619),
        (0.6159, 0.9299, 0.9656, 0.9694),
        (0.6104, 0.9313, 0.9571, 0.9659),
        (0.6195, 0.9346, 0.9522, 0.9599),
        (0.5793, 0.9292, 0.959, 0.957),
    ),
}


def accuracies() -> dict[str, dict[int | None, float]]:
    """Return Table 7 by name: accuracy in [0, 1] by number of labels."""
    found: dict[str, dict[int | None, float]] = {}
    for pool, rows in ACCURACY.items():
        for strategy, row in zip(STRATEGIES, rows, strict=True):
            found[f"{pool}/{strategy}"] = {labels: value for labels, value in zip(LABELS, row, strict=True)}
    return found
