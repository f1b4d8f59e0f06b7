def process(df):
    return df.groupby("city")["price"].mean().reset_index()
# ---
def process(df):
    return df.groupby("city", as_index=False).agg(total=("price", "sum"), n=("id", "count"))
# ---
def process(df):
    return df.groupby(["city", "category"], dropna=False)["qty"].sum().reset_index()
# ---
def process(df):
    return df.groupby("city").agg({"price": "mean", "qty": "max"})
# ---
def process(df):
    out = df.groupby("city").agg({"price": ["mean", "std"], "qty": "sum"})
    out.columns = ["_".join(part for part in name if part) for name in out.columns]
    return out.reset_index()
# ---
def process(df):
    return df.groupby("city").size().rename("n").reset_index()
# ---
def process(df):
    return df.groupby("city").first().reset_index()
# ---
def process(df):
    return df.sort_values("price").groupby("city").head(2)
# ---
def process(df):
    return df.groupby("city")["price"].nlargest(2).reset_index(level=0)
# ---
def process(df):
    df["city_mean"] = df.groupby("city")["price"].transform("mean")
    return df
# ---
def process(df):
    df["above"] = df["price"] > df.groupby("city")["price"].transform("median")
    return df
# ---
def process(df):
    df["order"] = df.groupby("city").cumcount() + 1
    return df
# ---
def process(df):
    df["group"] = df.groupby("city").ngroup()
    return df
# ---
def process(df):
    df["running"] = df.groupby("city")["qty"].cumsum()
    return df
# ---
def process(df):
    df["before"] = df.groupby("city")["price"].shift(1)
    return df
# ---
def process(df):
    df["rank"] = df.groupby("category")["price"].rank(ascending=False, method="first")
    return df
# ---
def process(df):
    return df.groupby("city").filter(lambda part: len(part) > 5)
# ---
def process(df):
    return df.groupby("city")[["price", "qty"]].apply(lambda part: part.sum()).reset_index()
# ---
def process(df):
    def spread(values):
        return values.max() - values.min()
    return df.groupby("city")["price"].agg(["mean", spread]).reset_index()
# ---
def process(df):
    return df.groupby("city")["price"].agg(lambda values: values.quantile(0.9)).rename("p90").reset_index()
# ---
def process(df):
    return df.groupby("city")["price"].describe().reset_index()
# ---
def process(df):
    return df.groupby(df["date"].str[:7])["price"].sum().reset_index()
# ---
import pandas as pd

def process(df):
    return df.groupby(pd.to_datetime(df["date"]).dt.to_period("M"))["qty"].sum().reset_index()
# ---
import pandas as pd

def process(df):
    return df.groupby(pd.cut(df["price"], [0, 30, 60, 200]), observed=False)["qty"].sum().reset_index()
# ---
def process(df):
    df["share"] = df["price"] / df.groupby("city")["price"].transform("sum")
    return df
# ---
def process(df):
    return df.groupby("city")["price"].apply(lambda values: values.fillna(values.mean())).reset_index(drop=True).to_frame()
# ---
def process(df):
    df["rolling"] = df.groupby("city")["price"].rolling(3, min_periods=1).mean().reset_index(level=0, drop=True)
    return df
# ---
import pandas as pd

def process(df):
    parts = []
    for city, part in df.groupby("city"):
        part = part.assign(n=len(part))
        parts.append(part)
    return pd.concat(parts)
# ---
def process(df):
    groups = dict(list(df.groupby("category")))
    return groups["a"]
# ---
def process(df):
    return df.pivot_table(index="city", columns="category", values="price", aggfunc="mean").reset_index()
# ---
def process(df):
    return df.pivot_table(index="city", values=["price", "qty"], aggfunc={"price": "mean", "qty": "sum"}, margins=True).reset_index()
# ---
def process(df):
    return df.pivot(index="id", columns="category", values="price").reset_index()
# ---
import pandas as pd

def process(df):
    return pd.crosstab(df["city"], df["category"]).reset_index()
# ---
import pandas as pd

def process(df):
    return pd.crosstab(df["city"], df["category"], normalize="index").round(3).reset_index()
# ---
def process(df):
    return df.groupby(["city", "category"])["qty"].sum().unstack(fill_value=0).reset_index()
# ---
def process(df):
    return df.set_index(["id", "city"])[["price", "qty"]].stack().rename("value").reset_index()
