/** The table around its files: the columns that it has or will have, and how it comes to take those of a file. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { fieldsOfRelation, type DeltaField, type DeltaTable, type Snapshot } from '../delta/index.ts'
import { quoteName } from '../sql.ts'
import { deltaFieldsOf, duckTypeOf } from '../stage.ts'
import { FILE_FIELDS } from './declare.ts'
import { refused, type KnownColumn, type Reading } from './reading.ts'
import type { Run, Target } from './run.ts'
import { columnsOf } from './types.ts'

/** The columns that values of files go into; null when there is no table and none is promised. */
export async function columnsToFill({ table, target }: Run, snapshot: Snapshot | null, connection: DuckDBConnection): Promise<KnownColumn[] | null> {
  return snapshot ? knownColumns(table, snapshot, connection) : promised(target)
}

async function knownColumns(table: DeltaTable, snapshot: Snapshot, connection: DuckDBConnection): Promise<KnownColumn[]> {
  const nullable = new Map(snapshot.metadata.fields.map((field) => [field.name, field.nullable]))
  const columns = await columnsOf(connection, await table.scan(snapshot))
  return columns.filter(({ name }) => !Object.hasOwn(FILE_FIELDS, name)).map((column) => ({ ...column, nullable: nullable.get(column.name) ?? true }))
}

/** The columns that a table will have which is not there yet. */
function promised({ columns }: Target): KnownColumn[] | null {
  return columns && Object.entries(columns).map(([name, field]) => ({ name, type: duckTypeOf(field), nullable: field.isNullable }))
}

export async function create({ table, target }: Run, fields: readonly DeltaField[]): Promise<Snapshot | null> {
  const { columns, partitionBy, description } = target
  const own = columns ? deltaFieldsOf(columns) : fields
  await table.create({
    fields: [...own, ...deltaFieldsOf(FILE_FIELDS)],
    ...(partitionBy.length > 0 ? { partitionBy } : {}),
    ...(description === undefined ? {} : { description }),
  })
  return table.snapshot()
}

/** Brings the table into a shape that takes the rows: made, with more columns, or with wider ones. */
export async function shape(run: Run, reading: Reading, snapshot: Snapshot | null, connection: DuckDBConnection): Promise<void> {
  const { table, signal } = run
  const relation = { connection, sql: reading.good }
  const fields = await fieldsOfRelation(relation)
  if (!snapshot) {
    await create(run, fields)
    return
  }
  if (reading.widened.length > 0) await widen(run, reading, snapshot, connection)
  const added = new Set(reading.added.map(({ name }) => name))
  const lacking = deltaFieldsOf(FILE_FIELDS).filter(({ name }) => !snapshot.metadata.fields.some((field) => field.name === name))
  if (added.size + lacking.length === 0) return
  const current = (await table.snapshot()) ?? snapshot
  await table.evolve([...current.metadata.fields, ...fields.filter(({ name }) => added.has(name)), ...lacking], signal ? { signal } : {})
}

/** Above this a whole number has neighbours that a DOUBLE takes for the same. */
const EXACT = 2 ** 53

/** Rewrites the table with wider columns: Delta's own type widening would shut out readers that do not know it. */
async function widen({ table, target, signal }: Run, { widened }: Reading, snapshot: Snapshot, connection: DuckDBConnection): Promise<void> {
  const types = new Map(widened.map(({ name, type }) => [name, type]))
  const scan = await table.scan(snapshot)
  const doubles = widened.filter(({ type }) => type === 'DOUBLE').map(({ name }) => name)
  if (doubles.length > 0) {
    const tests = doubles.map((name) => `coalesce(max(abs(try_cast(${quoteName(name)} as hugeint))) > ${EXACT}, false)`)
    const row = (await connection.runAndReadAll(`select ${tests.join(', ')} from (${scan})`)).getRows()[0] ?? []
    const exact = doubles.find((_, i) => row[i] === true)
    if (exact !== undefined)
      throw refused(
        target.name,
        `${exact} has whole numbers in the table that a DOUBLE cannot hold exactly, and fractions in the file`,
        'Ingest the file into another table, or its column as text: --columns.',
      )
  }
  const sql = `select ${snapshot.metadata.fields.map(({ name }) => (types.has(name) ? `cast(${quoteName(name)} as ${types.get(name)}) as ${quoteName(name)}` : quoteName(name))).join(', ')} from (${scan})`
  const wide = new Map((await fieldsOfRelation({ connection, sql })).map((field) => [field.name, field.type]))
  const fields = snapshot.metadata.fields.map((field) => (types.has(field.name) ? { ...field, type: wide.get(field.name) ?? field.type } : field))
  const { description } = snapshot.metadata
  await table.overwrite(
    { connection, sql },
    { as: { fields, partitionBy: snapshot.metadata.partitionColumns, ...(description === undefined ? {} : { description }) }, ...(signal ? { signal } : {}) },
  )
}
