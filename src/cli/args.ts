/** The command line: one table of flags for all commands, each command naming those it takes. Unknown ones are refused with the nearest. */
import { parseArgs } from 'node:util'
import { closest, invalid, LagoaError } from '../base/index.ts'

export interface Flag {
  readonly type: 'string' | 'boolean'
  readonly value?: string
  /** One letter for it, as in -p. */
  readonly short?: string
  /** It may be given several times. */
  readonly multiple?: boolean
  readonly about: string
}

export const FLAGS = {
  project: { type: 'string', value: 'DIR', about: 'project folder (the current one)' },
  config: { type: 'string', value: 'FILE', about: 'configuration file in the project folder (lagoa.config.ts)' },
  home: { type: 'string', value: 'DIR', about: 'where state lives (.lagoa in the project folder)' },
  port: { type: 'string', value: 'N', about: 'port to serve on (8080; 0 takes any)' },
  host: { type: 'string', value: 'ADDRESS', about: 'loopback address to serve on (127.0.0.1)' },
  data: { type: 'string', value: 'PATH', about: "replay this file instead of the project's sources" },
  rate: { type: 'string', value: 'N|max', about: 'records per second of the sources' },
  stations: { type: 'string', value: 'N', about: 'number of simulated devices' },
  seed: { type: 'string', value: 'N', about: 'seed of the simulation (1)' },
  count: { type: 'string', value: 'N', about: 'end the simulation after this many readings' },
  once: { type: 'boolean', about: 'process what there is, print a summary, exit' },
  into: { type: 'string', value: 'TABLE', about: 'table that the files go into, such as bronze.readings' },
  format: { type: 'string', value: 'NAME', about: 'csv, json, ndjson or parquet (by name and content)' },
  delimiter: { type: 'string', value: 'TEXT', about: "CSV: between two values, such as ';' or tab (found out)" },
  quote: { type: 'string', value: 'TEXT', about: 'CSV: around values (found out)' },
  header: { type: 'string', value: 'true|false', about: 'CSV: whether the first line names the columns (found out)' },
  skip: { type: 'string', value: 'N', about: 'CSV: lines above the header (found out)' },
  decimal: { type: 'string', value: '.|,', about: 'CSV: decimal point or comma (found out)' },
  null: { type: 'string', value: 'LIST', about: 'CSV: texts that mean no value, divided by commas, such as -200,NA' },
  'date-format': { type: 'string', value: 'FORMAT', about: 'CSV: such as %d/%m/%Y (found out)' },
  'timestamp-format': { type: 'string', value: 'FORMAT', about: "CSV: such as '%d/%m/%Y %H:%M' (found out)" },
  encoding: { type: 'string', value: 'NAME', about: 'of text, such as latin1 (UTF-8, else windows-1252)' },
  columns: { type: 'string', value: 'LIST', about: "types of columns, such as 'id:string,co:double' (found out)" },
  schema: { type: 'string', value: 'evolve|freeze', about: 'whether the table follows files with other columns (evolve)' },
  changed: { type: 'string', value: 'WHAT', about: 'a file ingested before that has other content: refuse, add or replace (refuse)' },
  limit: { type: 'string', value: 'N', about: 'most rows to print (1000)' },
  zorder: { type: 'string', value: 'COLUMNS', about: 'order rows by these columns, so that conditions on them skip files' },
  where: { type: 'string', value: 'CONDITION', about: 'only partitions for which this is true' },
  'dry-run': { type: 'boolean', about: 'show what would happen, change nothing' },
  retain: { type: 'string', value: 'DURATION', about: "keep what was removed since (the table's own retention, 7d)" },
  force: { type: 'boolean', about: 'also when it is refused otherwise: less than the retention of a table, an environment that is there' },
  version: { type: 'string', value: 'N', about: 'the version' },
  at: { type: 'string', value: 'TIME', about: 'the version of that time (UTC)' },
  'partition-by': { type: 'string', value: 'COLUMNS', about: 'columns that the folders\' names hold, with types: "day date, site string"' },
  kind: { type: 'string', value: 'KIND', about: 'only assets of this kind: stream, files, table, alert, queue, live, dead_letters' },
  tag: { type: 'string', value: 'TAG', about: 'only assets with this tag' },
  owner: { type: 'string', value: 'NAME', about: 'only assets of this owner' },
  direction: { type: 'string', value: 'up|down|both', about: 'what it is made of, what it makes, or both (both)' },
  depth: { type: 'string', value: 'N', about: 'most steps each way (all)' },
  branch: { type: 'string', value: 'NAME', about: 'read, or refresh, the tables as this branch has them' },
  keys: { type: 'string', value: 'COLUMNS', about: 'columns that tell rows apart, so that changed rows are paired' },
  filter: {
    type: 'string',
    value: 'CONDITION',
    about: 'only records for which this is true: \'co > 10 && sensor == "Lapa"\', or sensor=Lapa; of tests, part of a name',
  },
  from: {
    type: 'string',
    value: 'PLACE',
    about: 'where to begin: an offset, start, a time (UTC), how long ago, such as 10m (the newest records); the first partition',
  },
  to: { type: 'string', value: 'PARTITION', about: 'the last partition (the newest that is over)' },
  partitions: { type: 'string', value: 'LIST', about: 'these partitions, divided by commas, in place of a range' },
  again: { type: 'boolean', about: 'also those that have succeeded or are under way' },
  newest: { type: 'boolean', about: 'the newest first' },
  concurrency: { type: 'string', value: 'N', about: 'runs at a time (16)' },
  follow: { type: 'boolean', about: 'go on with what comes, until interrupted' },
  partition: { type: 'string', value: 'NAME', about: 'only this partition' },
  all: { type: 'boolean', about: 'all that came since all were sent again the last time' },
  state: { type: 'string', value: 'STATE', about: 'only alerts that are pending, firing, resolved or fired' },
  rule: { type: 'string', value: 'NAME', about: 'only alerts of this rule' },
  for: { type: 'string', value: 'DURATION', about: 'for how long, such as 2h' },
  reason: { type: 'string', value: 'TEXT', about: 'why, for those who wonder later' },
  param: { type: 'string', value: 'KEY=VALUE', short: 'p', multiple: true, about: 'a param of the run; again for each' },
  task: { type: 'string', value: 'NAME', about: 'only this task' },
  flow: { type: 'string', value: 'NAME', about: 'only runs of this flow' },
  detach: { type: 'boolean', about: 'do not wait for the end' },
  programs: { type: 'string', value: 'FOLDERS', about: 'look for programs in these folders only, divided by : (PATH and where packages put them)' },
  export: { type: 'boolean', about: 'print what a shell needs to use them, passwords included' },
  json: { type: 'boolean', about: 'print JSON' },
  verbose: { type: 'boolean', about: 'log details' },
  help: { type: 'boolean', about: 'print this help' },
} as const satisfies Record<string, Flag>

