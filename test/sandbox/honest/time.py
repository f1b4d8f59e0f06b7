import pandas as pd

def process(df):
    df["date"] = pd.to_datetime(df["date"])
    return df
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"], format="%Y-%m-%d %H:%M")
    return df
# ---
import pandas as pd

def process(df):
    df["date"] = pd.to_datetime(df["date"], errors="coerce", utc=True)
    return df
# ---
import pandas as pd

def process(df):
    when = pd.to_datetime(df["at"])
    df["year"], df["month"], df["day"] = when.dt.year, when.dt.month, when.dt.day
    return df
# ---
import pandas as pd

def process(df):
    when = pd.to_datetime(df["at"])
    return df.assign(weekday=when.dt.day_name(), hour=when.dt.hour, week=when.dt.isocalendar().week)
# ---
import pandas as pd

def process(df):
    when = pd.to_datetime(df["at"])
    df["weekend"] = when.dt.dayofweek >= 5
    return df
# ---
import pandas as pd

def process(df):
    df["month"] = pd.to_datetime(df["date"]).dt.to_period("M").astype(str)
    return df
# ---
import pandas as pd

def process(df):
    df["month"] = pd.to_datetime(df["date"]).dt.to_period("M")
    return df
# ---
import pandas as pd

def process(df):
    df["day"] = pd.to_datetime(df["at"]).dt.date
    return df
# ---
import pandas as pd

def process(df):
    df["time"] = pd.to_datetime(df["at"]).dt.time
    return df
# ---
import pandas as pd

def process(df):
    df["day"] = pd.to_datetime(df["at"]).dt.normalize()
    df["hour"] = pd.to_datetime(df["at"]).dt.floor("h")
    return df
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"]).dt.tz_localize("America/Sao_Paulo").dt.tz_convert("UTC")
    return df
# ---
import pandas as pd

def process(df):
    df["shown"] = pd.to_datetime(df["date"]).dt.strftime("%d/%m/%Y")
    return df
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"])
    return df.set_index("at").resample("D")["price"].mean().reset_index()
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"])
    return df.set_index("at").resample("W").agg({"price": "mean", "qty": "sum"}).reset_index()
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"])
    return df.resample("6h", on="at")["qty"].sum().reset_index()
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"])
    return df.groupby([pd.Grouper(key="at", freq="D"), "city"])["price"].mean().reset_index()
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"])
    df = df.set_index("at").sort_index()
    df["rolling"] = df["price"].rolling("2D").mean()
    return df.reset_index()
# ---
import pandas as pd

def process(df):
    df["rolling_mean"] = df["valor"].rolling(window=3).mean()
    df = df.dropna()
    df["timestamp"] = pd.Timestamp.now()
    return df
# ---
def process(df):
    df["ma7"] = df["price"].rolling(7, min_periods=1).mean()
    df["sd7"] = df["price"].rolling(7, min_periods=2).std()
    return df
# ---
def process(df):
    df["ewm"] = df["price"].ewm(span=5).mean()
    return df
# ---
def process(df):
    df["expanding"] = df["price"].expanding().mean()
    return df
# ---
def process(df):
    df["centered"] = df["price"].rolling(5, center=True).median()
    return df
# ---
def process(df):
    df["top"] = df["price"].rolling(4).apply(lambda window: window.max() - window.min(), raw=True)
    return df
# ---
def process(df):
    df["corr"] = df["price"].rolling(10).corr(df["qty"])
    return df
# ---
import numpy as np

def process(df):
    df["weighted"] = df["price"].rolling(3).apply(lambda w: np.dot(w, [0.2, 0.3, 0.5]), raw=True)
    return df
# ---
import pandas as pd

def process(df):
    when = pd.to_datetime(df["at"])
    df["elapsed"] = (when - when.min()).dt.total_seconds()
    return df
# ---
import pandas as pd