# ---
def process(df):
    return df.groupby("city")["category"].agg(lambda values: ",".join(sorted(set(values)))).reset_index()
# ---
def process(df):
    return df.groupby("city")["category"].unique().reset_index()
# ---
def process(df):
    return df.groupby("city")["category"].agg(list).reset_index()
# ---
def process(df):
    return df.groupby("city").agg(first=("price", "first"), last=("price", "last"), distinct=("category", "nunique")).reset_index()
# ---
def process(df):
    return df.groupby("city", sort=False)["qty"].sum().sort_values(ascending=False).head(3).reset_index()
# ---
def process(df):
    return df.groupby("active").mean(numeric_only=True).reset_index()
# ---
def process(df):
    index = df.groupby("city")["price"].idxmax().dropna()
    return df.loc[index]
# ---
import numpy as np
import pandas as pd

def process(df):
    weights = df["qty"]
    return df.groupby("city").apply(lambda part: pd.Series({"wavg": np.average(part["price"].fillna(0), weights=part["qty"])}), include_groups=False).reset_index()
# ---
import pandas as pd

def process(df):
    return df.groupby(pd.Grouper(key="city"))["qty"].sum().reset_index()
# ---
def process(df):
    return df.groupby(lambda row: row % 3)["qty"].sum().rename_axis("rest").reset_index()
# ---
import pandas as pd

def process(df):
    other = pd.DataFrame({"city": ["Recife", "Natal"], "state": ["PE", "RN"]})
    return df.merge(other, on="city", how="left")
# ---
import pandas as pd

def process(df):
    other = pd.DataFrame({"name": ["Recife"], "state": ["PE"]})
    return pd.merge(df, other, left_on="city", right_on="name", how="inner").drop(columns="name")
# ---
def process(df):
    means = df.groupby("city")["price"].mean().rename("mean_price")
    return df.join(means, on="city")
# ---
def process(df):
    return df.merge(df[["id", "price"]], on="id", suffixes=("", "_again"), validate="one_to_one")
# ---
import pandas as pd

def process(df):
    other = pd.DataFrame({"city": ["Recife", "Lima"]})
    out = df.merge(other, on="city", how="outer", indicator=True)
    out["_merge"] = out["_merge"].astype(str)
    return out
# ---
import pandas as pd

def process(df):
    return df[["id"]].merge(pd.DataFrame({"k": [1, 2]}), how="cross")
# ---
import pandas as pd

def process(df):
    left = df.sort_values("qty")
    right = pd.DataFrame({"qty": [1, 4, 7], "label": ["a", "b", "c"]})
    return pd.merge_asof(left, right, on="qty")
# ---
import pandas as pd

def process(df):
    return pd.merge_ordered(df[["id", "price"]], pd.DataFrame({"id": [1, 500]}), on="id", fill_method="ffill")
# ---
import pandas as pd

def process(df):
    return pd.get_dummies(df, columns=["category"])
# ---
import pandas as pd

def process(df):
    codes, labels = pd.factorize(df["city"])
    df["code"] = codes
    return df
# ---
def process(df):
    return df.groupby("city")["price"].quantile([0.25, 0.5, 0.75]).unstack().rename(columns=str).reset_index()
# ---
def process(df):
    return df.groupby("city")["price"].agg(["sum", "count"]).assign(mean=lambda d: d["sum"] / d["count"]).reset_index()
# ---
def process(df):
    total = df.groupby("category")["qty"].sum()
    df["total"] = df["category"].map(total)
    return df
# ---
def process(df):
    return df.groupby("city")[["price", "qty"]].corr().unstack().iloc[:, 1].rename("r").reset_index()
# ---
def process(df):
    return df.groupby("category").sample(n=1, random_state=0)
# ---
def process(df):
    return df.groupby("city")["price"].pct_change(fill_method=None).to_frame("change")
# ---
def process(df):
    return df.groupby("city").nth(0)
# ---
def process(df):
    return df.groupby("city")["price"].ewm(alpha=0.5).mean().reset_index(level=0, drop=True).sort_index().to_frame("smooth")
# ---
def process(df):
    return df.groupby("city")["price"].expanding().max().reset_index(level=0, drop=True).sort_index().to_frame("top")
# ---
def process(df):
    return df.groupby("category", group_keys=False)[["id", "price"]].apply(lambda part: part.nlargest(1, "price"))
