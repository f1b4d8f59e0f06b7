/**
 * Convert: a folder of Parquet files becomes a table where it lies, in one commit that names the files. Nothing is rewritten: columns
 * and statistics come from the files' footers, partition values from the folders' names as Hive writes them (`day=2024-01-02/`).
 */
import { randomUUID } from 'node:crypto'
import { conflict, invalid } from '../../base/index.ts'
import type { ObjectInfo } from '../../storage/index.ts'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { AddFile, PartitionValues } from './actions.ts'
import { makeTable, type Table } from './operations.ts'
import { asJavaEncodes } from './paths.ts'
import { NEW_TABLE, checkWritable, protocolFor } from './protocol.ts'
import { checkFields, duckType, fieldsOfRelation, typeName } from './schema.ts'
import { fileList, identifier, literal, query } from './sql.ts'
import { fileStats, type LeafStats } from './stats.ts'
import type { CommitResult, ConvertOptions, DeltaField, Metadata } from './types.ts'
import { partitionText } from './write.ts'

/** Files whose footers are read at once. */
const FOOTERS = 256

export async function convert(table: Table, options: ConvertOptions): Promise<CommitResult> {
  const { place, root } = table
  const partitionBy = options.partitionBy ?? []
  if ((await table.head.refresh()) !== null)
    throw conflict('lake.table_exists', `${root} is a table already`, { hint: `Look at it with: lagoa table describe ${root}` })
  const connection = await place.duck.connect()
  try {
    const schema = new Schema(root, new Set(partitionBy.map(({ name }) => name.toLowerCase())))
    const values = new PartitionReader(root, partitionBy, connection)
    const found: Found[] = []
    for await (const part of chunks(parquetFiles(table, options.signal))) {
      // Files that were fetched may go again when their footers have been read.
      const release = place.objects.hold()
      try {
        const local = new Map<string, string>()
        for (const { path } of part) local.set(await place.objects.localFile(path), path)
        await schema.take(connection, local, options.signal)
      } finally {
        release()
      }
      for (const info of part) found.push({ info, partitionValues: await values.of(info.path.slice(root.length + 1)) })
    }
    if (found.length === 0)
      throw invalid('lake.convert_nothing', `There are no Parquet files in ${root}`, { hint: 'Name the folder that holds them, as bucket/key.' })
    const fields = [...schema.fields(), ...partitionBy]
    checkFields(
      root,
      fields,
      partitionBy.map(({ name }) => name),
    )
    const metadata: Metadata = {
      id: randomUUID(),
      fields,
      partitionColumns: partitionBy.map(({ name }) => name),
      configuration: {},
      createdTime: Date.now(),
    }
    const protocol = protocolFor(root, NEW_TABLE, metadata)
    checkWritable(root, protocol, metadata, false)
    const adds: AddFile[] = []
    for (let start = 0; start < found.length; start += FOOTERS) {
      options.signal?.throwIfAborted()
      adds.push(...(await addsOf(table, connection, schema.fields(), found.slice(start, start + FOOTERS), options.signal)))
    }
    return await makeTable(
      table,
      {
        content: { protocol: NEW_TABLE, metadata, transactions: [], adds, removes: [] },
        operation: 'CONVERT',
        parameters: { numFiles: adds.length, partitionedBy: metadata.partitionColumns, collectStats: true, sourceFormat: 'parquet' },
        metrics: { numConvertedFiles: adds.length },
        blindAppend: false,
      },
      options,
    )
  } catch (error) {
    options.signal?.throwIfAborted()
    throw error
  } finally {
    connection.closeSync()
  }
}

interface Found {
  readonly info: ObjectInfo
  readonly partitionValues: PartitionValues
}

/** The folder's files. One that is no Parquet file is refused: as part of no version it would be deleted by the next vacuum. */
async function* parquetFiles({ place, root }: Table, signal: AbortSignal | undefined): AsyncGenerator<ObjectInfo> {
  for await (const info of place.objects.list(`${root}/`)) {
    signal?.throwIfAborted()
    const parts = info.path.slice(root.length + 1).split('/')
    const isHidden = (part: string, i: number): boolean => /^[_.]/.test(part) && (i === parts.length - 1 || !part.includes('='))
    if (parts.some(isHidden)) continue
    if (!/\.(?:parquet|parq|pq)$/i.test(info.path))
      throw invalid('lake.convert_other_file', `${info.path} is no Parquet file, and all files of a table's folder belong to the table`, {
        hint: 'Move it elsewhere, or give it a name that begins with _ or a dot.',
      })
    yield info
  }
}

async function* chunks<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  let chunk: T[] = []
  for await (const item of items) {
    chunk.push(item)
    if (chunk.length < FOOTERS) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}

