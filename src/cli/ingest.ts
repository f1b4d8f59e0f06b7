/** `lagoa ingest`: files into a table, each once, with what became of every one of them. */
import { ERROR_KINDS, errorBody, invalid, t, type Field, type LagoaError } from '../base/index.ts'
import { findFiles, openIngestion, targetOf, type FileOptions, type FileOutcome } from '../lake/index.ts'
import { openPlatform, type Platform } from '../platform/index.ts'
import { numberFlag, type Arguments, type FlagName } from './args.ts'
import { bytesText, dim, note, print, printError, textTable } from './output.ts'
import { INTERRUPTED, onStopSignal } from './signals.ts'
import { configFor, loggerFor } from './setup.ts'

export async function ingest(args: Arguments): Promise<number> {
  const { values, positionals } = args
  if (positionals.length === 0)
    throw invalid('cli.no_files', 'There is no file to ingest', { hint: 'Name files, folders or patterns: lagoa ingest data/*.csv --into bronze.data' })
  if (values.into === undefined || values.into === '')
    throw invalid('cli.no_table', 'It is not said into which table', {
      hint: `Name it: lagoa ingest ${positionals[0]} --into bronze.${tableNameFor(positionals[0] ?? '')}`,
    })
  const options = optionsFrom(args)
  const stopped = onStopSignal()
  const config = await configFor(args, false)
  const platform = await openPlatform({ config, logger: loggerFor(config, args, 'warn'), feed: null })
  try {
    return await run(platform, args, values.into, options, stopped)
  } catch (error) {
    if (!stopped.aborted) throw error
    await printError(stopped.reason, values.json ?? false)
    return INTERRUPTED
  } finally {
    await platform.close()
  }
}

async function run(
  { config, engines, pipeline }: Platform,
  { values, positionals }: Arguments,
  into: string,
  options: FileOptions,
  signal: AbortSignal,
): Promise<number> {
  const lake = pipeline?.lake
  if (!lake) throw invalid('project.not_loaded', 'No project is loaded')
  const began = performance.now()
  const json = values.json ?? false
  const dryRun = values['dry-run'] ?? false
  const target = targetOf(into, lake.plan.tables.get(into), options)
  const files = await findFiles(positionals, {
    objects: engines.objects,
    base: process.cwd(),
    project: config.project,
    anyName: target.options.format !== undefined,
  })
  const progress = startProgress(
    files.length,
    files.reduce((sum, { size }) => sum + size, 0),
    json,
  )
  const place = { duck: engines.duck, temporary: engines.temporaryFolder, open: (name: string) => lake.open(name), hold: () => engines.objects.hold() }
  const ingestion = openIngestion(place, { target, dryRun, signal, onBytes: (bytes) => progress.read(bytes) })
  const outcomes: FileOutcome[] = []
  try {
    while (outcomes.length < files.length) {
      progress.begins(files[outcomes.length]?.name ?? '')
      const taken = await ingestion.takeNext(files.slice(outcomes.length))
      outcomes.push(...taken)
      for (const outcome of taken) progress.ended(outcome)
    }
  } finally {
    progress.stop()
  }
  const seconds = Math.round(performance.now() - began) / 1000
  const snapshot = dryRun ? null : await lake.open(into).snapshot()
  if (json)
    print(
      JSON.stringify({
        table: into,
        version: snapshot?.version ?? null,
        ...totals(outcomes),
        seconds,
        files: outcomes.map(({ error, ...told }) => ({ ...told, ...(error ? { error: errorBody(error) } : {}) })),
      }),
    )
  else printSummary(into, outcomes, snapshot?.version ?? null, seconds)
  const failed = outcomes.find(({ error }) => error)?.error
  return failed ? ERROR_KINDS[failed.kind].exit : 0
}

interface Totals {
  readonly rows: number
  readonly bad: number
  readonly blank: number
  readonly added: number
  readonly known: number
  readonly refused: number
}

function totals(outcomes: readonly FileOutcome[]): Totals {
  const count = (...kinds: FileOutcome['outcome'][]): number => outcomes.filter(({ outcome }) => kinds.includes(outcome)).length
  const sum = (pick: (outcome: FileOutcome) => number): number => outcomes.reduce((total, outcome) => total + pick(outcome), 0)
  return {
    rows: sum(({ rows }) => rows),
    bad: sum(({ bad }) => bad),
    blank: sum(({ blank }) => blank),
    added: count('added', 'replaced', 'ready'),
    known: count('known'),
    refused: count('refused'),
  }
}

const count = (value: number): string => value.toLocaleString('en')

/** What became of one file, as one line. */
function lineOf({ file, outcome, rows, bad, blank, error }: FileOutcome): string {
  const aside = `${bad > 0 ? `, ${count(bad)} bad lines kept aside` : ''}${blank > 0 ? `, ${count(blank)} blank rows left out` : ''}`
  switch (outcome) {
    case 'added':
      return `${file}: ${count(rows)} rows${aside}`
    case 'replaced':
      return `${file}: ${count(rows)} rows in the place of the old ones${aside}`
    case 'ready':
      return `${file}: would add ${count(rows)} rows${aside}`
    case 'known':
      return `${file}: its content was ingested before, nothing added`
    case 'empty':
      return `${file}: no rows in it, nothing added`
    case 'refused':
      return `${error?.message ?? `${file} was refused`}\n  ${error?.hint ?? ''}`
  }
}

