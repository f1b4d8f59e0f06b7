/** `lagoa branch create|list|diff|merge|drop` and `lagoa refresh`: try a change of the tables beside the real ones. */
import { closest, invalid } from '../base/index.ts'
import type { Branch, Lake, TableDifference } from '../lake/index.ts'
import type { Arguments, FlagName } from './args.ts'
import { numberFlag } from './args.ts'
import { bold, dim, green, note, print, red, textTable, yellow } from './output.ts'
import { withPlatform } from './read.ts'

const ACTIONS: Readonly<
  Record<string, { readonly words: string; readonly flags: readonly FlagName[]; run(lake: Lake, args: Arguments, words: readonly string[]): Promise<number> }>
> = {
  create: { words: 'NAME TABLE...', flags: ['json'], run: create },
  list: { words: '', flags: ['json'], run: list },
  diff: { words: 'NAME [TABLE]', flags: ['json', 'limit', 'keys'], run: diff },
  merge: { words: 'NAME', flags: ['json', 'dry-run'], run: merge },
  drop: { words: 'NAME', flags: ['json'], run: drop },
}

export function branch(args: Arguments): Promise<number> {
  const [action = '', ...words] = args.positionals
  const chosen = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined
  if (!chosen) {
    const near = closest(action, Object.keys(ACTIONS))
    throw invalid('cli.branch_action', action === '' ? 'What to do with a branch is not said' : `A branch cannot be told to ${action}`, {
      hint: near.length > 0 ? `Did you mean lagoa branch ${near.join(' or ')}?` : `Write lagoa branch ${Object.keys(ACTIONS).join('|')} ...`,
    })
  }
  const most = chosen.words.includes('...') ? Number.POSITIVE_INFINITY : chosen.words === '' ? 0 : chosen.words.split(' ').length
  if (words.length > most || (chosen.words !== '' && words.length === 0))
    throw invalid('cli.branch_words', `lagoa branch ${action} takes ${chosen.words === '' ? 'no names' : chosen.words}`, {
      hint: `Write: lagoa branch ${action} ${chosen.words}`.trim(),
    })
  for (const flag of ['limit', 'keys', 'dry-run'] as const)
    if (args.values[flag] !== undefined && !chosen.flags.includes(flag))
      throw invalid('cli.unknown_flag', `lagoa branch ${action} has no flag --${flag}`, { hint: 'See lagoa branch --help.' })
  return withPlatform(args, async ({ pipeline }) => {
    if (!pipeline) throw invalid('project.not_loaded', 'No project is loaded here', { hint: 'Run it in a project folder, or name one with --project.' })
    return chosen.run(pipeline.lake, args, words)
  })
}

async function create(lake: Lake, args: Arguments, [name = '', ...tables]: readonly string[]): Promise<number> {
  const made = await lake.branches.create(name, tables)
  if (args.values.json) print(JSON.stringify(made))
  else {
    print(`Branch ${bold(made.name)} holds ${tablesText(made)}.`)
    note(dim(`Read it with: lagoa sql --branch ${name} 'select ...'; refresh it with: lagoa refresh --branch ${name}`))
  }
  return 0
}

async function list(lake: Lake, args: Arguments): Promise<number> {
  const branches = await lake.branches.list()
  if (args.values.json) print(JSON.stringify(branches))
  else if (branches.length === 0) print('There are no branches. Make one with: lagoa branch create dev silver.readings')
  else
    print(
      textTable(
        ['branch', 'made', 'tables'],
        branches.map((one) => [one.name, new Date(one.createdAt).toISOString(), tablesText(one)]),
      ),
    )
  return 0
}

const tablesText = ({ tables }: Branch): string => tables.map(({ table, version }) => `${table} at version ${version}`).join(', ')

async function diff(lake: Lake, args: Arguments, [name = '', table]: readonly string[]): Promise<number> {
  const held = (await lake.branches.get(name)).tables.map((one) => one.table)
  const limit = numberFlag('limit', args.values.limit, 0)
  const found: TableDifference[] = []
  for (const wanted of table === undefined ? held : [table]) {
    const keys = args.values.keys?.split(',').map((key) => key.trim()) ?? lake.keysOf(wanted)
    found.push(await lake.branches.diff(name, wanted, { keys, ...(limit === undefined ? {} : { limit }) }))
  }
  if (args.values.json) print(JSON.stringify(found))
  else for (const one of found) print(differenceText(one))
  return 0
}

