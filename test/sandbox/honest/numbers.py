import numpy as np

def process(df):
    df["log"] = np.log1p(df["price"])
    return df
# ---
import numpy as np

def process(df):
    df["root"] = np.sqrt(df["price"].abs())
    return df
# ---
import numpy as np

def process(df):
    df["norm"] = np.linalg.norm(df[["price", "qty"]].fillna(0).to_numpy(), axis=1)
    return df
# ---
import numpy as np

def process(df):
    values = df["price"].fillna(0).to_numpy()
    df["fft"] = np.abs(np.fft.fft(values))
    return df
# ---
import numpy as np

def process(df):
    slope, intercept = np.polyfit(df["id"], df["price"].fillna(0), 1)
    df["trend"] = slope * df["id"] + intercept
    return df
# ---
import numpy as np

def process(df):
    X = np.column_stack([np.ones(len(df)), df["qty"]])
    beta, *_ = np.linalg.lstsq(X, df["price"].fillna(0), rcond=None)
    df["fit"] = X @ beta
    return df
# ---
import numpy as np

def process(df):
    rng = np.random.default_rng(42)
    df["noise"] = rng.normal(0, 1, len(df))
    return df
# ---
import numpy as np

def process(df):
    np.random.seed(1)
    df["random"] = np.random.rand(len(df))
    return df
# ---
import numpy as np

def process(df):
    df["percentile"] = df["price"].rank(pct=True)
    return df[df["price"] <= np.nanpercentile(df["price"], 95)]
# ---
def process(df):
    q1, q3 = df["price"].quantile([0.25, 0.75])
    iqr = q3 - q1
    return df[df["price"].between(q1 - 1.5 * iqr, q3 + 1.5 * iqr)]
# ---
import numpy as np

def process(df):
    df["z"] = (df["price"] - np.nanmean(df["price"])) / np.nanstd(df["price"])
    return df[np.abs(df["z"]) < 3]
# ---
import numpy as np
import pandas as pd

def process(df):
    counts, edges = np.histogram(df["price"].dropna(), bins=5)
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:], "n": counts})
# ---
import numpy as np

def process(df):
    df["bin"] = np.digitize(df["price"].fillna(0), [20, 40, 60])
    return df
# ---
import numpy as np

def process(df):
    df["smooth"] = np.convolve(df["price"].fillna(0), np.ones(3) / 3, mode="same")
    return df
# ---
import numpy as np

def process(df):
    df["gradient"] = np.gradient(df["price"].fillna(0).to_numpy())
    return df
# ---
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

def process(df):
    windows = sliding_window_view(df["qty"].to_numpy(), 3)
    return pd.DataFrame({"sum": windows.sum(axis=1)})
# ---
import numpy as np

