"""Tables as people have them: kinds of columns, frames, missing cells, labels, possible values."""

import datetime
import logging
import warnings

import numpy as np
import pandas
import polars
import pytest

import genzoo
from genzoo.applications import AnomalyDetector, Augmenter, Imputer, TablePreprocessor

HOME, WORK = 2000.0, 7000.0
NOON = pandas.Timestamp("2024-01-01 12:00")


def spending(n=300, seed=0):
    random = np.random.default_rng(seed)
    kind = random.choice(["home", "work"], n)
    amount = np.where(kind == "home", HOME, WORK) + 100 * random.normal(size=n)
    return pandas.DataFrame({"amount": amount, "kind": kind})


def visits(n=200, seed=0):
    """A column of each kind."""
    random = np.random.default_rng(seed)
    when = NOON + pandas.to_timedelta(random.integers(0, 9000, n), unit="h")
    return spending(n, seed).assign(
        when=when,
        there=when.tz_localize("UTC").tz_convert("Asia/Tokyo"),
        stamp=when.strftime("%Y-%m-%d %H:%M"),
        day=[t.date() for t in when],
        took=pandas.to_timedelta(random.integers(1, 500, n), unit="s"),
        visits=random.integers(0, 90, n),
        vip=random.random(n) < 0.3,
        postcode=random.choice(["01234", "45074"], n),
        grade=pandas.Categorical(random.integers(1, 4, n)),
    )


KINDS = ["number", "category", *["date"] * 4, "duration", "integer", *["category"] * 3]


def test_each_column_keeps_its_kind_there_and_back():
    table = visits()
    preprocessor = TablePreprocessor().fit(table)
    assert preprocessor.kinds_ == KINDS
    back = preprocessor.inverse_transform(preprocessor.transform(table))
    for j, name in enumerate(table):
        expected = table[name].tolist()
        if name == "amount":
            np.testing.assert_allclose(back[:, j].astype(float), expected)
        else:
            assert back[:, j].tolist() == expected, name
    for texts, expected in (
        (["2024-01-05T10:00:00Z", "2024-01-06T11:30:00Z"], "date"),
        (["2024-01-05 10:00:00.250", "2024-01-06 11:00:00.500"], "date"),
        (["31/01/2024", "02/01/2024"], "date"),
        (["20240105", "20240106"], "category"),
        (["2024-01-05", "soon"], "category"),
    ):
        column = {"when": texts * 3}
        preprocessor = TablePreprocessor().fit(column)
        assert preprocessor.kinds_ == [expected], texts
        back = preprocessor.inverse_transform(preprocessor.transform(column))[:2, 0].tolist()
        assert [text.rstrip("0") for text in back] == [text.rstrip("0") for text in texts]


def test_explanations_in_a_table_with_text_are_those_of_its_numbers():
    table = spending()
    row = pandas.DataFrame({"amount": [4500.0], "kind": ["work"]})
    gains = AnomalyDetector().fit(table).explain(row)[0]
    coded = np.c_[table["amount"], table["kind"] == "work"]
    expected = AnomalyDetector().fit(coded).explain(np.array([[4500.0, 1.0]]))[0]
    assert expected[0] > 2
    np.testing.assert_allclose(gains[0], expected[0], rtol=0.3)


def test_a_row_as_a_list_scores_as_in_a_frame():
    table = spending(100).assign(city=["Rome", "Oslo"] * 50)
    detector = AnomalyDetector().fit(table)
    for row in ([HOME, np.nan, "Rome"], [np.nan, "work", "Oslo"], [None, None, "Rome"]):
        framed = detector.score_samples(pandas.DataFrame([row], columns=table.columns))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(detector.score_samples([row]), framed)
    bare = AnomalyDetector().fit(table.to_numpy().tolist())
    row = [[4500.0, "home", "Rome"]]
    assert np.array(row).dtype.kind == "U"
    np.testing.assert_array_equal(bare.score_samples(np.array(row)), bare.score_samples(row))


