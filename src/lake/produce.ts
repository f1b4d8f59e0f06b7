/** The rows of a model over some inputs, however they are made: by SQL, by a function of the project, by a Python script. */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { errno, invalid, LagoaError, overLimit, unsupported, type Log } from '../base/index.ts'
import { contract, withInputs } from './contract.ts'
import type { Duck } from './delta/index.ts'
import type { Model } from './model.ts'
import { PYTHON_LIMITS, type PythonRunner } from './python.ts'
import { makeRows, type InputSource } from './rows-model.ts'
import { duckTypeOf, quoteName, quoteText } from './sql.ts'

export interface ProduceContext {
  readonly duck: Duck
  readonly connection: DuckDBConnection
  readonly logger: Log
  readonly python: PythonRunner | null
  readonly temporaryFolder: string
  readonly signal: AbortSignal | undefined
}

/** `inputs` gives for each table that the model reads a SELECT; `body` gets one with the model's rows, good until `body` ends. */
export async function produce<T>(context: ProduceContext, model: Model, inputs: ReadonlyMap<string, string>, body: (rows: string) => Promise<T>): Promise<T> {
  const { maker } = model
  if (maker.kind === 'sql') return withInputs(context.connection, model, inputs, async () => body(await contract(context.connection, model)))
  if (maker.kind === 'python') return byPython(context, model, maker, inputs, body)
  const source = (name: string): InputSource => ({ sql: inputs.get(name) ?? '', json: maker.json.get(name) ?? new Set() })
  const staged = await makeRows({
    ...context,
    model: model.name,
    make: maker.make,
    columns: maker.columns,
    input: source(maker.input),
    inputs: Object.fromEntries(Object.entries(maker.inputs).map(([key, name]) => [key, source(name)])),
  })
  try {
    return await body(staged.sql)
  } finally {
    await staged.drop()
  }
}

async function byPython<T>(
  { connection, python, temporaryFolder, signal, logger }: ProduceContext,
  model: Model,
  { file, source, inputs: names, columns }: Extract<Model['maker'], { kind: 'python' }>,
  inputs: ReadonlyMap<string, string>,
  body: (rows: string) => Promise<T>,
): Promise<T> {
  if (!python)
    throw unsupported('lake.no_python', `${model.name} is made by ${file}, and this Lagoa has nothing to run Python with`, {
      hint: 'Make the table with sql or rows, or use a Lagoa with a sandbox.',
    })
  const { format } = python.capabilities
  const folder = await mkdtemp(join(temporaryFolder, 'python-'))
  try {
    const paths: Record<string, string> = {}
    for (const [key, name] of Object.entries(names)) {
      paths[key] = join(folder, `${key}.${format}`)
      await connection.run(`copy (${inputs.get(name) ?? ''}) to ${quoteText(paths[key])} (format ${format})`)
    }
    const output = join(folder, `output.${format}`)
    await python.run({
      table: model.name,
      file,
      source,
      inputs: paths,
      output,
      limits: PYTHON_LIMITS,
      signal: signal ?? new AbortController().signal,
      onLine: ({ from, text }) => logger.debug('lake.python', { table: model.name, from, length: text.length }),
    })
    signal?.throwIfAborted()
    const size = await stat(output).then(
      (found) => (found.isFile() ? found.size : null),
      (error: unknown) => (errno(error) === 'ENOENT' ? null : Promise.reject(error)),
    )
    if (size === null) throw invalid('lake.python_output', `${file} wrote no output for ${model.name}`, { hint: 'A script must give the rows of its table.' })
    if (size > PYTHON_LIMITS.outputBytes)
      throw overLimit('lake.python_output', `${file} wrote ${size} bytes for ${model.name}, at most ${PYTHON_LIMITS.outputBytes} are taken`, {
        hint: 'Write fewer rows.',
      })
    const types = Object.entries(columns).map(([name, field]) => `${quoteText(name)}: ${quoteText(duckTypeOf(field.type))}`)
    const read =
      format === 'parquet'
        ? `read_parquet(${quoteText(output)})`
        : `read_json(${quoteText(output)}, format = 'newline_delimited', columns = {${types.join(', ')}})`
    const list = Object.entries(columns).map(([name, field]) => `cast(${quoteName(name)} as ${duckTypeOf(field.type)}) as ${quoteName(name)}`)
    const rows = 'lagoa_python_rows'
    try {
      await connection.run(`create or replace temp table ${rows} as select ${list.join(', ')} from ${read}`)
    } catch (error) {
      if (error instanceof LagoaError) throw error
      throw invalid(
        'lake.python_output',
        `What ${file} wrote for ${model.name} is not the table's rows: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}`,
        {
          hint: `Write the columns ${Object.keys(columns).join(', ')}.`,
          cause: error,
        },
      )
    }
    try {
      return await body(`select * from temp.${rows}`)
    } finally {
      await connection.run(`drop table if exists temp.${rows}`)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
