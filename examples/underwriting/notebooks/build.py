"""Writes the notebooks of this folder: `python -m examples.underwriting.notebooks.build`."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def setup(*imports: str) -> str:
    """The cell that finds tables and store."""
    lines = ["%matplotlib inline", *(f"import {name}" for name in imports), "import pandas as pd", ""]
    lines += ["from examples.underwriting.workspace import Workspace", "", "work = Workspace()"]
    return "\n".join([*lines, "rows = work.tables()", "store = work.store()"])


NOTEBOOKS: dict[str, list[str]] = {
    "01_setup_and_data": [
        """# Set-up and data

Tables of an insurer's customers with months of history: several rows a key, each as it was known at its time.
The folder is `var/underwriting/notebooks`; the first run makes it.""",
        setup(),
        'pd.Series(rows, name="rows").to_frame()',
        "What is registered: entities, views with their TTLs, services.",
        """pd.DataFrame(
    [(v.name, v.entities[0], v.ttl, len(v.features)) for v in store.list_feature_views()],
    columns=["view", "entity", "ttl", "features"],
).sort_values("view", ignore_index=True)""",
        """sorted(service.name for service in store.list_feature_services())""",
        "One customer's credit over the months. A row within the view's TTL stands before each decision.",
        """credit = pd.read_parquet(work.data / "customer_credit_data.parquet")
one = credit[credit.customer_id == credit.customer_id.value_counts().index[0]]
one.plot(x="event_timestamp", y=["credit_score", "insurance_score"], marker="o", figsize=(7, 3));""",
        "Correlations that a model may use: claims rise as credit falls.",
        """risk = pd.read_parquet(work.data / "customer_risk_metrics.parquet")
newest = credit.merge(risk, on=["customer_id", "event_timestamp"]).groupby("customer_id").last()
columns = ["credit_score", "insurance_score", "annual_income", "overall_risk_score", "num_claims_3y"]
newest[columns].corr().round(2)""",
    ],
    "02_feature_engineering": [
        """# Features at a moment

Feast joins past decisions with what was known then; the on-demand views run on the joined rows.""",
        setup("matplotlib.pyplot as plt"),
        """from examples.underwriting import outcomes

applications = outcomes.training_rows(store, work.data / "application_labels.parquet", "underwriting_v1")
applications.filter(like="__").isna().mean().max()""",
        "No null, although two of the views live for an hour only. What the score was worth:",
        """groups = outcomes.groups(applications, "risk_tier", outcomes.TIERS)
pd.DataFrame(groups).round(3)""",
        """held = [g for g in groups if g.count]
plt.bar([g.name for g in held], [g.claimed for g in held])
plt.title("share that filed a claim within 180 days");""",
        "A score is a formula over columns. It can be asked for any values, without a store.",
        """from examples.underwriting.formulas import premium

quote = {
    "age": [24, 45, 80],
    "region_risk_zone": [5, 1, 3],
    "credit_score": [590, 790, 700],
    "requested_coverage": [200_000] * 3,
    "requested_deductible": [500] * 3,
    "vehicle_age": [1, 4, 12],
}
pd.DataFrame(premium.score(quote)).round(2)""",
        "Claims: what an investigator would be sent, with providers' scores as they are and on a wrong scale.",
        """claims = outcomes.training_rows(store, work.data / "claim_labels.parquet", "claims_assessment_v1")
both = {"shares (0 to 1)": outcomes.referrals(claims), "0 to 30": outcomes.referrals(claims, 30)}
pd.DataFrame(both.values(), index=both).round(3)""",
    ],
    "03_training": [
        """# A model beside the score

Does an applicant file a claim within 180 days? Trained on earlier applications, judged on later ones.""",
        setup(),
        """from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from examples.underwriting import outcomes

frame = outcomes.training_rows(store, work.data / "application_labels.parquet", "risk_assessment_bundle_v1")
frame = frame.sort_values("event_timestamp")
numbers = frame.filter(like="__").select_dtypes(["number", "bool"]).astype(float)
known = [name for name in numbers if not name.startswith("underwriting_risk_score")]
cut = int(len(frame) * 0.7)
X, y = numbers[known].fillna(numbers[known].median()), frame.claim_within_180d
len(frame), y.mean().round(3), len(known)""",
        """models = {
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500)),
    "boosted trees": HistGradientBoostingClassifier(max_depth=3, max_iter=60, learning_rate=0.06),
}
chances = {name: m.fit(X[:cut], y[:cut]).predict_proba(X[cut:])[:, 1] for name, m in models.items()}
chances["composite_risk_score"] = 1 - frame["underwriting_risk_score__composite_risk_score"][cut:] / 100
later = y[cut:]
pd.DataFrame(
    {
        name: {
            "ROC-AUC": roc_auc_score(later, p),
            "PR-AUC": average_precision_score(later, p),
            "Brier score": brier_score_loss(later, p),
        }
        for name, p in chances.items()
    }
).T.round(3)""",
        """A PR-AUC is to be held against the share of claims among later applications:""",
        "round(float(later.mean()), 3)",
        """weights = models["logistic regression"][-1].coef_[0]
top = pd.Series(weights, [n.split("__")[1] for n in known]).sort_values(key=abs).tail(10)
top.plot.barh(title="weights of the logistic regression", figsize=(6, 3));""",
    ],
    "04_latency": [
        """# How long a read takes

In this process, without a server: the feature store's own part. `benchmark.py` measures the server.""",
        setup("numpy as np"),
        """import time
from datetime import UTC, datetime

from examples.underwriting.history.tables import VIEWS

store.materialize_incremental(datetime.now(UTC), [v.name for v in VIEWS if v.name.startswith("customer_")])""",
        """from examples.underwriting.benchmark import TARGETS
from examples.underwriting.questions import Questions

questions = Questions(work.data)


def latency(name, batch, times=15):
    service, took = store.get_feature_service(name), []
    for _ in range(times + 2):
        asked = questions.entities(name, batch)
        began = time.perf_counter()
        store.get_online_features(service, asked, full_feature_names=True)
        took.append((time.perf_counter() - began) * 1000)
    return np.percentile(took[2:], [50, 99])


services = ["benchmark_small", "benchmark_medium", "benchmark_large", "benchmark_with_odfv"]
measured = {(name, batch): latency(name, batch) for name in services for batch in (1, 10, 100)}
table = pd.DataFrame(measured, index=["p50 ms", "p99 ms"]).T.round(1)
table["target of p99"] = [TARGETS[batch] for _, batch in table.index]
table""",
        """table["p50 ms"].unstack(0).plot(logx=True, logy=True, marker="o", figsize=(6, 3), xlabel="rows");""",
    ],
}


def notebook(cells: list[str]) -> nbformat.NotebookNode:
    """A notebook of these cells. The first is prose; so is every one that is no Python."""
    made = []
    for number, text in enumerate(cells):
        cell = new_markdown_cell(text) if number == 0 or _prose(text) else new_code_cell(text)
        cell["id"] = f"cell-{number}"
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=made, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _prose(text: str) -> bool:
    try:
        compile("\n".join(line for line in text.splitlines() if not line.startswith("%")), "cell", "exec")
    except SyntaxError:
        return True
    return False


if __name__ == "__main__":
    for name, cells in NOTEBOOKS.items():
        nbformat.write(notebook(cells), Path(__file__).parent / f"{name}.ipynb")