def test_new_times_and_names_are_as_usual_as_the_old():
    def log(seed):
        random = np.random.default_rng(seed)
        when = NOON + pandas.to_timedelta(random.integers(0, 10**7, 400), unit="s")
        names = [f"guest {i}" for i in random.integers(0, 10**9, 400)]
        return pandas.DataFrame(
            {"when": when.astype(str), "name": names, "x": random.normal(size=400)}
        )

    for columns in (["when", "x"], ["name", "x"]):
        detector = AnomalyDetector(contamination=0.01).fit(log(0)[columns])
        assert (detector.predict(log(1)[columns]) == -1).mean() < 0.04


def test_names_of_columns_are_checked_and_nothing_else_is_told():
    table = spending()
    for estimator in (AnomalyDetector(), Imputer(num_components=1), TablePreprocessor()):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            estimator.fit(table)
            call = getattr(estimator, "predict", None) or estimator.transform
            call(table)
        with pytest.raises(ValueError, match="same order"):
            call(table[["kind", "amount"]])
        with pytest.raises(ValueError, match="now missing"):
            call(table.rename(columns={"kind": "sort"}))


def test_what_a_column_cannot_hold_is_refused_by_its_name():
    table = visits()
    detector = AnomalyDetector().fit(table)
    for name, value, message in (
        ("amount", np.inf, "finite numbers in column 'amount'"),
        ("visits", "many", "integers in column 'visits'"),
        ("stamp", "soon", "dates in column 'stamp'"),
    ):
        column = table[name].astype(object)
        column[3] = value
        wrong = table.assign(**{name: column})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(genzoo.GenzooError, match=message):
                detector.predict(wrong)
    wrong = table.assign(amount=[None] * len(table))
    for estimator in (AnomalyDetector(), Imputer(), TablePreprocessor()):
        with pytest.raises(genzoo.GenzooError, match="column 'amount' with none"):
            estimator.fit(wrong)
        with pytest.raises(genzoo.GenzooError, match="column 'day' with date and integer"):
            estimator.fit(table.assign(day=[3, *table["day"][1:]]))


def holed(table, each=10):
    table = table.assign(vip=table["vip"].astype(object))
    for j, name in enumerate(table):
        if name != "visits":
            table.loc[j * each : (j + 1) * each - 1, name] = None
    return table


@pytest.mark.parametrize("convert", [False, True])
def test_frames_are_imputed_in_kind(convert):
    table = visits()
    holes = holed(table)
    if convert:
        holes = holes.convert_dtypes()
        assert holes["kind"].isna().any()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        imputer = Imputer(num_components=2).fit(holes)
        bare = imputer.transform(holes)
        filled = imputer.set_output(transform="pandas").transform(holes)
    for name in ("kind", "when", "day", "took", "vip", "visits"):
        assert bare[:, list(table).index(name)].tolist() == filled[name].tolist(), name
    assert dict(filled.dtypes) == dict(holes.dtypes)
    assert not filled.isna().any().any()
    pandas.testing.assert_frame_equal(filled.where(holes.notna()), holes.where(holes.notna()))
    assert (filled["kind"] == table["kind"]).all(), "amounts tell the kind"
    assert filled["when"].between(table["when"].min(), table["when"].max()).all()
    assert set(filled["postcode"]) == {"01234", "45074"}
    assert set(filled["grade"]) == {1, 2, 3}
    assert {type(truth) for truth in filled["vip"].tolist()} == {bool}
    assert all(str(text)[10:11] == " " and len(str(text)) == 16 for text in filled["stamp"])