export type FlagName = keyof typeof FLAGS

export interface Arguments {
  readonly values: {
    readonly [name in FlagName]?: (typeof FLAGS)[name] extends { readonly multiple: true }
      ? readonly string[]
      : (typeof FLAGS)[name]['type'] extends 'boolean'
        ? boolean
        : string
  }
  readonly positionals: readonly string[]
}

/** `most` is how many words may follow the command beside its flags. */
export function readArguments(argv: readonly string[], allowed: readonly FlagName[], most: number = Number.POSITIVE_INFINITY): Arguments {
  const names = [...allowed, 'help', 'verbose'] as const
  try {
    const { values, positionals } = parseArgs({
      args: withValues(argv),
      options: Object.fromEntries(names.map((name) => [name, optionOf(FLAGS[name])])),
      allowPositionals: true,
      strict: true,
    })
    const extra = positionals[most]
    if (extra !== undefined)
      throw invalid('cli.too_many_words', `"${extra}" is one word too many`, { hint: 'See lagoa --help; put text with spaces into quotes.' })
    return { values, positionals } as Arguments
  } catch (error) {
    if (error instanceof LagoaError) throw error
    const message = error instanceof Error ? error.message : String(error)
    const unknown = /Unknown option '--?([^' ]+)/.exec(message)?.[1]
    if (unknown === undefined) throw invalid('cli.arguments', message.split('. To specify')[0] ?? message, { hint: 'See lagoa --help.', cause: error })
    const near = closest(unknown, names)
    throw invalid('cli.unknown_flag', `There is no flag --${unknown} here`, {
      hint: near.length > 0 ? `Did you mean --${near.join(' or --')}?` : `The flags are: ${names.map((name) => `--${name}`).join(', ')}.`,
      cause: error,
    })
  }
}

function optionOf({ type, short, multiple = false }: Flag): { type: 'string' | 'boolean'; short?: string; multiple: boolean } {
  return { type, multiple, ...(short === undefined ? {} : { short }) }
}

/** `--null -200`: what follows a flag that takes a value is its value, also when it begins with a dash and a digit. */
function withValues(argv: readonly string[]): string[] {
  const takes = (word: string | undefined): boolean => Object.entries<Flag>(FLAGS).some(([name, { type }]) => type === 'string' && word === `--${name}`)
  const joined: string[] = []
  for (const word of argv) {
    const before = joined.at(-1)
    if (/^-[\d.,]/.test(word) && takes(before)) joined[joined.length - 1] = `${before}=${word}`
    else joined.push(word)
  }
  return joined
}

/** A whole number given as a flag. */
export function numberFlag(name: FlagName, text: string | undefined, least: number = 1): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value) || value < least)
    throw invalid('cli.number', `--${name} is ${text}, which is no whole number from ${least} up`, {
      hint: `Write --${name} ${Math.max(least, 10)}, for example.`,
    })
  return value
}

/** `--rate 250` or `--rate max`. */
export function rateFlag(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (text === 'max') return Number.POSITIVE_INFINITY
  const value = Number(text)
  if (!(value > 0)) throw invalid('cli.rate', `--rate is ${text}, which is no rate`, { hint: 'Write --rate 100 (records per second) or --rate max.' })
  return value
}
