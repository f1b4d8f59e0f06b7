import pandas as pd

def process(df):
    open = df["open"]
    eval = df["eval"]
    return pd.DataFrame({"sum": open + eval})
# ---
def process(df):
    df["y"] = df.open + df.eval("open * 2")
    df["source_upper"] = df.source.str.upper()
    return df
# ---
def process(df):
    df["x"] = df.data * 2
    return df[["source", "data", "x"]]
# ---
def process(df):
    df["kind"] = df["info"].map(lambda value: type(value).__name__)
    return df
# ---
def process(df):
    input, dir, vars = 1, 2, 3
    df["n"] = input + dir + vars
    return df
# ---
def process(df):
    class Scaler:
        def __init__(self, values):
            self.mean = values.mean()
            self._std = values.std()
        def scale(self, values):
            return (values - self.mean) / self._std
    scaler = Scaler(df["price"])
    df["scaled"] = scaler.scale(df["price"])
    return df
# ---
def process(df):
    class Base:
        def __init__(self, name):
            self.name = name
    class Child(Base):
        def __init__(self, name):
            super().__init__(name)
        def __repr__(self):
            return f"Child({self.name})"
    print(Child("x"))
    return df
# ---
def process(df):
    def gen(values):
        total = 0
        for value in values:
            total += value
            yield total
    df["total"] = list(gen(df["qty"]))
    return df
# ---
def process(df):
    try:
        df["price"] = df["price"].astype(int)
    except (ValueError, TypeError) as error:
        print("left as it is:", error)
    return df
# ---
def process(df):
    if "missing" not in df.columns:
        df["missing"] = 0
    return df
# ---
def process(df):
    assert len(df) > 0, "no rows"
    return df
# ---
def process(df):
    if df.empty:
        raise ValueError("the data set is empty")
    return df
# ---
def process(df):
    match df["city"].iloc[0]:
        case "Recife":
            df["first"] = 1
        case str() as other if len(other) > 3:
            df["first"] = 2
        case _:
            df["first"] = 3
    return df
# ---
def process(df):
    if (n := len(df)) > 10:
        df["many"] = n
    return df
# ---
def process(df):
    df["total"] = sum(df[name] for name in ("qty", "id"))
    return df
# ---
def process(df):
    pairs = {city: i for i, city in enumerate(sorted(df["city"].dropna().unique()))}
    df["code"] = df["city"].map(pairs)
    return df
# ---
def process(df):
    for name in df.select_dtypes("number").columns:
        df[f"{name}_x2"] = df[name] * 2
    return df
# ---
def process(df):
    i = 0
    while i < 3:
        df[f"c{i}"] = i
        i += 1
    else:
        df["done"] = True
    return df
# ---
def process(df):
    def helper(value, factor=2, *args, **kwargs):
        return value * factor
    df["x"] = df["qty"].apply(helper, factor=3)
    return df
# ---
def process(df):
    compose = lambda f, g: lambda value: f(g(value))
    df["x"] = df["qty"].map(compose(lambda v: v + 1, lambda v: v * 2))
    return df
# ---
def process(df):
    first, *rest = df.columns
    return df[[first, *rest[:2]]]
# ---
def process(df):
    a, b = 1, 2
    a, b = b, a
    df["x"] = df["qty"].map({n: n if n % 2 else None for n in range(20)})
    return df
# ---
import pandas as pd

def process(df):
    numbers = sorted({int(n) for n in df["qty"]}, reverse=True)
    return pd.DataFrame({"n": numbers, "even": [not n & 1 for n in numbers]})
# ---
def process(df):
    print("rows:", len(df), sep=" ", end="\n")
    for i, name in enumerate(df.columns, start=1):
        print(f"{i:>3} {name}")
    return df
# ---
import pandas as pd

def process(df):
    def total(df: pd.DataFrame) -> "pd.Series":
        out: "pd.Series" = df["price"] * df["qty"]
        return out
    df["total"] = total(df)
    return df
