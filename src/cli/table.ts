/** `lagoa table`: looking at one Delta table and looking after it: of the project, at a place in its object store, or in a folder. */
import { closest, invalid, missing, parseDuration, parseInstant } from '../base/index.ts'
import type { DeltaField, DeltaTable } from '../lake/index.ts'
import { localFolder, openOutside, openPlaced } from '../platform/index.ts'
import { numberFlag, type Arguments, type FlagName } from './args.ts'
import { bytesText, dim, note, print, textTable } from './output.ts'
import { withPlatform } from './read.ts'

interface Subcommand {
  /** Beside --json and the flags that name the project. */
  readonly flags: readonly FlagName[]
  /** Words after the subcommand. */
  readonly words: readonly string[]
  /** Reads only, so that it also takes a folder outside of the lake. */
  readonly reads?: true
  readonly run: (table: DeltaTable, args: Arguments) => Promise<void>
}

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  describe: { flags: [], words: ['TABLE'], reads: true, run: describe },
  history: { flags: ['limit'], words: ['TABLE'], reads: true, run: history },
  optimize: { flags: ['zorder', 'where'], words: ['TABLE'], run: optimize },
  vacuum: { flags: ['dry-run', 'retain', 'force'], words: ['TABLE'], run: vacuum },
  restore: { flags: ['version', 'at'], words: ['TABLE'], run: restore },
  convert: { flags: ['partition-by'], words: ['FOLDER'], run: convert },
  clone: { flags: ['version', 'at'], words: ['TABLE', 'TARGET'], run: clone },
}

const ANY: readonly FlagName[] = ['project', 'config', 'home', 'json', 'verbose', 'help']

export async function table(args: Arguments): Promise<number> {
  const [name, ...words] = args.positionals
  const sub = name !== undefined && Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined
  if (name === undefined || !sub) {
    const near = name === undefined ? [] : closest(name, Object.keys(SUBCOMMANDS))
    throw invalid('cli.unknown_command', name === undefined ? 'lagoa table wants to know what to do' : `There is no command lagoa table ${name}`, {
      hint:
        near.length > 0
          ? `Did you mean lagoa table ${near.join(' or ')}?`
          : `There are: ${Object.entries(SUBCOMMANDS)
              .map(([one, { words: wanted }]) => `${one} ${wanted.join(' ')}`)
              .join(', ')}.`,
    })
  }
  for (const flag of Object.keys(args.values))
    if (![...sub.flags, ...ANY].some((one) => one === flag))
      throw invalid('cli.unknown_flag', `lagoa table ${name} takes no --${flag}`, {
        hint: sub.flags.length === 0 ? 'It takes --json only.' : `It takes --${sub.flags.join(', --')}.`,
      })
  const [place = ''] = words
  if (words.length !== sub.words.length || place === '')
    throw invalid('cli.arguments', `lagoa table ${name} takes ${sub.words.join(' and ')}`, {
      hint: `Write: lagoa table ${name} ${sub.words.join(' ')}, such as: lagoa table ${name} silver.readings`,
    })

  const folder = localFolder(place)
  if (folder !== null && sub.reads) {
    const placed = await openOutside(folder)
    try {
      await sub.run(placed.table, args)
      return 0
    } finally {
      await placed.close()
    }
  }
  return withPlatform(args, async ({ engines, pipeline }) => {
    const placed = await openPlaced({ ...engines, lake: pipeline?.lake ?? null }, place, { outside: sub.reads === true })
    try {
      await sub.run(placed.table, args)
      return 0
    } finally {
      await placed.close()
    }
  })
}

/** Prints one thing as JSON or in words. */
function tell(args: Arguments, value: unknown, words: () => string): void {
  print(args.values.json ? JSON.stringify(value) : words())
}

const count = (value: number, what: string): string => `${value.toLocaleString('en')} ${what}${value === 1 ? '' : 's'}`
const timeText = (ms: number | null): string => (ms === null ? '' : new Date(ms).toISOString())