def process(df):
    matrix = df[["price", "qty"]].fillna(0).to_numpy()
    covariance = np.cov(matrix, rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    df["pc1"] = (matrix - matrix.mean(axis=0)) @ vectors[:, -1]
    return df
# ---
import numpy as np
import pandas as pd

def process(df):
    u, s, vt = np.linalg.svd(df[["price", "qty"]].fillna(0), full_matrices=False)
    return pd.DataFrame({"singular": s})
# ---
import numpy as np

def process(df):
    points = df[["price", "qty"]].fillna(0).to_numpy()
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    df["nearest"] = distance.argmin(axis=1)
    return df
# ---
import numpy as np

def process(df):
    points = df[["price", "qty"]].fillna(0).to_numpy()
    centers = points[:3]
    for _ in range(5):
        labels = ((points[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        centers = np.array([points[labels == k].mean(axis=0) if (labels == k).any() else centers[k] for k in range(3)])
    df["cluster"] = labels
    return df
# ---
import numpy as np

def process(df):
    lat, lon = np.radians(df["price"]), np.radians(df["qty"])
    df["distance"] = 6371 * 2 * np.arcsin(np.sqrt(np.sin(lat / 2) ** 2 + np.cos(lat) * np.sin(lon / 2) ** 2))
    return df
# ---
import math

def process(df):
    df["exp"] = [math.exp(-n / 10) for n in df["qty"]]
    return df
# ---
from math import floor, ceil, pi

def process(df):
    df["area"] = pi * df["qty"] ** 2
    df["low"] = df["price"].fillna(0).map(floor)
    df["high"] = df["price"].fillna(0).map(ceil)
    return df
# ---
import math as m

def process(df):
    df["d"] = df.apply(lambda row: m.hypot(row["qty"], row["id"]), axis=1)
    return df
# ---
import numpy as np

def process(df):
    with np.errstate(divide="ignore", invalid="ignore"):
        df["ratio"] = np.true_divide(df["price"], df["qty"])
    return df.replace([np.inf, -np.inf], np.nan)
# ---
import numpy as np

def process(df):
    df["small"] = df["qty"].astype(np.int8)
    df["float32"] = df["price"].astype(np.float32)
    return df
# ---
import numpy as np

def process(df):
    df["flag"] = np.logical_and(df["qty"] > 2, df["active"])
    return df
# ---
import numpy as np

def process(df):
    df["bits"] = np.bitwise_and(df["qty"], 1) == 1
    return df
# ---
import numpy as np

def process(df):
    df["sign"] = np.sign(df["price"] - 50)
    return df
# ---
import numpy as np
import pandas as pd

def process(df):
    values, counts = np.unique(df["qty"], return_counts=True)
    return pd.DataFrame({"qty": values, "n": counts})
# ---
import numpy as np

def process(df):
    order = np.argsort(-df["qty"].to_numpy(), kind="stable")
    return df.iloc[order]
# ---
import numpy as np

def process(df):
    df["cut"] = np.clip(df["price"], 0, 50)
    return df
# ---
import numpy as np

def process(df):
    df["interp"] = np.interp(df["qty"], [0, 5, 10], [0.0, 1.0, 4.0])
    return df
# ---
import numpy as np
import pandas as pd

def process(df):
    grid_x, grid_y = np.meshgrid(np.arange(3), np.arange(2))
    return pd.DataFrame({"x": grid_x.ravel(), "y": grid_y.ravel()})
# ---
import numpy as np

def process(df):
    double = np.vectorize(lambda value: value * 2)
    df["double"] = double(df["qty"])
    return df
# ---
import numpy as np

def process(df):
    df["weekly"] = np.sin(2 * np.pi * df["id"] / 7)
    return df
# ---
import numpy as np

def process(df):
    p = np.polynomial.Polynomial.fit(df["id"], df["qty"], 2)
    df["curve"] = p(df["id"].to_numpy())
    return df
# ---
import numpy as np
import pandas as pd
from numpy.linalg import inv, det

def process(df):
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    return pd.DataFrame(inv(a) * det(a), columns=["a", "b"])
# ---
import numpy as np
import pandas as pd

def process(df):
    masked = np.ma.masked_invalid(df["price"].to_numpy())
    return pd.DataFrame({"mean": [float(masked.mean())]})
# ---
import numpy as np

def process(df):
    df["acc"] = np.cumsum(df["qty"].to_numpy())
    df["steps"] = np.diff(df["qty"], prepend=0)
    return df
# ---
import numpy.random as random

def process(df):
    df["pick"] = random.default_rng(0).choice(["a", "b"], size=len(df))
    return df
# ---
import numpy
import pandas

def process(df):
    return pandas.DataFrame({"x": numpy.arange(3)})
# ---
def process(df):
    df["compound"] = (1 + df["price"].pct_change(fill_method=None).fillna(0)).cumprod()
    return df
# ---
import numpy as np
import pandas as pd

def process(df):
    weights = np.array([0.2, 0.3, 0.5])
    return pd.DataFrame({"w": weights, "softmax": np.exp(weights) / np.exp(weights).sum()})
# ---
import numpy as np

def process(df):
    df["entropy"] = -(df["qty"] / df["qty"].sum()) * np.log2(df["qty"] / df["qty"].sum())
    return df
# ---
import numpy as np
import pandas as pd

def process(df):
    sample = np.random.default_rng(1).integers(0, len(df), size=(100, len(df)))
    means = df["qty"].to_numpy()[sample].mean(axis=1)
    return pd.DataFrame({"low": [np.quantile(means, 0.025)], "high": [np.quantile(means, 0.975)]})
# ---
import numpy as np
import pandas as pd

def process(df):
    matrix = np.einsum("i,j->ij", df["qty"].head(3), df["qty"].head(3))
    return pd.DataFrame(matrix, columns=["a", "b", "c"])
# ---
def process(df):
    total = 0
    history = []
    for value in df["price"].fillna(0):
        total = 0.9 * total + 0.1 * value
        history.append(total)
    df["filtered"] = history
    return df