def test_polars_frames_and_dicts_are_tables():
    table = visits()[["amount", "kind", "when", "visits", "vip"]]
    columns = {name: table[name].tolist() for name in table}
    columns["when"] = table["when"].dt.to_pydatetime().tolist()
    frame = polars.DataFrame(columns)
    expected = TablePreprocessor().fit(table).transform(table)
    for rows in (frame, columns):
        np.testing.assert_array_equal(TablePreprocessor().fit(rows).transform(rows), expected)
    few = {name: values[:50] for name, values in columns.items()}
    assert AnomalyDetector().fit(few).score_samples(frame[:2]).shape == (2,)
    holes = frame.with_columns(
        polars.when(polars.int_range(polars.len()) < 5).then(None).otherwise(polars.col(name))
        .alias(name) for name in ("when", "kind", "visits")
    )  # fmt: skip
    filled = Imputer(num_components=2).set_output(transform="polars").fit_transform(holes)
    assert filled.schema == holes.schema
    assert not filled.null_count().sum_horizontal().sum()
    assert filled["kind"].to_list() == columns["kind"]
    y = polars.Series("y", ["a"] * 150 + ["b"] * 50)
    more, labels = Augmenter(num_components=1).fit_resample(frame, y)
    assert (more.schema, labels.name, len(more)) == (frame.schema, "y", 300)


def test_numbers_stay_where_they_can_be():
    random = np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "price": np.round(random.lognormal(1, 1, 400), 2),
            "visits": random.poisson(1.0, 400),
            "share": random.beta(0.5, 0.5, 400),
            "size": random.choice([1.5, 2.0, 8.0], 400),
            "rain": np.maximum(random.normal(size=400), 0.0),
        }
    )
    y = np.repeat(["many", "few"], [330, 70])
    more, labels = Augmenter(num_components=2).fit_resample(table, y)
    holes = table.mask(random.random(table.shape) < 0.2)
    imputer = Imputer(num_components=2).fit(holes)
    filled = [imputer.transform(holes), *imputer.set_params(multiple=2).transform(holes)]
    tables = [more[400:], *(pandas.DataFrame(x, columns=table.columns) for x in filled)]
    for new in tables:
        assert (new.min() >= table.min()).all()
        assert (new.max() <= table.max()).all()
        assert set(new["size"]) <= {1.5, 2.0, 8.0}
        assert (new["visits"] % 1 == 0).all()
        np.testing.assert_allclose(new["price"], new["price"].round(2), atol=1e-12)
    few = table[labels[:400] == "few"]
    # not clipped to the ends, but drawn anew
    assert abs(more["share"][400:].mean() - few["share"].mean()) < 0.1
    assert (more["price"][400:] == few["price"].min()).mean() < 0.05


@pytest.mark.parametrize("model", ["gaussian_mixture", "realnvp"])
def test_a_class_gets_what_its_rows_have(model):
    random = np.random.default_rng(0)
    y = np.repeat(["many", "few"], [200, 40])
    few = y == "few"
    table = pandas.DataFrame(
        {
            "letter": np.where(few, "b", random.choice(["a", "b", "c"], 240)),
            "change": np.where(few, -1, 1) * random.lognormal(size=240),
            "never": np.where(few, None, random.choice(["p", "q"], 240)),
            "grade": pandas.Categorical(np.where(few, 3, random.integers(1, 4, 240))),
        }
    )
    options = {"num_components": 1}
    if model == "realnvp":
        options = {"num_couplings": 2, "hidden_units": (8,), "epochs": 3}
    more, _ = Augmenter(model, **options).fit_resample(table, y)
    new = more[240:]
    assert len(new) == 160
    assert set(new["letter"]) == {"b"}
    assert set(new["grade"]) == {3}
    assert (new["change"] < 0).all()
    assert new["never"].isna().all()
    assert dict(more.dtypes) == dict(table.dtypes)


def test_labels_are_kept_as_smote_keeps_them():
    table = spending(60)
    y = np.array(["many"] * 45 + ["few"] * 15, dtype=object)
    series = pandas.Series(y, name="target", index=range(7, 67))
    kept = {
        "objects": (y, lambda new: new.dtype == object),
        "list": (y.tolist(), lambda new: isinstance(new, list)),
        "series": (series, lambda new: new.name == "target" and new.dtype == series.dtype),
        "categorical": (pandas.Categorical(y), lambda new: isinstance(new, pandas.Categorical)),
        "category": (series.astype("category"), lambda new: new.dtype == "category"),
        "frame": (series.to_frame(), lambda new: list(new.columns) == ["target"]),
        "one-hot": (pandas.get_dummies(series), lambda new: (new.sum(axis=1) == 1).all()),
    }
    for name, (given, is_kept) in kept.items():
        more, new = Augmenter(num_components=1).fit_resample(table, given)
        assert len(more) == len(new) == 90, name
        assert type(new) is type(given), name
        assert is_kept(new), name
        flat = np.asarray(new)
        expected = np.asarray(given)
        assert (flat[:60] == expected).all() and (flat[60:] == expected[-1]).all(), name
    with pytest.raises(genzoo.GenzooError, match="missing labels"):
        Augmenter().fit_resample(table, series.where(series == "few"))