async function describe(of: DeltaTable, args: Arguments): Promise<void> {
  const told = await of.describe()
  if (told === null) throw await noTable(of)
  tell(args, told, () => {
    const facts: readonly (readonly [string, string])[] = [
      ['table', told.name ?? told.root],
      ...(told.description === null ? [] : [['about', told.description] as const]),
      ['version', `${told.version}${told.updatedAt === null ? '' : ` of ${timeText(told.updatedAt)}`}`],
      [
        'readable',
        `from version ${told.oldestVersion} on; ${count(told.commits, 'commit')}, ${told.checkpoints.length === 0 ? 'no checkpoint' : `newest checkpoint ${told.checkpoints.at(-1)}`}`,
      ],
      ...(told.files === null
        ? []
        : [['data', `${told.rows === null ? '' : `${count(told.rows, 'row')} in `}${count(told.files, 'file')}, ${bytesText(told.bytes ?? 0)}`] as const]),
      ...(told.partitionBy.length === 0 ? [] : [['partitions', told.partitionBy.join(', ')] as const]),
      ...(told.clusterBy.length === 0 ? [] : [['clustering', told.clusterBy.map((path) => path.join('.')).join(', ')] as const]),
      ['protocol', `reader ${told.protocol.minReaderVersion}, writer ${told.protocol.minWriterVersion}`],
      ...(told.unreadable === null ? [] : [['not read', told.unreadable] as const]),
      ...(told.unwritable === null ? [] : [['not written', told.unwritable] as const]),
    ]
    const sections = [facts.map(([name, value]) => `${name.padEnd(12)} ${value}`).join('\n')]
    sections.push(
      textTable(
        ['column', 'type', 'null'],
        told.columns.map((column) => [column.name, column.type, column.nullable ? 'yes' : 'no']),
      ),
    )
    if (told.features.length > 0)
      sections.push(
        textTable(
          ['feature', 'read here', 'written here'],
          told.features.map(({ name, reads, writes }) => [name, reads ? 'yes' : 'no', writes ? 'yes' : 'no']),
        ),
      )
    const properties = Object.entries(told.properties)
    if (properties.length > 0) sections.push(textTable(['property', 'value'], properties))
    if (told.pins.length > 0)
      sections.push(
        textTable(
          ['pin', 'version', 'for', 'until'],
          told.pins.map((pin) => [pin.id, pin.version, pin.holder ?? pin.reason, timeText(pin.until ?? null)]),
        ),
      )
    return sections.join('\n\n')
  })
}

async function history(of: DeltaTable, args: Arguments): Promise<void> {
  const entries = await of.history(numberFlag('limit', args.values.limit))
  if (entries.length === 0) throw await noTable(of)
  tell(args, entries, () =>
    textTable(
      ['version', 'time', 'operation', 'by', 'metrics'],
      entries.map(({ version, timestamp, operation, engineInfo, metrics }) => [
        version,
        timeText(timestamp),
        operation,
        engineInfo ?? '',
        Object.entries(metrics)
          .map(([name, value]) => `${name} ${value}`)
          .join(', '),
      ]),
    ),
  )
}

async function optimize(of: DeltaTable, args: Arguments): Promise<void> {
  const { zorder, where } = args.values
  const zOrderBy = zorder?.split(',').map((name) => name.trim())
  const done = { version: (await of.snapshot())?.version ?? -1, commits: 0, filesAdded: 0, filesRemoved: 0 }
  // Each call is bounded; all of them together are what was asked for.
  for (;;) {
    const result = await of.optimize({ ...(zOrderBy ? { zOrderBy } : {}), ...(where === undefined ? {} : { where }) })
    if (result.skipped) break
    done.version = result.version
    done.commits++
    done.filesAdded += result.filesAdded
    done.filesRemoved += result.filesRemoved
    if (process.stderr.isTTY) note(dim(`  ${count(done.filesRemoved, 'file')} became ${done.filesAdded} ...`))
  }
  tell(args, done, () =>
    done.commits === 0 ? 'There is nothing to do' : `${count(done.filesRemoved, 'file')} became ${done.filesAdded}; the table is at version ${done.version}`,
  )
}