/** What Parquet holds and Delta has no type for, or reads as another one. */
const NO_DELTA_TYPE = /\b(?:UBIGINT|UHUGEINT|HUGEINT|UUID|TIMESTAMP_NS|(?<!TIMESTAMP WITH )TIME|INTERVAL|BIT)\b/

/** The columns of all files together. A column that some files lack is null there; one of two types is refused. */
class Schema {
  readonly #root: string
  readonly #partitions: ReadonlySet<string>
  readonly #shapes: Set<string> = new Set()
  readonly #columns: Map<string, { readonly field: DeltaField; readonly file: string }> = new Map()

  constructor(root: string, partitions: ReadonlySet<string>) {
    this.#root = root
    this.#partitions = partitions
  }

  fields(): DeltaField[] {
    return [...this.#columns.values()].map(({ field }) => field)
  }

  /** `local` maps files on this machine to their objects. Files of one shape are looked at once. */
  async take(connection: DuckDBConnection, local: ReadonlyMap<string, string>, signal: AbortSignal | undefined): Promise<void> {
    const shapes = `select first(file_name), shape from (
      select file_name, md5(string_agg(concat_ws(' ', name, type, type_length, repetition_type, num_children, converted_type, scale, precision, logical_type), ';' order by column_id)) as shape
      from parquet_schema(${fileList([...local.keys()])}) group by file_name) group by shape order by 1`
    const reader = await query(connection, shapes, signal).catch(async (error: unknown) => {
      throw await this.#unreadable(connection, local, error, signal)
    })
    for (const [file, shape] of reader.getRows()) {
      if (this.#shapes.has(String(shape))) continue
      await this.#takeFile(connection, String(file), local.get(String(file)) ?? String(file), signal)
      this.#shapes.add(String(shape))
    }
  }

  async #takeFile(connection: DuckDBConnection, file: string, object: string, signal: AbortSignal | undefined): Promise<void> {
    const sql = `select * from read_parquet(${fileList([file])}, hive_partitioning = false)`
    for (const [name, type] of (await query(connection, `describe ${sql}`, signal)).getRows()) {
      if (NO_DELTA_TYPE.test(String(type)))
        throw invalid('lake.type_unsupported', `Column ${String(name)} of ${object} has the type ${String(type)}, which a Delta table cannot hold`, {
          hint: `Write the file again with another type: ${identifier(String(name))}::varchar, for example.`,
        })
    }
    for (const field of await fieldsOfRelation({ connection, sql })) {
      const key = field.name.toLowerCase()
      if (this.#partitions.has(key)) continue
      const known = this.#columns.get(key)
      if (!known) this.#columns.set(key, { field, file: object })
      else if (known.field.name !== field.name || JSON.stringify(known.field.type) !== JSON.stringify(field.type))
        throw invalid(
          'lake.convert_schema',
          `The files of ${this.#root} do not fit together: ${field.name} is ${typeName(field.type)} in ${object}, and ${known.field.name} is ${typeName(known.field.type)} in ${known.file}`,
          { hint: 'Write one of the two again with the type of the other, or convert them as two tables.' },
        )
    }
  }

  async #unreadable(connection: DuckDBConnection, local: ReadonlyMap<string, string>, error: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    signal?.throwIfAborted()
    for (const [file, object] of local) {
      const fault = await query(connection, `select count(*) from parquet_schema(${fileList([file])})`, signal).then(
        () => null,
        (cause: unknown) => cause,
      )
      if (fault === null) continue
      signal?.throwIfAborted()
      return invalid('lake.convert_damaged', `${object} cannot be read as Parquet: ${fault instanceof Error ? fault.message.split('\n')[0] : String(fault)}`, {
        hint: 'Remove or restore that file, then convert again; nothing was changed.',
        cause: fault,
      })
    }
    return error
  }
}

/** From folders' names to partition values. */
class PartitionReader {
  readonly #root: string
  readonly #columns: readonly DeltaField[]
  readonly #connection: DuckDBConnection
  readonly #known: Map<string, PartitionValues> = new Map()

  constructor(root: string, columns: readonly DeltaField[], connection: DuckDBConnection) {
    this.#root = root
    this.#columns = columns
    this.#connection = connection
  }