# ---
def process(df):
    memo = {}
    def fib(n):
        if n < 2:
            return n
        if n not in memo:
            memo[n] = fib(n - 1) + fib(n - 2)
        return memo[n]
    df["fib"] = df["qty"].map(fib)
    return df
# ---
import pandas as pd

def process(df):
    pd.set_option("display.max_columns", 50)
    with pd.option_context("display.width", 200):
        print(df.head(2))
    return df
# ---
def process(df):
    names = [name for name in df if hasattr(df[name], "str") and name == "city"]
    df["n"] = len(names)
    return df
# ---
def process(df):
    df["m"] = getattr(df["qty"], "mean")()
    return df
# ---
def process(df):
    method = {"mean": "mean", "sum": "sum"}["sum"]
    return df.groupby("city")["qty"].agg(method).reset_index()
# ---
import pandas as pd

def process(df):
    df["ok"] = pd.api.types.is_numeric_dtype(df["price"])
    return df
# ---
from pandas.api.types import is_string_dtype

def process(df):
    return df[[name for name in df.columns if is_string_dtype(df[name])]]
# ---
from pandas import DataFrame, Series, to_datetime

def process(df):
    return DataFrame({"x": Series([1, 2, 3]), "d": to_datetime(["2024-01-01"] * 3)})
# ---
from __future__ import annotations

def process(df):
    out = df.copy()
    del out["info"]
    return out
# ---
def process(df):
    df["x"] = df["qty"].apply(lambda n: "par" if n % 2 == 0 else "ímpar")
    return df
# ---
def process(df):
    nonlocal_total = 0
    def add(n):
        nonlocal nonlocal_total
        nonlocal_total += n
        return nonlocal_total
    df["running"] = [add(n) for n in df["qty"]]
    return df
# ---
def process(df):
    df["complex"] = [abs(complex(a, b)) for a, b in zip(df["qty"], df["id"])]
    return df
# ---
def process(df):
    df["pow"] = [pow(2, int(n), 7) for n in df["qty"]]
    df["hex"] = df["id"].map(hex)
    return df
# ---
def process(df):
    df["chars"] = df["category"].map(ord).map(chr)
    return df
# ---
def process(df):
    df["all"] = bool(df["active"].all()) or any(df["active"])
    df["round"] = [round(v, 1) for v in df["price"].fillna(0)]
    return df
# ---
import pandas as pd, numpy as np

def process(df):
    return pd.DataFrame(np.eye(3), columns=list("abc"))
# ---
def process(df):
    """Soma o total de cada linha."""
    df["total"] = df["price"].mul(df["qty"]).add(1).sub(1).div(2)
    return df
# ---
def process(df):
    df["lista"] = df.apply(lambda row: [row["qty"], row["id"]], axis=1)
    return df
# ---
def process(df):
    df["bytes"] = df["category"].str.encode("utf-8")
    return df
# ---
def process(df):
    df.loc[len(df)] = df.iloc[0]
    return df
# ---
import pandas as pd

def process(df):
    rows = df.to_dict("records")
    rows.sort(key=lambda row: (row["category"], -row["qty"]))
    return pd.DataFrame(rows)
# ---
def process(df):
    return df.map(lambda value: value.strip() if isinstance(value, str) else value)
# ---
def process(df):
    df["ordem"] = range(1, len(df) + 1)
    return df[df["ordem"].apply(lambda n: n % 10 == 0)]
# ---
import numpy as np
import pandas as pd

def process(df):
    df["interval"] = pd.IntervalIndex.from_breaks(np.arange(len(df) + 1))
    return df
# ---
import pandas as pd

def process(df):
    df["sparse"] = pd.arrays.SparseArray([0] * (len(df) - 1) + [1])
    return df
# ---
import pandas as pd

def process(df):
    df["nullable"] = pd.array([1, None] * (len(df) // 2), dtype="Int64")
    return df
# ---
import pandas as pd

def process(df):
    df["delta"] = pd.to_timedelta(df["qty"], unit="h")
    return df