async function vacuum(of: DeltaTable, args: Arguments): Promise<void> {
  const { retain, force, json, 'dry-run': dryRun = false } = args.values
  const retainMs = retain === undefined ? undefined : parseDuration(retain)
  if (retainMs === null) throw invalid('cli.duration', `--retain is ${retain}, which is no duration`, { hint: 'Write --retain 7d or --retain 36h.' })
  let shown = 0
  const result = await of.vacuum({
    ...(retainMs === undefined ? {} : { retainMs }),
    ...(force === undefined ? {} : { force }),
    dryRun,
    ...(dryRun && !json ? { onFile: (path: string) => print(path) } : {}),
    progress: ({ deleted, found }) => {
      if (!process.stderr.isTTY || deleted === 0 || Date.now() - shown < 1000) return
      shown = Date.now()
      note(dim(`  ${deleted} of ${found} ...`))
    },
  })
  const text = `${count(result.files, 'file')} with ${bytesText(result.bytes)}`
  if (dryRun && !json) note(`${text} would be deleted`)
  else tell(args, result, () => `${text} deleted; ${count(result.listed - result.files, 'file')} stay`)
}

async function restore(of: DeltaTable, args: Arguments): Promise<void> {
  const at = pointIn(args)
  if (at === undefined)
    throw invalid('cli.no_version', 'Nothing says which version to restore', {
      hint: 'Add --version 3 or --at "2026-01-31 10:00"; lagoa table history shows them.',
    })
  const result = await of.restore(at)
  tell(args, result, () =>
    result.skipped
      ? 'The table is at that version already'
      : `The table is at version ${result.version}: ${count(result.filesAdded, 'file')} came back, ${result.filesRemoved} left`,
  )
}

async function convert(of: DeltaTable, args: Arguments): Promise<void> {
  const columns = args.values['partition-by']
  const result = await of.convert(columns === undefined ? {} : { partitionBy: columns.split(',').map(partitionColumn) })
  tell(args, result, () => `${of.root} is a table of ${count(result.filesAdded, 'file')} and ${count(result.rowsAdded, 'row')}`)
}

/** `day date` */
function partitionColumn(text: string): DeltaField {
  const [name, type, ...rest] = text.trim().split(/[\s:]+/)
  if (name === undefined || type === undefined || rest.length > 0)
    throw invalid('cli.partition', `--partition-by has "${text.trim()}", which is no column with its type`, {
      hint: 'Write --partition-by "day date, site string".',
    })
  return { name, type: TYPE_NAMES[type.toLowerCase()] ?? type.toLowerCase(), nullable: true, metadata: {} }
}

/** What people call Delta's types by habit. */
const TYPE_NAMES: Readonly<Record<string, string>> = { int: 'integer', bigint: 'long', smallint: 'short', tinyint: 'byte', varchar: 'string', text: 'string' }

async function clone(of: DeltaTable, args: Arguments): Promise<void> {
  const target = args.positionals[2] ?? ''
  const at = pointIn(args)
  const result = await of.shallowClone(target.includes('/') ? target.replace(/\/+$/, '') : target.replace('.', '/'), at === undefined ? {} : { at })
  tell(args, result, () => `${target} is a table that lives on ${count(result.filesAdded, 'file')} of ${of.root}, which pins them`)
}

function pointIn({ values }: Arguments): { readonly version: number } | { readonly timestamp: number } | undefined {
  const version = numberFlag('version', values.version, 0)
  if (version !== undefined && values.at !== undefined) throw invalid('cli.arguments', 'Both --version and --at are given', { hint: 'Give one of them.' })
  if (version !== undefined) return { version }
  if (values.at === undefined) return undefined
  const timestamp = parseInstant(values.at)
  if (timestamp === null) throw invalid('cli.time', `--at is ${values.at}, which is no time`, { hint: 'Write --at "2026-01-31 10:00" (UTC) or ISO text.' })
  return { timestamp }
}

async function noTable(of: DeltaTable): Promise<Error> {
  // A name of the project has its own answer, with the names that are near.
  await of.snapshot()
  return missing('lake.table_missing', `There is no table at ${of.root}`, {
    hint: 'Write a name of the project (silver.readings), bucket/key, an address, or the path of a folder, which begins with / or ./',
  })
}