def test_contamination_takes_effect_after_fit():
    x = np.random.default_rng(0).normal(size=(400, 2))
    detector = AnomalyDetector(contamination=0.05).fit(x)
    before = detector.offset_
    detector.set_params(contamination=0.3)
    assert detector.offset_ > before
    expected = np.quantile(detector.calibration_scores_, 0.3)
    np.testing.assert_array_equal(detector.predict(x) == -1, detector.score_samples(x) < expected)
    with pytest.raises(genzoo.GenzooError, match="at most"):
        detector.set_params(contamination=0.9).predict(x)


@pytest.mark.parametrize("name", ["flow_vae", "two_stage_vae"])
def test_applications_train_models_of_two_phases(name, monkeypatch):
    from genzoo.applications.models import train
    from genzoo.core.registry import build

    model = build(name, event_shape=(2,), latent_dim=2, hidden_units=(4,), seed=0)
    asked = {}

    def fit(x, context=None, **arguments):
        asked.update(arguments)

    monkeypatch.setattr(model, "fit", fit)
    train(model, np.random.default_rng(0).normal(size=(1000, 2)).astype("float32"))
    # 3,000 steps of 128 rows
    assert asked["epochs"] * 8 >= 3000
    assert "validation_data" in asked


def test_fitting_several_detectors_is_quiet():
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    try:
        for d in range(2, 9):
            x = np.random.default_rng(d).normal(size=(30, d)).astype("float32")
            genzoo.GaussianMixture((d,), num_components=1, seed=0).fit(x, epochs=1, verbose=0)
    finally:
        logger.removeHandler(handler)
    assert [text for text in told if "retracing" in text] == []


def test_days_before_1970_and_after_2262_are_dates():
    days = [datetime.date(1632, 10, 31), datetime.date(1969, 7, 20), datetime.date(2400, 2, 29)]
    table = TablePreprocessor().fit({"day": days * 2})
    assert table.inverse_transform(table.transform({"day": days}))[:, 0].tolist() == days


def test_frames_may_repeat_indices_and_miss_a_column_for_once():
    table = spending(80)
    table.index = np.repeat(np.arange(40), 2)
    holes = table.copy()
    holes.iloc[:5, 0] = np.nan
    imputer = Imputer(num_components=1).set_output(transform="pandas").fit(holes)
    filled = imputer.transform(holes)
    assert list(filled) == list(table)
    assert (filled.index == table.index).all()
    np.testing.assert_array_equal(filled.iloc[5:], table.iloc[5:])
    assert not filled.isna().any().any()
    row = pandas.DataFrame([[HOME, np.nan]], columns=table.columns)
    assert imputer.transform(row).iloc[0, 1] == "home"
    more, _ = Augmenter(num_components=1).fit_resample(table, np.repeat([0, 1], [60, 20]))
    assert list(more) == list(table)
    assert len(more) == 120


def test_dates_that_read_in_two_ways_are_asked_for():
    both = [f"{day:02}/{month:02}/2024" for day in range(1, 13) for month in range(1, 13)]
    frame = pandas.DataFrame({"x": np.arange(len(both)) * 1.0, "when": both})
    with pytest.raises(genzoo.GenzooError, match=r"one way.*'when'.*dayfirst"):
        TablePreprocessor().fit(frame)
    first = [f"{day:02}/03/2024" for day in range(1, 29)]
    encoded = TablePreprocessor().fit(pandas.DataFrame({"when": first})).transform([[first[8]]])
    assert np.isfinite(encoded).all()
