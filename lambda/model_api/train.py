"""Train the example model, on the data that come with scikit-learn.

    python train.py iris.joblib      # writes the file and prints its sha256

The same versions of Python, numpy and scikit-learn give the same bytes. Train with the versions that the
layer has: another scikit-learn may not read what this one wrote.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


def train(path: Path) -> str:
    """Write the classifier and the names of its classes to `path`; return the sha256 of the file."""
    data = load_iris()
    classifier = LogisticRegression(max_iter=1000, random_state=0).fit(data.data, data.target)
    joblib.dump({"classifier": classifier, "species": [str(name) for name in data.target_names]}, str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    print(train(Path(sys.argv[1] if len(sys.argv) > 1 else "iris.joblib")))
