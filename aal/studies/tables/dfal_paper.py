"""Tables 1 to 4 of paper *dfal* (Ducoffe and Precioso, Adversarial Active Learning for Deep Networks), as printed.

Names that a study's rows may use: ``DATA/NETWORK/STRATEGY``, such as ``MNIST/LeNet5/DFAL``; in Table 1 the strategy
``All`` is random choice of the whole training set; in Table 4 the network is ``LeNet5->VGG8``.
"""

STRATEGIES = ("DFAL", "BALD", "CEAL", "CORE-SET", "EGL", "uncertainty", "RANDOM")
LABELS = (100, 500, 800, 1000)
ACCURACY: dict[str, tuple[tuple[float, ...], ...]] = {  # Table 1, in %: STRATEGIES below each other, LABELS beside
    "MNIST/LeNet5": (
        (82.77, 96.23, 97.71, 98.02),
        (51.88, 91.96, 93.69, 94.24),
        (71.81, 94.81, 96.77, 97.33),
        (78.86, 96.52, 97.53, 98.03),
        (58.44, 73.86, 78.57, 78.57),
        (57.96, 92.52, 94.84, 96.41),
        (77.56, 92.83, 94.63, 95.31),
    ),
    "MNIST/VGG8": (
        (84.28, 96.90, 97.98, 98.59),
        (53.73, 91.47, 94.32, 94.32),
        (50.87, 90.69, 90.69, 90.69),
        (78.80, 96.68, 97.46, 97.88),
        (37.92, 91.84, 93.99, 93.99),
        (45.57, 88.36, 94.27, 94.60),
        (69.79, 91.96, 94.05, 94.46),
    ),
    "Shoe-Bag/LeNet5": (
        (94.62, 98.50, 98.98, 99.10),
        (93.10, 97.95, 97.95, 97.95),
        (84.65, 98.50, 99.00, 99.12),
        (92.50, 98.75, 99.07, 99.25),
        (75.07, 95.47, 95.47, 95.47),
        (95.78, 98.35, 98.85, 98.98),
        (95.50, 98.07, 98.07, 98.07),
    ),
    "Shoe-Bag/VGG8": (  # 0.50 at 100 labels is printed so; chance is 50
        (87.73, 98.53, 99.30, 99.50),
        (86.78, 95.35, 97.83, 97.83),
        (84.20, 98.78, 99.25, 99.52),
        (0.50, 99.12, 99.12, 99.12),
        (0.50, 97.28, 97.28, 97.28),
        (83.75, 83.75, 83.75, 83.75),
        (86.78, 95.83, 97.08, 97.08),
    ),
    "Quick-Draw/LeNet5": (
        (82.56, 89.63, 90.72, 91.09),
        (72.65, 87.18, 88.34, 88.45),
        (70.46, 87.04, 88.31, 89.39),
        (79.58, 88.93, 90.54, 90.53),
        (57.48, 64.05, 64.05, 69.85),
        (69.24, 86.89, 88.54, 89.09),
        (78.09, 87.03, 88.98, 89.42),
    ),
    "Quick-Draw/VGG8": (
        (84.23, 91.52, 93.16, 93.91),
        (82.00, 89.94, 91.92, 92.87),
        (64.45, 79.66, 85.73, 88.65),
        (66.71, 89.93, 92.28, 92.62),
        (63.12, 86.80, 90.06, 90.06),
        (52.77, 88.05, 89.31, 91.03),
        (78.28, 88.13, 89.71, 89.94),
    ),
}
FULL = {  # Table 1, column "All", in %
    "MNIST/LeNet5": 99.04,
    "MNIST/VGG8": 98.98,
    "Shoe-Bag/LeNet5": 99.70,
    "Shoe-Bag/VGG8": 99.50,
    "Quick-Draw/LeNet5": 95.46,
    "Quick-Draw/VGG8": 96.75,
}
EFFORT: dict[str, tuple[int, int, bool]] = {  # Table 2: annotations, labelled data, and whether it got there with them
    "MNIST/LeNet5/DFAL": (1210, 2410, True),
    "MNIST/LeNet5/CORE-SET": (1810, 1810, True),
    "MNIST/LeNet5/CEAL": (6000, 6150, False),
    "MNIST/VGG8/DFAL": (980, 1950, True),
    "MNIST/VGG8/CORE-SET": (1270, 1270, True),
    "MNIST/VGG8/uncertainty": (2800, 2800, True),
    "Shoe-Bag/LeNet5/DFAL": (1070, 2130, True),
    "Shoe-Bag/LeNet5/CORE-SET": (860, 860, True),
    "Shoe-Bag/LeNet5/CEAL": (1130, 19157, True),
    "Shoe-Bag/VGG8/DFAL": (530, 1050, True),
    "Shoe-Bag/VGG8/CORE-SET": (400, 400, True),
    "Shoe-Bag/VGG8/CEAL": (580, 705, True),
    "Quick-Draw/LeNet5/DFAL": (7470, 14930, True),
    "Quick-Draw/LeNet5/CORE-SET": (8590, 8590, False),
    "Quick-Draw/LeNet5/uncertainty": (10590, 10590, False),
    "Quick-Draw/VGG8/DFAL": (4810, 9610, True),
    "Quick-Draw/VGG8/CORE-SET": (6750, 6750, False),
    "Quick-Draw/VGG8/BALD": (5590, 5590, True),
}
SECONDS = {  # Table 3: 10 of 800 with 100 labelled, on a GTX TITAN X
    "DFAL": 126.54,
    "CORE-SET": 891.78,  # with an outlier bound, its "regularisation"
    "CORE-SET without outliers": 784.99,
}
SECONDS_LABELS = 100
TRANSFER = {  # Table 4, in %: accuracy with 1,000 annotations that the network before the arrow chose
    "MNIST/LeNet5->VGG8/DFAL": 97.80,
    "MNIST/LeNet5->VGG8/CORE-SET": 96.90,
    "MNIST/LeNet5->VGG8/RANDOM": 94.46,
    "MNIST/VGG8->LeNet5/DFAL": 97.93,
    "MNIST/VGG8->LeNet5/CORE-SET": 97.40,
    "MNIST/VGG8->LeNet5/RANDOM": 95.31,
    "Quick-Draw/LeNet5->VGG8/DFAL": 92.87,
    "Quick-Draw/LeNet5->VGG8/CORE-SET": 91.06,
    "Quick-Draw/LeNet5->VGG8/RANDOM": 89.94,
    "Quick-Draw/VGG8->LeNet5/DFAL": 89.23,
    "Quick-Draw/VGG8->LeNet5/CORE-SET": 89.41,
    "Quick-Draw/VGG8->LeNet5/RANDOM": 89.42,
    "Shoe-Bag/LeNet5->VGG8/DFAL": 99.40,
    "Shoe-Bag/LeNet5->VGG8/CORE-SET": 99.12,
    "Shoe-Bag/LeNet5->VGG8/RANDOM": 97.08,
    "Shoe-Bag/VGG8->LeNet5/DFAL": 98.75,
    "Shoe-Bag/VGG8->LeNet5/CORE-SET": 98.50,
    "Shoe-Bag/VGG8->LeNet5/RANDOM": 98.07,
}


def accuracies() -> dict[str, dict[int | None, float]]:
    """Return Table 1 by name: accuracy in [0, 1] by number of labels, ``None`` for the whole training set."""
    found: dict[str, dict[int | None, float]] = {}
    for setting, rows in ACCURACY.items():
        for strategy, row in zip(STRATEGIES, rows, strict=True):
            percent = zip(LABELS, row, strict=True)
            found[f"{setting}/{strategy}"] = {labels: round(value / 100, 4) for labels, value in percent}
        found[f"{setting}/All"] = {None: round(FULL[setting] / 100, 4)}
    return found
