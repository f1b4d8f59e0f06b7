def process(df):
    return df
# ---
def process(df):
    return df.head(10)
# ---
def process(df):
    return df.tail(3).reset_index(drop=True)
# ---
def process(df):
    return df.copy()
# ---
def process(df):
    return df[["id", "city", "price"]]
# ---
def process(df):
    return df.drop(columns=["info"])
# ---
def process(df):
    return df.rename(columns={"price": "preco", "qty": "quantidade"})
# ---
def process(df):
    return df.rename(columns=str.upper)
# ---
def process(df):
    df.columns = [name.strip().lower().replace(" ", "_") for name in df.columns]
    return df
# ---
def process(df):
    return df.sort_values("price", ascending=False)
# ---
def process(df):
    return df.sort_values(["city", "price"], ascending=[True, False], na_position="first")
# ---
def process(df):
    return df.nlargest(5, "price")
# ---
def process(df):
    return df.nsmallest(5, "qty")
# ---
def process(df):
    return df.sample(n=5, random_state=1)
# ---
import numpy as np

def process(df):
    return df.sample(frac=0.5, random_state=np.random.default_rng(3))
# ---
def process(df):
    return df.drop_duplicates(subset=["city", "category"], keep="last")
# ---
def process(df):
    df["is_repeated"] = df.duplicated("city")
    return df
# ---
def process(df):
    return df.dropna()
# ---
def process(df):
    return df.dropna(subset=["price"]).fillna({"city": "desconhecida"})
# ---
def process(df):
    return df.fillna({"price": df["price"].median(), "city": "?"})
# ---
def process(df):
    df["price"] = df["price"].ffill().bfill()
    return df
# ---
def process(df):
    df["price"] = df["price"].interpolate()
    return df
# ---
def process(df):
    return df[df["price"] > 50]
# ---
def process(df):
    return df[(df["price"] > 20) & (df["qty"] < 5) | df["active"]]
# ---
def process(df):
    return df.loc[df["city"].isin(["Recife", "Natal"]), ["id", "city"]]
# ---
def process(df):
    return df[~df["city"].isna()]
# ---
def process(df):
    return df[df["qty"].between(2, 6)]
# ---
def process(df):
    return df.query("price > 50 and qty < 5")
# ---
def process(df):
    limit = 30
    return df.query("price > @limit")
# ---
def process(df):
    limit = df["price"].mean()
    return df.query(f"price > {limit}")
# ---
def process(df):
    return df.query("city == 'Recife' or `unit price` > 3")
# ---
def process(df):
    return df.query("category in ['a', 'b'] and open > 10")
# ---
def process(df):
    return df.eval("total = price * qty")
# ---
def process(df):
    df["total"] = df.eval("price * qty")
    return df
# ---
def process(df):
    return df.assign(total=lambda d: d["price"] * d["qty"])
# ---
def process(df):
    return df.assign(total=df.price * df.qty, half=lambda d: d.total / 2).round(2)
# ---
def process(df):
    df["total"] = df["price"] * df["qty"]
    df.loc[df["total"] > 100, "size"] = "large"
    df.loc[df["total"] <= 100, "size"] = "small"
    return df
# ---
import numpy as np

def process(df):
    df["band"] = np.where(df["price"] > 50, "high", "low")
    return df
# ---
import numpy as np

def process(df):
    df["band"] = np.select([df["price"] < 20, df["price"] < 60], ["low", "mid"], default="high")
    return df
# ---
import pandas as pd

def process(df):
    df["band"] = pd.cut(df["price"], bins=[0, 25, 50, 1000], labels=["low", "mid", "high"])
    return df
# ---
import pandas as pd

def process(df):
    df["band"] = pd.cut(df["price"], 4)
    return df
# ---
import pandas as pd

def process(df):
    df["quartile"] = pd.qcut(df["price"], 4, labels=False)
    return df
# ---
import pandas as pd

def process(df):
    df["quartile"] = pd.qcut(df["price"], 4)
    return df.groupby("quartile", observed=True)["qty"].sum().reset_index()
# ---
def process(df):
    df["rank"] = df["price"].rank(method="dense", ascending=False)
    return df
# ---
def process(df):
    df["share"] = df["price"] / df["price"].sum()
    return df
# ---
def process(df):
    df["z"] = (df["price"] - df["price"].mean()) / df["price"].std()
    return df
# ---
def process(df):
    df["scaled"] = (df["price"] - df["price"].min()) / (df["price"].max() - df["price"].min())
    return df
# ---
def process(df):
    df["price"] = df["price"].clip(lower=10, upper=90)
    return df
# ---
def process(df):
    df["id"] = df["id"].astype("Int64")
    return df
# ---
def process(df):
    return df.astype({"qty": "float64", "category": "category"})
# ---
import pandas as pd

def process(df):
    df["price"] = pd.to_numeric(df["price"], errors="coerce")
    return df
# ---
def process(df):
    return df.select_dtypes(include="number")
# ---
def process(df):
    return df.select_dtypes(exclude=["object", "str"])
# ---
def process(df):
    return df.describe().reset_index()
# ---
def process(df):
    return df.describe(include="all").reset_index().astype(str)
# ---
def process(df):
    return df.isna().sum().rename("missing").rename_axis("column").reset_index()
# ---
import pandas as pd

def process(df):
    return pd.DataFrame({"column": df.columns, "type": [str(kind) for kind in df.dtypes]})
# ---
def process(df):
    return df["city"].value_counts(dropna=False).reset_index()
# ---
def process(df):
    return df[["city", "category"]].value_counts().reset_index(name="count")
# ---
def process(df):
    return df.nunique().rename("distinct").reset_index()