  async of(relative: string): Promise<PartitionValues> {
    const folders = relative.split('/').slice(0, -1)
    const key = folders.join('/')
    const known = this.#known.get(key)
    if (known) return known
    const pairs = folders
      .filter((folder) => folder.includes('='))
      .map((folder): [string, string] => [unescaped(folder.slice(0, folder.indexOf('='))), unescaped(folder.slice(folder.indexOf('=') + 1))])
    const names = pairs.map(([name]) => name.toLowerCase())
    if (names.join('\0') !== this.#columns.map(({ name }) => name.toLowerCase()).join('\0'))
      throw invalid(
        'lake.convert_partitions',
        `The folder ${this.#root}/${key} is of the partition columns ${pairs.map(([name]) => name).join(', ') || '(none)'}, the table was asked to have ${this.#columns.map(({ name }) => name).join(', ') || 'none'}`,
        {
          hint:
            pairs.length > 0
              ? `Name them in this order with their types, such as: ${pairs.map(([name, value]) => `${name} ${likelyType(value)}`).join(', ')}`
              : 'Every file must lie in a folder for each partition column.',
        },
      )
    const values: Record<string, string | null> = {}
    for (const [i, field] of this.#columns.entries()) values[field.name] = await this.#value(field, pairs[i]?.[1] ?? '', key)
    this.#known.set(key, values)
    return values
  }

  /** The value as the log writes it; a text that is none of the column's type is refused. */
  async #value(field: DeltaField, text: string, folder: string): Promise<string | null> {
    if (text === HIVE_NULL || text === '') return null
    const sql = `select ${partitionText(field)} from (select try_cast(${literal(text)} as ${duckType(field.type)}) as ${identifier(field.name)})`
    const value = (await query(this.#connection, sql)).getRows()[0]?.[0]
    if (typeof value === 'string') return value
    throw invalid('lake.convert_partitions', `The folder ${this.#root}/${folder} has ${field.name}=${text}, which is no ${typeName(field.type)}`, {
      hint: `Give the partition column another type, such as: ${field.name} string`,
    })
  }
}

const HIVE_NULL = '__HIVE_DEFAULT_PARTITION__'

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function likelyType(value: string): string {
  if (/^\d{4}-\d\d-\d\d$/.test(value)) return 'date'
  return /^(?:0|-?[1-9]\d{0,17})$/.test(value) ? 'long' : 'string'
}

/** The add actions of some files, with the statistics that their footers hold. */
async function addsOf(
  { place, root }: Table,
  connection: DuckDBConnection,
  fields: readonly DeltaField[],
  found: readonly Found[],
  signal: AbortSignal | undefined,
): Promise<AddFile[]> {
  const release = place.objects.hold()
  try {
    const local = await Promise.all(found.map(({ info }) => place.objects.localFile(info.path)))
    const plain = fields.filter((field) => typeof field.type === 'string')
    const columns = plain.flatMap((field) => {
      const mine = `path_in_schema = ${literal(field.name)}`
      // A row group without a bound has none, or nothing but nulls.
      const bound = (which: 'min' | 'max'): string => {
        const value = `try_cast(stats_${which}_value as ${duckType(field.type)})`
        return `case when count(*) filter (where ${mine} and ${value} is null and stats_null_count is distinct from num_values) = 0 then ${which}(${value}) filter (where ${mine}) end::varchar`
      }
      return [
        `case when bool_and(stats_null_count is not null) filter (where ${mine}) then sum(stats_null_count) filter (where ${mine}) end::varchar`,
        bound('min'),
        bound('max'),
      ]
    })
    const rows = `select file_name, sum(num_rows)::bigint from parquet_file_metadata(${fileList(local)}) group by 1`
    const counts = new Map((await query(connection, rows, signal)).getRows().map(([file, count]) => [String(file), Number(count)]))
    const stats = new Map<string, readonly unknown[]>()
    if (columns.length > 0) {
      const reader = await query(connection, `select file_name, ${columns.join(', ')} from parquet_metadata(${fileList(local)}) group by 1`, signal)
      for (const [file, ...cells] of reader.getRows()) stats.set(String(file), cells)
    }
    return found.map(({ info, partitionValues }, i) => {
      const file = local[i] ?? ''
      const leaves = new Map<string, LeafStats>()
      for (const [at, field] of plain.entries()) {
        const [nulls, min, max] = (stats.get(file) ?? []).slice(3 * at, 3 * at + 3).map((cell) => (typeof cell === 'string' ? cell : undefined))
        leaves.set(identifier(field.name), {
          ...(nulls === undefined ? {} : { null_count: nulls }),
          ...(min === undefined || !isWhole(min) ? {} : { min }),
          ...(max === undefined || !isWhole(max) ? {} : { max }),
        })
      }
      return {
        path: asJavaEncodes(info.path.slice(root.length + 1)),
        partitionValues,
        size: info.size,
        modificationTime: info.modified,
        dataChange: true,
        stats: fileStats(counts.get(file) ?? 0, fields, leaves, -1),
        tags: null,
        deletionVector: null,
      }
    })
  } finally {
    release()
  }
}

/** Bounds of text may be cut within a character; such a one says nothing. */
function isWhole(text: string): boolean {
  return !/\ufffd|\\x/i.test(text)
}
