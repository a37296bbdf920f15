"""Files as users have them: tables of spreadsheets, outputs that are whole, saved detectors."""

import gzip
import json
import re

import numpy as np
import pandas
import pytest

import genzoo
from genzoo.applications import AnomalyDetector, Imputer, TablePreprocessor, ensemble
from genzoo.core.files import check_output, replaced_file, replaced_folder
from genzoo.data import CsvTable
from tests.test_scripts import run


def test_outputs_appear_whole_or_not_at_all(tmp_path):
    file, folder = tmp_path / "new" / "a.txt", tmp_path / "new" / "b"
    for content in ("first", "second"):
        with replaced_file(file) as partial:
            partial.write_text(content)
        with replaced_folder(folder) as partial:
            (partial / content).write_text(content)
    for replaced in (replaced_file, replaced_folder):
        with pytest.raises(RuntimeError), replaced(file if replaced is replaced_file else folder):
            raise RuntimeError
    assert file.read_text() == "second"
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.txt", "b"]
    (tmp_path / "plain").write_text("")
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode, "readable as any other"


def test_outputs_are_tried_before_the_work(tmp_path):
    (tmp_path / "taken").write_text("mine")
    long = "x" * 300
    for path in (tmp_path / "taken" / "below", tmp_path / long, tmp_path / long / "below"):
        with pytest.raises(genzoo.GenzooError, match="place to write"):
            check_output(path, overwrite=True)
    with pytest.raises(genzoo.GenzooError, match="Expected a file to replace"):
        check_output(tmp_path, overwrite=True, is_file=True)
    with pytest.raises(genzoo.GenzooError, match="Expected a folder to replace"):
        check_output("/dev/null", overwrite=True)
    assert check_output(tmp_path / "a" / "b", overwrite=False) == tmp_path / "a" / "b"
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def load(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvTable(path, **options)


def kinds(table):
    return {column.name: column.kind for column in table.columns}


def test_numbers_of_a_table_are_the_files_own(tmp_path):
    random = np.random.default_rng(0)
    ids = 123_456_789 + np.arange(400)
    seconds = 1.7e9 + random.normal(size=400)
    file = tmp_path / "t.csv"
    pandas.DataFrame({"id": ids, "count": random.integers(0, 9, 400)}).to_csv(file, index=False)
    data = genzoo.data.load(file, seed=0)
    assert data.x_train.dtype == np.int64
    assert len({*data.x_train[:, 0], *data.x_test[:, 0]}) == 400
    pandas.DataFrame({"id": ids, "seconds": seconds}).to_csv(file, index=False)
    data = genzoo.data.load(file, seed=0)
    assert data.x_train.dtype == np.float64
    both = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_array_equal(both[both[:, 0].argsort()], np.stack([ids, seconds], 1))
    streamed = [*genzoo.data.pipeline(file, shuffle=False).unbatch().as_numpy_iterator()]
    np.testing.assert_array_equal(streamed, np.stack([ids, seconds], 1))
    table = load(file, f"key,x\n{2**53 + 1},0.5\n7,1.5\n")
    assert "rounded, beyond 2**53 beside numbers: key" in table.notes


NUMERIC_HEADERS = {
    # years above numbers with decimals, and above counts far from them
    "2019,2020,2021\n1.5,2.25,3.125\n4.5,5.5,6.5\n": ["2019", "2020", "2021"],
    "2019,2020\n120,340\n130,280\n": ["2019", "2020"],
    "2000,2010,2015\n120,340,7\n130,280,9\n": ["2000", "2010", "2015"],
    "country,2019,2020\nFrance,120,340\nSpain,130,280\n": ["country", "2019", "2020"],
    # wavelengths
    "400,450,500,550\n0.5,1.5,2.5,3.5\n0.1,0.2,0.3,0.4\n": ["400", "450", "500", "550"],
    # what pandas writes for an array
    "0,1,2,3\n" + "0.5,1.5,2.5,3.5\n" * 3: ["0", "1", "2", "3"],
    ",".join(map(str, range(9))) + "\n" + "7,3,1,0,0,8,255,4,9\n" * 3: [*map(str, range(9))],
    "id,1,2\n4,5.5,6.5\n7,8.5,9.5\n": ["id", "1", "2"],
    # rows of data all the same
    "1,2\n3,4\n5,\n7,8\n": None,
    "1,2,3\n4,5,6\n7,8,9\n": None,
    ",".join(map(str, range(9))) + "\n" + ",".join(map(str, range(1, 10))) + "\n": None,
    "5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n": None,
    "2020-01-01,5\n2020-01-02,6\n": None,
    "red,a\nblue,b\nred,c\nblue,a\n": None,
}


@pytest.mark.parametrize("content", NUMERIC_HEADERS)
def test_headers_of_numbers_are_no_rows_and_rows_no_headers(content, tmp_path):
    names = NUMERIC_HEADERS[content]
    table = load(tmp_path / "t.csv", content)
    num_rows = content.count("\n") - (names is not None)
    assert (table.num_rows, len(table.read()[0])) == (num_rows, num_rows)
    if names:
        assert [column.name for column in table.columns] == names
        assert any("the first row names the columns" in note for note in table.notes)


def test_headers_that_may_be_rows_are_asked_for(tmp_path):
    for content in (
        "0,1\n0.01,0.98\n0.02,0.97\n",
        "1990,1991\n1985,1999\n1970,1992\n",
        "3,7\n0.5,1.5\n2.5,3.5\n",
    ):
        with pytest.raises(genzoo.GenzooError, match="header=True or False"):
            load(tmp_path / "t.csv", content)
        assert [load(tmp_path / "t.csv", content, header=h).num_rows for h in (True, False)] == [
            2, 3,
        ]  # fmt: skip


def test_spreadsheets_of_every_country_are_read_as_pandas_is_told_to(tmp_path):
    frame = pandas.DataFrame(
        {
            "größe": [1.5, -2.25, np.nan, 1e-7],
            "n": [10, 20, 30, 40],
            "when": pandas.to_datetime(["2024-01-31", "2024-02-01", "2023-12-24", "2024-03-03"]),
            "open": [True, False, True, True],
            "farbe": ["rot", "weiß", None, "rot; hell"],
        }
    )
    for sep, decimal, encoding, missing, dates in (
        (",", ".", "utf-8", "", "%Y-%m-%d"),
        (";", ",", "cp1252", "NA", "%d.%m.%Y"),
        ("\t", ".", "utf-16", "?", "%m/%d/%Y"),
        (";", ",", "utf-8-sig", "#NV", "%d/%m/%Y %H:%M"),
        ("|", ".", "latin-1", "NULL", "%Y-%m-%dT%H:%M:%SZ"),
    ):
        file = tmp_path / "t.csv"
        frame.to_csv(file, sep=sep, decimal=decimal, encoding=encoding, na_rep=missing,
                     date_format=dates, index=False)  # fmt: skip
        table = CsvTable(file)
        assert list(kinds(table).values()) == ["number", "integer", "date", "truth", "text"]
        x = table.read()[0]
        assert [column.name for column in table.columns] == list(frame.columns)
        theirs = frame["größe"].to_numpy()
        np.testing.assert_array_equal(x[:, 0].astype(float), theirs)
        assert x[:, 1].tolist() == [10, 20, 30, 40]
        assert x[:, 2].tolist() == frame["when"].dt.to_pydatetime().tolist()
        assert x[:, 3].tolist() == [True, False, True, True]
        assert x[:, 4].tolist() == ["rot", "weiß", None, "rot; hell"]
        assert "n integer" in table.notes[0]
        # the way back: what was there is written as it was, and so is what is filled in
        x[2, 0], x[2, 4] = 0.125, "rot"
        table.write(tmp_path / "again.csv", table.filled_rows(x))
        again = CsvTable(tmp_path / "again.csv").read()[0]
        assert abs(again[2, 0] - 0.125) < 1e-9
        assert again[:, [1, 2, 3]].tolist() == x[:, [1, 2, 3]].tolist()
        assert (tmp_path / "again.csv").read_text(table.encoding).splitlines()[:2] == (
            file.read_text(table.encoding).splitlines()[:2]
        )


def test_marks_of_thousands_and_days_are_seen_or_asked_for(tmp_path):
    file = tmp_path / "t.csv"

    def numbers(content, **options):
        return load(file, content, **options).read()[0].tolist()

    assert numbers('a,b\n"1,234",5\n"1,234,567.5",6\n') == [[1234, 5], [1234567.5, 6]]
    assert numbers("a;b\n1.234;3,14\n5.678;2,7\n") == [[1234, 3.14], [5678, 2.7]]
    assert numbers("a;b\n1,234;1\n5,678;2\n") == [[1.234, 1], [5.678, 2]]
    assert numbers("a,b\n1.234,1\n5.678,2\n") == [[1.234, 1], [5.678, 2]]
    assert numbers("a;b\n1 234,5;1\n5\u00a0678,25;2\n") == [[1234.5, 1], [5678.25, 2]]
    assert numbers("sep=;\na;b\n1,5;2\n") == [[1.5, 2]]
    assert numbers("1.0 2.5\n3.0 4.5\n") == [[1.0, 2.5], [3.0, 4.5]]
    for content in ("a;b\n1.234;1\n5.678;2\n", "a\tb\n1,234\t1\n", "a;b;c\n1,23;1.23;1.234\n"):
        with pytest.raises(genzoo.GenzooError, match="decimal="):
            numbers(content)
    assert numbers("a;b\n1.234;1\n", decimal=",") == [[1234, 1]]
    assert numbers("a;b\n1.234;1\n", decimal=".") == [[1.234, 1]]
    assert numbers("d,n\n13/02/2024,1\n01/02/2024,2\n")[1][0].month == 2
    assert numbers("d,n\n02/13/2024,1\n01/02/2024,2\n")[1][0].day == 2
    with pytest.raises(genzoo.GenzooError, match="which is the month"):
        numbers("d,n\n01/02/2024,1\n03/02/2024,2\n")
    assert numbers("d,n\n01/02/2024,1\n", text=["d"]) == [["01/02/2024", 1]]
    assert numbers("d,n\n2024-05-01T12:00:00+02:00,1\n")[0][0].hour == 10


def test_digits_that_are_names_are_text(tmp_path):
    table = load(tmp_path / "t.csv", "zip,key,n\n01234,12345678901234567890,5\n98765,7,6\n")
    assert kinds(table) == {"zip": "text", "key": "text", "n": "integer"}
    assert table.read()[0][0].tolist() == ["01234", "12345678901234567890", 5]
    table = load(tmp_path / "t.csv", "zip,n\n11234,5\n98765,6\n", text=["zip"])
    assert kinds(table) == {"zip": "text", "n": "integer"}


def test_a_few_cells_unlike_the_rest_are_refused_by_name(tmp_path):
    rows = "\n".join(f"{i / 2},{i},2024-01-0{1 + i % 9}" for i in range(30))
    for odd, said in (
        ("n.d.,1,2024-01-01", "'n.d.' in line 32"),
        ("1.5,1,yesterday", "'yesterday' in line 32"),
    ):
        with pytest.raises(genzoo.GenzooError, match=said):
            load(tmp_path / "t.csv", f"a,b,c\n{rows}\n{odd}\n")
        table = load(tmp_path / "t.csv", f"a,b,c\n{rows}\n{odd}\n", ignore=["a", -1])
        assert kinds(table) == {"b": "integer"}
    half = "\n".join("1.5,1" if i % 2 else '"1,5",2' for i in range(30))
    with pytest.raises(genzoo.GenzooError, match="Expected numbers of one form in column 'a'"):
        load(tmp_path / "t.csv", f"a,b\n{half}\n")
    zones = "\n".join(f"2024-01-01T0{i % 9}:00:00{'Z' if i else ''},{i}" for i in range(30))
    with pytest.raises(genzoo.GenzooError, match="Expected dates of one form"):
        load(tmp_path / "t.csv", f"a,b\n{zones}\n")
    # tickets of the Titanic
    mixed = "\n".join(f"{'A/5 ' if i % 4 == 0 else ''}{21171 + i},{i}" for i in range(40))
    assert kinds(load(tmp_path / "t.csv", f"ticket,n\n{mixed}\n"))["ticket"] == "text"


def test_compressed_tables_are_read_and_workbooks_told(tmp_path):
    whole = gzip.compress(b"a,b\n1,2.5\n3,4.5\n5,6.5\n")
    table = load(tmp_path / "t.csv.gz", whole)
    assert table.read()[0].tolist() == [[1, 2.5], [3, 4.5], [5, 6.5]]
    assert genzoo.data.load(tmp_path / "t.csv.gz", test_size=None).x_train.shape == (3, 2)
    for content, said in ((whole[:-9], "readable file"), (b"PK\3\4 sheet", "a workbook")):
        with pytest.raises(genzoo.GenzooError, match=said):
            load(tmp_path / "t.csv.gz", content)


def test_currencies_and_percentages_are_numbers(tmp_path):
    content = "price,share,left\n$12,5%,90 €\n-$1.50,50.5%,7 €\n,,\n"
    table = load(tmp_path / "t.csv", content + '"$1,234.25",1%,8 €\n')
    assert set(kinds(table).values()) == {"number"}
    assert "price number ($#, 1 missing)" in table.notes[0]
    x = table.read()[0]
    assert x[[0, 1, 3]].tolist() == [[12, 5, 90], [-1.5, 50.5, 7], [1234.25, 1, 8]]
    x[2] = [-3.5, 2.25, 4]
    assert [*table.filled_rows(x)][2] == ["-$3.50", "2.2%", "4 €"]
    # 0.05 is not 5%
    with pytest.raises(genzoo.GenzooError, match=r"'0\.05' in line 2"):
        load(tmp_path / "u.csv", "price,share,left\n$1,0.05,3 €\n", columns=table.columns)
    mixed = "\n".join(f"{'€' if i == 20 else '$'}{i},1" for i in range(40))
    with pytest.raises(genzoo.GenzooError, match="'€20' in line 22"):
        load(tmp_path / "t.csv", f"a,b\n{mixed}\n")


def test_a_second_table_is_read_as_the_first(tmp_path):
    first = load(
        tmp_path / "a.csv", "zip,x,n,when\n01234,1.5,3,2024-01-31\n98765,2.5,4,2024-02-01\n"
    )
    second = load(
        tmp_path / "b.csv", "more;when;n;x;zip\nz;31.12.2023;7;2;11111\n", columns=first.columns
    )
    (row,) = second.read()[0].tolist()
    assert row[:3] == ["11111", 2.0, 7]
    assert (row[3].day, row[3].year) == (31, 2023)
    for content, said in (
        ("zip,x,n\n1,2,3\n", "'when'"),
        ("zip,x,n,when\n1,red,3,2024-01-01\n", "'red' in line 2"),
        ("zip,x,n,when\n1,1.5,3,4\n", "'4' in line 2"),
    ):
        with pytest.raises(genzoo.GenzooError, match=said):
            load(tmp_path / "b.csv", content, columns=first.columns)


@pytest.fixture(scope="module")
def payments(tmp_path_factory):
    """A table of payments, dates, text and keys, whose row 61 no other is like."""
    random = np.random.default_rng(0)
    n = 300
    kind = random.choice(["home", "work"], n)
    frame = pandas.DataFrame(
        {
            "id": 123_456_789 + np.arange(n),
            "when": pandas.Timestamp("2024-01-01") + pandas.to_timedelta(np.arange(n), unit="h"),
            "kind": kind,
            "amount": (np.where(kind == "home", 2000, 7000) + 50 * random.normal(size=n)).round(2),
            "visits": random.poisson(4, n),
            "paid": random.random(n) < 0.8,
            "note": [f"note {i}" for i in range(n)],
            "label": "usual",
        }
    )
    frame.loc[60, ["kind", "amount", "visits", "label"]] = ["home", 7100.0, 40, "odd"]
    folder = tmp_path_factory.mktemp("payments")
    frame.to_csv(folder / "t.csv", index=False, sep=";", decimal=",", date_format="%d.%m.%Y %H:%M")
    return folder, frame


def test_detect_scores_all_rows_by_their_lines_and_columns_by_name(payments, tmp_path):
    folder, frame = payments
    options = ("--ignore", "id", "label", "--contamination", "0.02")
    said = run("detect", "--data", folder / "t.csv", *options, "--output", "out", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "left out, different in most rows: note" in said.stdout
    scores = pandas.read_csv(tmp_path / "out" / "scores.csv")
    assert scores["line"].tolist() == list(range(2, 302))
    assert scores["line"][scores["score"].argmin()] == 62
    first = said.stdout[said.stdout.index("line ") :].splitlines()[0]
    assert first.startswith("line 62: p = 0.0")
    assert re.findall(r"(\w+) \(", first)[0] in ("visits", "amount", "kind")
    # new rows, in another order of columns and another form, as Python scores them
    new = frame.iloc[[60, 5]].drop(columns=["id"])[::-1]
    new[["amount", "visits", "paid", "kind", "when"]].to_csv(tmp_path / "new.csv", index=False)
    said = run("detect", "--with", "out", "new.csv", "--output", "again", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    scores = pandas.read_csv(tmp_path / "again" / "scores.csv")
    assert scores["anomaly"].tolist() == [0, 1]
    detector = AnomalyDetector.load(tmp_path / "out" / "detector")
    columns = {name: new[name].to_numpy() for name in ("when", "kind", "amount", "visits", "paid")}
    np.testing.assert_allclose(detector.score_samples(columns), scores["score"], rtol=1e-4)
    for arguments, words in (
        (["--with", "out"], "Expected a folder and a file"),
        (["--with", "out", "new.csv", "--normal", "usual"], "--normal beside --with"),
        (["--with", ".", "new.csv"], "AnomalyDetector.save wrote"),
    ):
        said = run("detect", *arguments, cwd=tmp_path)
        assert (said.returncode, words in said.stderr) == (2, True), said.stderr


def test_detect_learns_the_usual_label_of_a_table(payments, tmp_path):
    options = ("--label", "label", "--normal", "usual", "--ignore", "id", "note")
    said = run("detect", "--data", payments[0] / "t.csv", *options, "--output", "out", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "auroc: 1.000" in said.stdout
    assert len(pandas.read_csv(tmp_path / "out" / "scores.csv")) == 300
    # what has no label is no anomaly
    lines = (payments[0] / "t.csv").read_text().splitlines()
    lines[1:21] = [line.removesuffix("usual") for line in lines[1:21]]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    said = run("detect", "--data", "t.csv", *options, "--output", "again", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    metrics = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert (metrics["anomalies"], metrics["rows"]) == (1, 300)


def test_impute_writes_the_whole_file_with_its_own_cells(payments, tmp_path):
    folder, _ = payments
    lines = (folder / "t.csv").read_text().splitlines()
    holed = [line.split(";") for line in lines]
    random = np.random.default_rng(0)
    for cells in holed[1:]:
        cells[random.integers(1, 6)] = random.choice(["", "NA"])
    (tmp_path / "holes.csv").write_text("\n".join(map(";".join, holed)) + "\n")
    said = run("impute", "--data", "holes.csv", "--output", "out", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    filled = (tmp_path / "out" / "imputed.csv").read_text().splitlines()
    assert filled[0] == lines[0]
    assert len(filled) == len(lines)
    forms = [r"\d+", r"\d\d\.\d\d\.2024 \d\d:\d\d", "home|work", r"\d{4},\d\d?", r"\d+",
             "True|False", r"note \d+", "usual|odd"]  # fmt: skip
    for row, was in zip(filled[1:], holed[1:], strict=True):
        for cell, old, form in zip(row.split(";"), was, forms, strict=True):
            assert re.fullmatch(form, cell), row
            assert cell == old or old in ("", "NA")


def test_sample_writes_a_table_as_it_was_learned(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 2)).round(2)
    frame = pandas.DataFrame({"größe": x[:, 0], "n": 10 + np.round(5 * x[:, 0]).astype(int)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    train = ("train", "gaussian_mixture", "--data", "t.csv", "--option", "num_components=1")
    said = run(*train, "--quiet", "--output", "run", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    said = run("sample", "run", "--n", "50", "--output", "rows.csv", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    rows = pandas.read_csv(tmp_path / "rows.csv")
    assert list(rows.columns) == ["größe", "n"]
    assert (len(rows), rows["n"].dtype.kind) == (50, "i")
    assert (rows["größe"] == rows["größe"].round(2)).all()
    assert abs(rows["größe"].corr(rows["n"])) > 0.9


def test_saved_estimators_judge_alike_and_run_no_code(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2)).astype(object)
    rows = np.concatenate([rows, random.choice(["a", "b"], (200, 1))], axis=1)
    fitted = genzoo.GaussianMixture((2,), num_components=1, seed=0)
    fitted.fit(rows[:, :2].astype(float), epochs=2, verbose=0)
    for i, (detector, x) in enumerate(
        (
            (AnomalyDetector(), rows),
            (AnomalyDetector("gaussian_mixture", score="typicality", num_components=2), rows),
            (AnomalyDetector(preprocessing=TablePreprocessor("power")), rows),
            (AnomalyDetector(fitted), rows[:, :2].astype(float)),
        )
    ):
        detector.fit(x).save(tmp_path / str(i))
        again = AnomalyDetector.load(tmp_path / str(i))
        np.testing.assert_array_equal(again.score_samples(x), detector.score_samples(x))
        np.testing.assert_array_equal(again.p_values(x), detector.p_values(x))
        assert again.offset_ == detector.offset_
        assert again.get_params().keys() == detector.get_params().keys()
    holes = rows.copy()
    holes[:50, 0] = None
    imputer = Imputer(num_components=2).fit(holes)
    imputer.save(tmp_path / "imputer")
    with pytest.raises(genzoo.GenzooError, match="exists"):
        imputer.save(tmp_path / "imputer")
    theirs = Imputer.load(tmp_path / "imputer").transform(holes)
    np.testing.assert_array_equal(theirs, imputer.transform(holes))
    file = tmp_path / "imputer" / "estimator.json"
    for name in ("os.system", "builtins.eval", "genzoo.applications.saving.Path", "sklearn.clone"):
        file.write_text(json.dumps({"estimator": {"object": name, "state": {"dict": []}}}))
        with pytest.raises(genzoo.GenzooError, match="no part of an estimator"):
            Imputer.load(tmp_path / "imputer")
    imputer.preprocessor_.own = print
    with pytest.raises(genzoo.GenzooError, match="which cannot be saved"):
        imputer.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_many_training_rows_are_judged_alike_whether_kept_or_not(monkeypatch):
    monkeypatch.setattr(ensemble, "_NEIGHBOR_ROWS", 2000)
    x = np.random.default_rng(0).normal(size=(4000, 4))
    detector = AnomalyDetector(contamination=0.1).fit(x)
    kept = np.isin(np.arange(4000), detector.model_.training_rows_)
    flagged = detector.training_scores(x) < detector.offset_
    assert abs(flagged[kept].mean() - flagged[~kept].mean()) < 0.02