function differenceText({
  table,
  base,
  newest,
  added,
  removed,
  changed,
  keys,
  columns,
  columnsAdded,
  columnsRemoved,
  columnsChanged,
  sample,
}: TableDifference): string {
  const moved = newest === base ? '' : yellow(` (the table is at ${newest} by now)`)
  const lines = [
    `${bold(table)} since version ${base}${moved}: ${green(`${added} added`)}, ${red(`${removed} removed`)}, ${yellow(`${changed} changed`)}`,
    ...(columnsAdded.length > 0 ? [`  new columns: ${columnsAdded.join(', ')}`] : []),
    ...(columnsRemoved.length > 0 ? [`  without columns: ${columnsRemoved.join(', ')}`] : []),
    ...columnsChanged.map(({ column, before, after }) => `  ${column}: ${before} became ${after}`),
    ...(keys.length === 0 && added > 0 && removed > 0 ? [dim('  rows are not paired: name the columns that tell them apart with --keys')] : []),
  ]
  if (sample.length === 0) return lines.join('\n')
  const rows = sample.map(({ change, before, after }) => [
    change,
    ...columns.map((column) => {
      const [was, is] = [before?.[column], after?.[column]]
      return before && after && JSON.stringify(was) !== JSON.stringify(is) ? `${shown(was)} -> ${shown(is)}` : shown(after ? is : was)
    }),
  ])
  return [...lines, textTable(['', ...columns], rows)].join('\n')
}

const shown = (value: unknown): string => (value === null || value === undefined ? 'null' : typeof value === 'string' ? value : JSON.stringify(value))

async function merge(lake: Lake, args: Arguments, [name = '']: readonly string[]): Promise<number> {
  const dryRun = args.values['dry-run'] === true
  const merged = await lake.branches.merge(name, { dryRun })
  if (args.values.json) print(JSON.stringify(merged))
  else {
    print(
      textTable(
        ['table', dryRun ? 'would be' : 'is', 'version', 'files added', 'files removed'],
        merged.map(({ table, outcome, version, filesAdded, filesRemoved }) => [table, outcome, version, filesAdded, filesRemoved]),
      ),
    )
    note(dim(dryRun ? `No conflicts. Merge it with: lagoa branch merge ${name}` : `The branch ${name} was merged and is gone.`))
  }
  return 0
}

async function drop(lake: Lake, args: Arguments, [name = '']: readonly string[]): Promise<number> {
  await lake.branches.drop(name)
  if (args.values.json) print(JSON.stringify({ dropped: name }))
  else print(`The branch ${name} is gone. The tables that it was made of are as they were.`)
  return 0
}

/** `lagoa refresh [TABLE] [--branch NAME]`. */
export function refresh(args: Arguments): Promise<number> {
  return withPlatform(args, async ({ pipeline }) => {
    if (!pipeline) throw invalid('project.not_loaded', 'No project is loaded here', { hint: 'Run it in a project folder, or name one with --project.' })
    const { branch: name } = args.values
    const lake = name === undefined ? pipeline.lake : await pipeline.lake.within(name)
    const wanted = args.positionals[0]
    const names = wanted === undefined ? await refreshable(lake, name) : [wanted]
    const results = []
    for (const table of names) results.push(await lake.refresh(table))
    if (args.values.json) print(JSON.stringify(results))
    else
      print(
        textTable(
          ['table', 'outcome', 'version', 'rows', 'held', 'ms'],
          results.map(({ table, outcome, version, rows, held, ms }) => [table, outcome, version, rows, held, Math.round(ms)]),
        ),
      )
    return 0
  })
}

/** In the order of the plan; in a branch only tables that it holds. */
async function refreshable(lake: Lake, branch: string | undefined): Promise<string[]> {
  const models = lake.plan.models.map(({ name }) => name)
  if (branch === undefined) return models
  const held = new Set((await lake.branches.get(branch)).tables.map(({ table }) => table))
  return models.filter((name) => held.has(name))
}