function printSummary(table: string, outcomes: readonly FileOutcome[], version: number | null, seconds: number): void {
  for (const { renamed, columns, notes, file, outcome } of outcomes.slice(0, 1).filter((one) => one.columns.length > 0)) {
    if (notes.length > 0) note(dim(`${file}: ${notes.join(', ')}`))
    for (const { from, to } of renamed) note(dim(`column "${from}" is ${to}`))
    if (outcome === 'ready')
      print(
        textTable(
          ['column', 'type'],
          columns.map(({ name, type }) => [name, type.toLowerCase()]),
        ),
      )
  }
  const sums = totals(outcomes)
  const dry = outcomes.some(({ outcome }) => outcome === 'ready')
  print(
    `table  ${table}: ${dry ? 'would get ' : ''}${count(sums.rows)} rows from ${count(sums.added)} files${sums.known > 0 ? `, ${count(sums.known)} known before` : ''}${sums.refused > 0 ? `, ${count(sums.refused)} refused` : ''}${version === null ? '' : `, version ${version}`}`,
  )
  if (sums.bad > 0 && !dry) print(`bad lines: ${count(sums.bad)}, in ${table}_quarantine with their place and reason`)
  print(`done in ${seconds.toFixed(2)} s, ${count(Math.round(sums.rows / Math.max(seconds, 0.001)))} rows/s`)
}

interface Progress {
  begins(file: string): void
  read(bytes: number): void
  ended(outcome: FileOutcome): void
  stop(): void
}

/** One line that is written over on a terminal; a line a file elsewhere; nothing for programs. */
function startProgress(files: number, bytes: number, quiet: boolean): Progress {
  const { stderr } = process
  const lively = stderr.isTTY && !quiet
  const began = performance.now()
  let done = 0
  let read = 0
  let rows = 0
  let current = ''
  const clear = (): void => void (lively && stderr.write('\r\u001b[2K'))
  const draw = (): void => {
    const rate = Math.round(rows / Math.max(0.001, (performance.now() - began) / 1000))
    const width = stderr.columns ?? 80
    clear()
    stderr.write(
      `  ${count(done)} of ${count(files)} files  ${bytesText(read)} of ${bytesText(bytes)}  ${count(rows)} rows  ${count(rate)} rows/s  ${current}`.slice(
        0,
        width - 1,
      ),
    )
  }
  const timer = lively ? setInterval(draw, 200) : undefined
  return {
    begins: (file) => void (current = file),
    read: (more) => void (read += more),
    ended(outcome) {
      done++
      rows += outcome.rows
      clear()
      if (!quiet) note(lineOf(outcome))
    },
    stop() {
      clearInterval(timer)
      clear()
    },
  }
}

const FORMATS = ['csv', 'json', 'ndjson', 'parquet'] as const
const DECIMALS = ['.', ','] as const
const SCHEMAS = ['evolve', 'freeze'] as const
const CHANGES = ['refuse', 'add', 'replace'] as const

function optionsFrom({ values }: Arguments): FileOptions {
  const skip = numberFlag('skip', values.skip, 0)
  const delimiter = values.delimiter === 'tab' || values.delimiter === '\\t' ? '\t' : values.delimiter
  if (delimiter === '' || (delimiter?.length ?? 1) > 4) throw wrong('delimiter', delimiter ?? '', "one to four characters, such as ';'")
  if ((values.quote?.length ?? 0) > 1) throw wrong('quote', values.quote ?? '', `one character, such as '"'`)
  return {
    ...given('format', oneOf('format', values.format, FORMATS)),
    ...given('delimiter', delimiter),
    ...given('quote', values.quote),
    ...given('header', values.header === undefined ? undefined : oneOf('header', values.header, ['true', 'false']) === 'true'),
    ...given('skip', skip),
    ...given('decimal', oneOf('decimal', values.decimal, DECIMALS)),
    ...given('null', values.null?.split(',')),
    ...given('dateFormat', values['date-format']),
    ...given('timestampFormat', values['timestamp-format']),
    ...given('encoding', values.encoding),
    ...given('types', values.columns === undefined ? undefined : columnTypes(values.columns)),
    ...given('schema', oneOf('schema', values.schema, SCHEMAS)),
    ...given('changed', oneOf('changed', values.changed, CHANGES)),
  }
}

function given<K extends keyof FileOptions>(name: K, value: FileOptions[K] | undefined): Pick<FileOptions, K> | Record<never, never> {
  return value === undefined ? {} : { [name]: value }
}

function oneOf<T extends string>(flag: FlagName, text: string | undefined, known: readonly T[]): T | undefined {
  if (text === undefined) return undefined
  const found = known.find((one) => one === text)
  if (found === undefined) throw wrong(flag, text, `one of ${known.join(', ')}`)
  return found
}

const wrong = (flag: FlagName, text: string, wanted: string): LagoaError =>
  invalid('cli.value', `--${flag} is ${JSON.stringify(text)}`, { hint: `It must be ${wanted}.` })

const TYPES: Readonly<Record<string, () => Field>> = {
  string: t.string,
  int: t.int,
  long: t.long,
  double: t.double,
  boolean: t.boolean,
  timestamp: t.timestamp,
  date: t.date,
  json: t.json,
}

/** `id:string,co:double`. */
function columnTypes(text: string): Record<string, Field> {
  return Object.fromEntries(
    text.split(',').map((part) => {
      const colon = part.lastIndexOf(':')
      const make = TYPES[part.slice(colon + 1).trim()]
      if (colon < 1 || !make) throw wrong('columns', part, `name:type, with the types ${Object.keys(TYPES).join(', ')}`)
      return [part.slice(0, colon).trim(), make().nullable()]
    }),
  )
}

const tableNameFor = (path: string): string => /([A-Za-z_]\w*)[^/\\]*$/.exec(path)?.[1]?.toLowerCase() ?? 'files'
