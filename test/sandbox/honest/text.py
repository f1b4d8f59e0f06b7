def process(df):
    df["city"] = df["city"].str.upper().str.strip()
    return df
# ---
def process(df):
    df["name"] = df["text"].str.title()
    return df
# ---
def process(df):
    df["length"] = df["text"].str.len()
    return df
# ---
def process(df):
    return df[df["text"].str.contains("azul", case=False, na=False)]
# ---
def process(df):
    df["first"] = df["text"].str.split(" ").str[0]
    return df
# ---
def process(df):
    df[["a", "b"]] = df["text"].str.split(" ", n=1, expand=True)
    return df
# ---
def process(df):
    df["number"] = df["text"].str.extract(r"(\d+)").astype(float)
    return df
# ---
def process(df):
    found = df["text"].str.extract(r"(?P<word>\w+)\s+(?P<number>\d+)")
    return df.join(found)
# ---
def process(df):
    df["numbers"] = df["text"].str.findall(r"\d")
    return df
# ---
def process(df):
    df["clean"] = df["text"].str.replace(r"[^\w\s]", "", regex=True)
    return df
# ---
def process(df):
    df["plain"] = df["city"].str.normalize("NFKD").str.encode("ascii", errors="ignore").str.decode("utf-8")
    return df
# ---
def process(df):
    df["padded"] = df["id"].astype(str).str.zfill(6)
    return df
# ---
def process(df):
    df["label"] = df["city"].fillna("") + "-" + df["qty"].astype(str)
    return df
# ---
def process(df):
    df["label"] = df.apply(lambda row: f"{row['city']}: {row['price']:.2f}", axis=1)
    return df
# ---
def process(df):
    df["shown"] = df["price"].map("{:.2f}".format)
    return df
# ---
def process(df):
    df["shown"] = df["price"].map(lambda value: "R$ {:,.2f}".format(value).replace(",", "X").replace(".", ",").replace("X", "."))
    return df
# ---
def process(df):
    df["shown"] = ["%05.1f" % value for value in df["price"].fillna(0)]
    return df
# ---
def process(df):
    words = df["text"].str.lower().str.split().explode()
    return words.value_counts().rename_axis("word").reset_index(name="n")
# ---
import re

def process(df):
    pattern = re.compile(r"\b([a-z]+)\b", re.IGNORECASE)
    df["words"] = df["text"].map(lambda text: len(pattern.findall(text)))
    return df
# ---
import re

def process(df):
    df["slug"] = df["text"].map(lambda text: re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-"))
    return df
# ---
from re import search

def process(df):
    df["has_digit"] = [search(r"\d", text) is not None for text in df["text"]]
    return df
# ---
import re

def process(df):
    def parse(text):
        match = re.match(r"(?P<word>\w+)", text)
        return match.group("word") if match else None
    df["word"] = df["text"].map(parse)
    return df
# ---
def process(df):
    df["cat"] = df["city"].str.cat(df["category"], sep="/", na_rep="?")
    return df
# ---
def process(df):
    df["starts"] = df["text"].str.startswith("A") | df["text"].str.endswith("1")
    return df
# ---
def process(df):
    df["slice"] = df["text"].str[:3] + df["text"].str.slice(-2)
    return df
# ---
def process(df):
    df["count_a"] = df["text"].str.count("a")
    return df
# ---
def process(df):
    return df.join(df["category"].str.get_dummies())
# ---
def process(df):
    df["masked"] = df["city"].str.replace(r"(?<=.).", "*", regex=True)
    return df
# ---
def process(df):
    table = str.maketrans({"á": "a", "ã": "a", "é": "e"})
    df["city"] = df["city"].str.translate(table)
    return df
# ---
def process(df):
    df["is_num"] = df["text"].str.isdigit()
    return df
# ---
def process(df):
    df["wrapped"] = df["text"].str.wrap(5)
    return df
# ---
def process(df):
    df["repeat"] = df["category"].str.repeat(3)
    return df
# ---
def process(df):
    df["joined"] = df["text"].str.split().str.join("_")
    return df
# ---
def process(df):
    df["reversed"] = [text[::-1] for text in df["text"]]
    return df
# ---
def process(df):
    df["vowels"] = df["text"].apply(lambda text: sum(letter in "aeiou" for letter in text.lower()))
    return df
# ---
def process(df):
    template = "cidade"
    df["shown"] = [f"{template} {city!s:>10}" for city in df["city"]]
    return df
# ---
def process(df):
    df["partition"] = df["text"].str.partition(" ")[0]
    return df
# ---
def process(df):
    df["cpf"] = df["id"].map(lambda n: f"{n:011d}").str.replace(r"(\d{3})(\d{3})(\d{3})(\d{2})", r"\1.\2.\3-\4", regex=True)
    return df
# ---
import pandas as pd

def process(df):
    counts = {}
    for text in df["text"]:
        for word in text.split():
            counts[word] = counts.get(word, 0) + 1
    return pd.DataFrame(sorted(counts.items(), key=lambda item: -item[1]), columns=["word", "n"])
# ---
def process(df):
    df["emoji"] = "✅"
    df["ação"] = df["qty"] * 2
    return df
# ---
def process(df):
    df["json"] = df["text"].map(lambda text: '{"text": "' + text + '"}')
    return df
# ---
import pandas as pd

def process(df):
    return pd.json_normalize([{"id": 1, "place": {"city": "Recife"}}, {"id": 2, "place": {"city": "Natal"}}])
