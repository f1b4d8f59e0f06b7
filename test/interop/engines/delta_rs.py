"""delta-rs as a worker; see worker.py for the requests' form."""

import json

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, Schema, write_deltalake
from worker import encode, row_dicts, serve


def relation(request):
    schema = pa.schema(Schema.from_json(json.dumps(request["schema"])).to_arrow())
    return pa.Table.from_pylist(row_dicts(request), schema=schema)


def read(request):
    table = DeltaTable(request["path"], version=request.get("version"))
    schema = json.loads(table.schema().to_json())
    where = f" where {request['where']}" if request.get("where") else ""
    found = QueryBuilder().register("t", table).execute(f"select * from t{where}")
    rows = pa.table(found).to_pylist()
    return {"version": table.version(), "schema": schema, "rows": [encode(row, schema) for row in rows]}


def changes(request):
    table = DeltaTable(request["path"])
    schema = json.loads(table.schema().to_json())
    for name, kind in (("_change_type", "string"), ("_commit_version", "long")):
        schema["fields"].append({"name": name, "type": kind, "nullable": True, "metadata": {}})
    found = pa.table(table.load_cdf(starting_version=request["from"], ending_version=request["to"])).to_pylist()
    return {"schema": schema, "rows": [encode(row, schema) for row in found]}


def write(request):
    write_deltalake(
        request["path"],
        relation(request),
        mode=request.get("mode", "append"),
        partition_by=request.get("partitionBy"),
        configuration=request.get("properties"),
        predicate=request.get("where"),
        schema_mode=request.get("schemaMode"),
    )


def merge(request):
    keys = [f't."{key}" is not distinct from s."{key}"' for key in request["keys"]]
    merger = DeltaTable(request["path"]).merge(relation(request), " and ".join(keys), source_alias="s", target_alias="t")
    return merger.when_matched_update_all().when_not_matched_insert_all().execute()


operations = {
    "read": read,
    "changes": changes,
    "write": write,
    "merge": merge,
    "delete": lambda request: DeltaTable(request["path"]).delete(request.get("where")),
    "update": lambda request: DeltaTable(request["path"]).update(updates=request["set"], predicate=request.get("where")),
    "optimize": lambda request: str(DeltaTable(request["path"]).optimize.compact()),
    "checkpoint": lambda request: DeltaTable(request["path"]).create_checkpoint(),
    "restore": lambda request: DeltaTable(request["path"]).restore(request["version"]),
    "history": lambda request: [str(entry.get("operation")) for entry in DeltaTable(request["path"]).history()],
    "addConstraint": lambda request: DeltaTable(request["path"]).alter.add_constraint(request["constraint"]),
    "vacuum": lambda request: DeltaTable(request["path"]).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True),
    "forget": lambda request: None,
    "versions": lambda request: {"deltalake": __import__("deltalake").__version__},
}

serve(operations)