# ---
def process(df):
    return df[["price", "qty"]].corr().reset_index()
# ---
def process(df):
    return df[["price", "qty"]].agg(["mean", "std", "min", "max"]).reset_index()
# ---
def process(df):
    return df.set_index("id")
# ---
def process(df):
    return df.set_index(["city", "id"]).sort_index()
# ---
def process(df):
    return df.set_index("id", drop=False)
# ---
def process(df):
    return df.reset_index()
# ---
def process(df):
    return df.T.head(1).astype(str).add_prefix("row_")
# ---
def process(df):
    return df.melt(id_vars=["id", "city"], value_vars=["price", "qty"])
# ---
import pandas as pd

def process(df):
    return pd.melt(df, id_vars="id", value_vars=["price", "qty"], var_name="measure", value_name="value")
# ---
def process(df):
    return df.explode("category")
# ---
def process(df):
    df["parts"] = df["text"].str.split()
    return df.explode("parts").reset_index(drop=True)
# ---
def process(df):
    df["tags"] = [["a", "b"]] * len(df)
    return df
# ---
def process(df):
    df["place"] = [{"city": city, "n": n} for city, n in zip(df["city"].fillna(""), df["qty"])]
    return df
# ---
def process(df):
    df.insert(1, "row", range(len(df)))
    return df
# ---
def process(df):
    df["next_price"] = df["price"].shift(-1)
    df["diff"] = df["price"].diff()
    return df
# ---
def process(df):
    df["change"] = df["price"].pct_change(fill_method=None)
    return df
# ---
def process(df):
    df["running"] = df["qty"].cumsum()
    df["best"] = df["price"].cummax()
    return df
# ---
def process(df):
    return df.where(df["price"] > 20)
# ---
def process(df):
    df["price"] = df["price"].mask(df["price"] < 0, 0)
    return df
# ---
def process(df):
    return df.replace({"city": {"Recife": "REC", "Natal": "NAT"}})
# ---
def process(df):
    df["city"] = df["city"].map({"Recife": "PE", "Natal": "RN"}).fillna("--")
    return df
# ---
def process(df):
    return df.iloc[::2]
# ---
def process(df):
    return df.iloc[5:10, 0:3]
# ---
def process(df):
    df.at[0, "price"] = 1.5
    df.iat[1, 0] = 99
    return df
# ---
def process(df):
    return df.truncate(before=2, after=6)
# ---
def process(df):
    return df.pipe(lambda d: d[d["qty"] > 1]).pipe(lambda d, n: d.head(n), 4)
# ---
import pandas as pd

def process(df):
    rows = []
    for row in df.itertuples(index=False):
        rows.append({"id": row.id, "double": row.qty * 2})
    return pd.DataFrame(rows)
# ---
import pandas as pd

def process(df):
    rows = [{"id": row["id"], "label": f"{row['city']}-{row['qty']}"} for _, row in df.iterrows()]
    return pd.DataFrame.from_records(rows)
# ---
import pandas as pd

def process(df):
    return pd.DataFrame(df.to_dict(orient="records"))
# ---
import pandas as pd

def process(df):
    return pd.DataFrame([row._asdict() for row in df.itertuples()]).drop(columns="Index")
# ---
def process(df):
    df["json"] = df[["id", "qty"]].apply(lambda row: row.to_json(), axis=1)
    return df
# ---
def process(df):
    text = df.head(2).to_csv(index=False)
    print(text)
    return df
# ---
def process(df):
    print(df.head().to_string())
    return df
# ---
def process(df):
    print(df.shape, df.dtypes.to_dict())
    return df
# ---
def process(df):
    df.info()
    return df
# ---
import pandas as pd

def process(df):
    return pd.concat([df, df], ignore_index=True)
# ---
import pandas as pd

def process(df):
    return pd.concat({"a": df.head(2), "b": df.tail(2)}, names=["part", None]).reset_index(level=0)
# ---
import pandas as pd

def process(df):
    return pd.DataFrame(columns=["a", "b"])
# ---
def process(df):
    return df.iloc[:0]
# ---
import pandas as pd

def process(df):
    return pd.DataFrame({"n": [len(df)], "when": [pd.Timestamp.now()]})
# ---
def process(df):
    return df.filter(like="price")
# ---
def process(df):
    return df.filter(regex="^(id|qty)$").add_suffix("_x")
# ---
def process(df):
    return df.memory_usage(deep=True).rename("bytes").reset_index()
# ---
def process(df):
    df["best"] = df[["price", "qty"]].max(axis=1)
    df["which"] = df[["price", "qty"]].fillna(0).idxmax(axis=1)
    return df
# ---
def process(df):
    df["hash"] = [str(hash((a, b))) for a, b in zip(df["id"], df["qty"])]
    return df[["id", "hash"]]
# ---
def process(df):
    return df.isin({"city": ["Recife"], "qty": [1, 2]})
# ---
def process(df):
    return df.compare(df.assign(qty=df["qty"] + 1)).pipe(lambda d: d.set_axis(["_".join(name) for name in d.columns], axis=1))
# ---
import pandas as pd

def process(df):
    return df.combine_first(pd.DataFrame({"price": [1.0], "extra": [2]}))
# ---
def process(df):
    df["kind"] = df["category"].astype("category").cat.codes
    return df
# ---
import pandas as pd

def process(df):
    df["level"] = pd.Categorical(df["category"], categories=["a", "b", "c"], ordered=True)
    return df[df["level"] <= "b"]
# ---
def process(df):
    df["category"] = df["category"].astype("category").cat.add_categories(["z"]).fillna("z")
    return df
