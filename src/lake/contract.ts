/** A model's SQL as the rows of its table: the declared columns in their order and types, and errors that name the column at fault. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { LagoaError, invalid, overLimit } from '../base/index.ts'
import { bindTables } from './bind.ts'
import { fieldsOfRelation } from './delta/index.ts'
import type { Model } from './model.ts'
import { duckTypeOf, quoteName } from './sql.ts'

/** `text` (the model's SQL, or its probe) with the columns that the table promises; as it is when it promises none. The inputs must be bound. */
export async function contract(connection: DuckDBConnection, model: Model, text: string = model.text): Promise<string> {
  const promised = model.table.options.columns
  if (!promised) return text
  const given = (await fieldsOfRelation({ connection, sql: text })).map(({ name }) => name)
  const wanted = Object.keys(promised)
  const absent = wanted.filter((name) => !given.includes(name))
  const extra = given.filter((name) => !wanted.includes(name))
  if (absent.length + extra.length > 0) {
    throw invalid(
      'lake.contract_broken',
      `The SQL of ${model.name} does not give the columns that the table promises: ${[...absent.map((name) => `no ${name}`), ...extra.map((name) => `${name} is not promised`)].join(', ')}`,
      {
        hint: 'Make the SELECT list and columns: agree.',
      },
    )
  }
  return `select ${wanted.map((name) => `cast(${quoteName(name)} as ${typeOf(model, name)}) as ${quoteName(name)}`).join(', ')} from (${text}\n)`
}

const typeOf = (model: Model, column: string): string => duckTypeOf(model.table.options.columns?.[column]?.type ?? 'string')

/** Runs `body` with the inputs bound to their names. What goes wrong in the SQL becomes an error about this model. */
export async function withInputs<T>(connection: DuckDBConnection, model: Model, inputs: ReadonlyMap<string, string>, body: () => Promise<T>): Promise<T> {
  const binding = await bindTables(connection, inputs)
  try {
    return await body()
  } catch (error) {
    throw await explained(connection, model, error)
  } finally {
    await binding.release()
  }
}

async function explained(connection: DuckDBConnection, model: Model, error: unknown): Promise<unknown> {
  if (error instanceof LagoaError && error.code !== 'lake.input_failed') return error
  const found = /(?:^|: )((?:Conversion|Binder|Parser|Catalog|Invalid Input|Out of Range|Out of Memory|Not implemented) Error: [^\n]*)/.exec(
    error instanceof Error ? error.message : '',
  )?.[1]
  if (found === undefined) return error
  if (found.startsWith('Out of Memory'))
    return overLimit('lake.refresh_memory', `The refresh of ${model.name} needs more memory than the lake may use`, {
      hint: 'Raise lake.memory in lagoa.config.ts, or make the table incremental with merge or window.',
      cause: error,
    })
  const culprit = /^(Conversion|Invalid Input|Out of Range)/.test(found) ? await failingCast(connection, model) : null
  if (culprit) {
    return invalid('lake.contract_cast', `${culprit.count} values of ${culprit.column} in ${model.name} are no ${culprit.type}, such as ${culprit.example}`, {
      hint: `Cast it in the SQL: try_cast(${quoteName(culprit.column)} as ${culprit.type}) makes them null; or give the column another type in columns:.`,
      cause: error,
    })
  }
  return invalid('lake.refresh_sql', `The SQL of ${model.name} failed: ${found}`, {
    hint: 'Correct the SQL; the table stays at its last version until then.',
    cause: error,
  })
}

/** The first promised column that some row's value cannot be cast to. */
async function failingCast(connection: DuckDBConnection, model: Model): Promise<{ column: string; type: string; count: number; example: string } | null> {
  const columns = Object.keys(model.table.options.columns ?? {})
  if (columns.length === 0) return null
  const fails = (column: string): string => `${quoteName(column)} is not null and try_cast(${quoteName(column)} as ${typeOf(model, column)}) is null`
  try {
    const measures = columns.map(
      (column) => `count(*) filter (where ${fails(column)}), any_value(${quoteName(column)}::varchar) filter (where ${fails(column)})`,
    )
    const row = (await connection.runAndReadAll(`select ${measures.join(', ')} from (${model.text}\n)`)).getRows()[0] ?? []
    const index = columns.findIndex((_, i) => Number(row[2 * i]) > 0)
    const column = columns[index]
    return column === undefined
      ? null
      : { column, type: typeOf(model, column), count: Number(row[2 * index]), example: `'${String(row[2 * index + 1]).slice(0, 60)}'` }
  } catch {
    // The SQL itself fails, not a cast of its result.
    return null
  }
}
