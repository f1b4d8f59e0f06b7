/** `files(...)`: how a project says that a table is filled by the files of a folder or of a prefix in the object store, and how they are read. */
import { t, type Field, type Schema } from '../../base/index.ts'

export type FileFormat = 'csv' | 'json' | 'ndjson' | 'parquet'

export interface FileOptions {
  /** By the file's name and its first bytes when absent. */
  readonly format?: FileFormat
  /** CSV: what stands between two values; found out when absent, as are the next four. */
  readonly delimiter?: string
  readonly quote?: string
  /** CSV: whether the first line names the columns. */
  readonly header?: boolean
  /** CSV: lines above the header. */
  readonly skip?: number
  /** CSV: `,` for numbers such as 2,6. */
  readonly decimal?: '.' | ','
  /** CSV: texts that mean "no value", beside the empty one. */
  readonly null?: readonly string[]
  /** CSV: as strftime has it, such as `%d/%m/%Y`. */
  readonly dateFormat?: string
  readonly timestampFormat?: string
  /** Of text: any name that the WHATWG Encoding standard knows. UTF-8 when absent, or windows-1252 when the file cannot be UTF-8. */
  readonly encoding?: string
  /** CSV and JSON: types of columns that need not be guessed, by their name in the table. */
  readonly types?: Readonly<Record<string, Field>>
  /**
   * What a file with other columns than the table's does. `evolve`: new columns are added, a type is widened when no value changes by it.
   * `freeze`: the file is refused. `freeze` for tables that declare `columns`, else `evolve`.
   */
  readonly schema?: 'evolve' | 'freeze'
  /** What becomes of a file that was ingested under this name with other content: refused (default), added beside the old rows, or put in their place. */
  readonly changed?: 'refuse' | 'add' | 'replace'
}

/** Files that fill a table: paths and patterns below the project folder, or `objects://bucket/prefix`. */
export interface FilesRef {
  readonly kind: 'files'
  /** The patterns, for people. */
  readonly name: string
  readonly paths: readonly string[]
  readonly options: FileOptions
}

/** `files('inbox/companies/*.csv', { delimiter: ';' })`. Files are taken once, in the order of their names; what grows is waited for. */
export function files(paths: string | readonly string[], options: FileOptions = {}): FilesRef {
  const list = typeof paths === 'string' ? [paths] : paths
  return { kind: 'files', name: list.join(', '), paths: list, options }
}

/** What a table of files has beside the columns of the files. */
export const FILE_FIELDS = {
  _file: t.string().nullable().describe('File that the row came from'),
  _ingested_at: t.timestamp().nullable().describe('When the file was ingested'),
} satisfies Schema