def process(df):
    when = pd.to_datetime(df["at"])
    df["elapsed"] = when.diff()
    return df
# ---
import pandas as pd

def process(df):
    df["due"] = pd.to_datetime(df["date"]) + pd.Timedelta(days=30)
    return df
# ---
import pandas as pd

def process(df):
    df["due"] = pd.to_datetime(df["date"]) + pd.to_timedelta(df["qty"], unit="D")
    return df
# ---
import pandas as pd

def process(df):
    df["end"] = pd.to_datetime(df["date"]) + pd.offsets.MonthEnd(0)
    return df
# ---
import pandas as pd

def process(df):
    df["business"] = pd.to_datetime(df["date"]) + pd.tseries.offsets.BDay(2)
    return df
# ---
import numpy as np
import pandas as pd

def process(df):
    days = pd.date_range("2024-01-01", periods=10, freq="D")
    return pd.DataFrame({"day": days, "n": np.arange(10)})
# ---
import pandas as pd

def process(df):
    df["date"] = pd.to_datetime(df["date"])
    start, end = df["date"].min(), df["date"].max()
    return df.groupby("date")["qty"].sum().reindex(pd.date_range(start, end), fill_value=0).rename_axis("date").reset_index()
# ---
import datetime

def process(df):
    df["loaded"] = datetime.datetime(2024, 5, 1, 12, 0)
    return df
# ---
import pandas as pd
from datetime import datetime, timedelta

def process(df):
    limit = datetime(2024, 1, 1) + timedelta(days=20)
    return df[pd.to_datetime(df["date"]) < limit]
# ---
from datetime import date

def process(df):
    df["age"] = df["date"].map(lambda text: (date(2024, 12, 31) - date.fromisoformat(text)).days)
    return df
# ---
import datetime as dt

def process(df):
    df["year"] = [dt.datetime.strptime(text, "%Y-%m-%d").year for text in df["date"]]
    return df
# ---
import pandas as pd
from datetime import timezone, datetime

def process(df):
    df["at"] = pd.to_datetime(df["at"]).dt.tz_localize(timezone.utc)
    df["now"] = datetime.now(timezone.utc)
    return df
# ---
import pandas as pd

def process(df):
    df["quarter"] = "Q" + pd.to_datetime(df["date"]).dt.quarter.astype(str)
    return df
# ---
import pandas as pd

def process(df):
    df["first_of_month"] = pd.to_datetime(df["date"]).dt.is_month_start
    return df
# ---
import pandas as pd

def process(df):
    df["date"] = pd.to_datetime(df["date"])
    df["lag_1d"] = df["date"].map(df.drop_duplicates("date").set_index("date")["price"].shift(1))
    return df
# ---
import pandas as pd

def process(df):
    df["epoch"] = pd.to_datetime(df["at"]).astype("int64")
    return df
# ---
import pandas as pd

def process(df):
    df["back"] = pd.to_datetime(df["id"], unit="s", origin="2024-01-01")
    return df
# ---
import pandas as pd

def process(df):
    df["period"] = pd.PeriodIndex(df["date"], freq="M").astype(str)
    return df
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"])
    df = df.set_index("at")
    return df.between_time("00:00", "12:00").reset_index()
# ---
import pandas as pd

def process(df):
    df["at"] = pd.to_datetime(df["at"])
    return df.set_index("at").asfreq("12h").reset_index()
# ---
import pandas as pd

def process(df):
    df["date"] = pd.to_datetime(df["date"])
    return df[df["date"].dt.month.isin([1, 2])].assign(key=lambda d: d["date"].dt.strftime("%Y-%m"))
# ---
import numpy as np

def process(df):
    df["busy"] = np.is_busday(df["date"].to_numpy().astype("datetime64[D]"))
    return df
# ---
import numpy as np

def process(df):
    days = np.busday_count("2024-01-01", df["date"].to_numpy().astype("datetime64[D]"))
    return df.assign(workdays=days)
