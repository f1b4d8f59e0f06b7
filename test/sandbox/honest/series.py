import pandas as pd
import pycatch22

def process(df):
    features = pycatch22.catch22_all(df["price"].fillna(0).tolist())
    return pd.DataFrame({"feature": features["names"], "value": features["values"]})
# ---
import pandas as pd
import catch22

def process(df):
    features = catch22.catch22_all(df["qty"].tolist())
    return pd.DataFrame([features["values"]], columns=features["names"])
# ---
import pandas as pd
from pycatch22 import catch22_all

def process(df):
    features = catch22_all(df["qty"].tolist(), catch24=True)
    return pd.DataFrame({"feature": features["names"], "value": features["values"]})
# ---
import pandas as pd
from catch22 import catch22_all

def process(df):
    rows = []
    for city, part in df.groupby("city"):
        features = catch22_all(part["qty"].tolist())
        rows.append(dict(zip(features["names"], features["values"]), city=city))
    return pd.DataFrame(rows)
# ---
import pandas as pd
import pycatch22 as catch22

def process(df):
    return pd.DataFrame({"acf": [catch22.CO_f1ecac(df["qty"].tolist())]})
# ---
import pandas as pd
import pycatch22

def process(df):
    series = df["qty"].astype(float).tolist()
    return pd.DataFrame({"mode5": [pycatch22.DN_HistogramMode_5(series)], "mode10": [pycatch22.DN_HistogramMode_10(series)]})
# ---
import pandas as pd
import pycatch22

def process(df):
    features = pycatch22.catch22_all(df["qty"].tolist(), short_names=True)
    return pd.DataFrame({"short": features["short_names"], "value": features["values"]})
# ---
import pandas as pd
import pycatch22

def process(df):
    def features(part):
        out = pycatch22.catch22_all(part.tolist())
        return pd.Series(out["values"], index=out["names"])
    return df.groupby("category")["qty"].apply(features).unstack().reset_index()
# ---
import pandas as pd

def process(df):
    lags = pd.concat({f"lag_{n}": df["price"].shift(n) for n in range(1, 4)}, axis=1)
    return df.join(lags)
# ---
import pandas as pd

def process(df):
    values = df["price"].interpolate().bfill()
    acf = [values.autocorr(lag) for lag in range(1, 6)]
    return pd.DataFrame({"lag": range(1, 6), "acf": acf})
# ---
def process(df):
    df["anomaly"] = (df["price"] - df["price"].rolling(5, min_periods=1).median()).abs() > 3 * df["price"].std()
    return df
# ---
def process(df):
    df["state"] = (df["price"] > 50).astype(int)
    df["episode"] = (df["state"] != df["state"].shift()).cumsum()
    return df.groupby("episode").agg(start=("id", "min"), end=("id", "max"), state=("state", "first")).reset_index()
# ---
def process(df):
    df["seasonal"] = df.groupby(df["id"] % 7)["price"].transform("mean")
    df["residual"] = df["price"] - df["seasonal"]
    return df
# ---
def process(df):
    df["upper"] = df["price"].rolling(5).mean() + 2 * df["price"].rolling(5).std()
    df["lower"] = df["price"].rolling(5).mean() - 2 * df["price"].rolling(5).std()
    return df.dropna(subset=["upper", "lower"])
# ---
def process(df):
    train = df[df["id"] <= 40]
    test = df[df["id"] > 40]
    mean = train["price"].mean()
    return test.assign(prediction=mean, error=lambda d: d["price"] - d["prediction"])
