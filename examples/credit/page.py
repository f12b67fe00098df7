"""The credit desk as a page: inputs at the side, features, decision and reasons beside it."""

from __future__ import annotations

import sys

import pandas as pd
import streamlit as st

from examples.credit import features
from examples.credit.decision import Application, Decision
from examples.credit.desk import Desk
from examples.credit.loans import HOMES, INTENTS
from examples.credit.model import Model
from examples.credit.settings import CreditSettings
from examples.credit.tables import Tables
from streaming.errors import TidemarkError

COLOURS = {"approved": st.success, "rejected": st.error, "referred": st.warning}


@st.cache_resource
def opened(redis: str) -> tuple[Desk, Model]:
    """The desk of the Redis at `redis` (host:port), which run.py has filled, and its model."""
    settings = CreditSettings()
    store = features.local(settings.folder / "repo", redis)
    return Desk(settings, Tables(settings.tables), store), Model.load(settings.models)


def asked() -> dict[str, object]:
    """What the visitor enters."""
    usual = Application.model_construct()
    side = st.sidebar
    side.header("Application")
    return {
        "dob_ssn": side.text_input("Date of birth and last four digits", usual.dob_ssn, help="YYYYMMDD_NNNN"),
        "zipcode": side.number_input("Zip code", 501, 99_950, usual.zipcode),
        "person_age": side.slider("Age", 18, 100, usual.person_age),
        "person_income": side.number_input(
            "Yearly income, dollars", 1, 10_000_000, usual.person_income, 1_000
        ),
        "person_home_ownership": side.selectbox("Housing", HOMES),
        "person_emp_length": side.slider("Years of employment", 0.0, 60.0, usual.person_emp_length, 1.0),
        "loan_intent": side.selectbox("Purpose", INTENTS, INTENTS.index(usual.loan_intent)),
        "loan_amnt": side.slider("Amount, dollars", 500, 35_000, usual.loan_amnt, 500),
    }


def shown(decision: Decision, values: dict[str, object], today: str) -> None:
    """The decision, its reasons and what it rests on."""
    COLOURS[decision.outcome](f"**{decision.text}** As of {today}.")
    left, right = st.columns(2)
    left.metric("Probability of default", f"{decision.probability:.1%}")
    right.metric("Loans are given below", f"{decision.threshold:.0%}")
    for note in decision.notes:
        st.info(note)
    st.subheader("What speaks against it")
    if decision.reasons:
        reasons = pd.DataFrame({r.text: [r.share] for r in decision.reasons}).T.rename(
            columns={0: "log-odds"}
        )
        st.bar_chart(reasons, horizontal=True, height=80 + 40 * len(reasons))
    else:
        st.write("Nothing more than against the average loan.")
    st.subheader("Features")
    held = pd.Series(values, name="value").map(
        lambda v: "unknown" if v is None else f"{v:,}" if isinstance(v, int) else str(v)
    )
    st.dataframe(held.sort_index(), height=360)


def main(redis: str) -> None:
    """Draw the page once."""
    st.set_page_config(page_title="Credit desk", page_icon=":bank:")
    st.title("Credit desk")
    given = asked()
    try:
        desk, model = opened(redis)
        decision, record = desk.decide(model, given)
    except TidemarkError as error:
        st.error(str(error))
        return
    shown(decision, record.values, f"{desk.today:%Y-%m-%d}")


if __name__ == "__main__":
    main(sys.argv[1])
