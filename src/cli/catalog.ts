/**
 * `lagoa assets`, `lagoa lineage` and `lagoa impact`: questions to the catalogue. It is read from the project's files alone, so no
 * database is started and nothing is written.
 */
import { closest, invalid } from '../base/index.ts'
import {
  ASSET_KINDS,
  EFFECTS,
  findPlace,
  impact,
  KIND_WORDS,
  lineage,
  placeText,
  searchAssets,
  type AssetKind,
  type Direction,
  type Effect,
  type Graph,
  type ImpactItem,
  type Place,
} from '../catalog/index.ts'
import { readCatalog } from '../platform/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { flowText } from './flow.ts'
import { bold, dim, note, print, textTable } from './output.ts'
import { configFor } from './setup.ts'

const MOST_ASSETS = 1000

export async function assets(args: Arguments): Promise<number> {
  const { kind, tag, owner, limit, json } = args.values
  const filter = {
    search: args.positionals.join(' '),
    ...(kind === undefined ? {} : { kind: kindCalled(kind) }),
    ...(tag === undefined ? {} : { tag }),
    ...(owner === undefined ? {} : { owner }),
  }
  const most = numberFlag('limit', limit) ?? MOST_ASSETS
  const found = searchAssets(await catalogFor(args), filter)
  const shown = found.slice(0, most)
  if (json) {
    print(JSON.stringify(shown.map(({ asset, columns }) => ({ ...asset, matched: columns }))))
    return 0
  }
  print(
    textTable(
      ['asset', 'kind', 'owner', 'tags', 'columns', filter.search === '' ? 'description' : 'found in'],
      shown.map(({ asset, columns }) => [
        asset.name,
        KIND_WORDS[asset.kind],
        asset.owner ?? '',
        asset.tags.join(', '),
        asset.columns.length,
        filter.search === '' || columns.length === 0 ? (asset.description ?? '') : columns.join(', '),
      ]),
    ),
  )
  if (found.length > shown.length) note(`${shown.length} of ${found.length} assets; raise --limit`)
  return 0
}

export async function showLineage(args: Arguments): Promise<number> {
  const direction = directionCalled(args.values.direction ?? 'both')
  const depth = numberFlag('depth', args.values.depth)
  const { graph, start } = await asked(args, 'lineage')
  const answer = lineage(graph, start, { direction, ...(depth === undefined ? {} : { depth }) })
  if (args.values.json) {
    print(
      JSON.stringify({
        start,
        ...answer,
        nodes: answer.nodes.map(({ asset: { id, kind, name }, distance, traced }) => ({ id, kind, name, distance, traced })),
      }),
    )
    return 0
  }
  print(bold(described(graph, start)))
  if (direction !== 'down') print(`\n${flowText('made of', answer, start, 'up')}`)
  if (direction !== 'up') print(`\n${flowText('makes', answer, start, 'down')}`)
  const { unknown } = graph.byId.get(start.asset) ?? {}
  if (unknown !== undefined) note(`Of which columns it is made is not known: ${unknown}`)
  if (answer.truncated) note('There is more; raise --depth')
  return 0
}

export async function showImpact(args: Arguments): Promise<number> {
  const { graph, start } = await asked(args, 'impact')
  const answer = impact(graph, start)
  if (args.values.json) {
    print(JSON.stringify({ start, ...answer }))
    return 0
  }
  print(bold(`If ${described(graph, start)} goes`))
  if (answer.items.length === 0) print('\nNothing uses it.')
  for (const effect of EFFECTS) {
    const items = answer.items.filter((item) => item.effect === effect)
    if (items.length === 0) continue
    print(`\n${bold(EFFECT_WORDS[effect])} (${answer.counts[effect]})`)
    const width = Math.max(...items.map((item) => described(graph, item).length))
    for (const item of items) print(`  ${described(graph, item).padEnd(width)}  ${item.why}${wayText(item)}`)
  }
  if (answer.truncated) note('There is more; ask for what is nearer')
  return 0
}

const EFFECT_WORDS: Readonly<Record<Effect, string>> = {
  breaks: 'breaks',
  may_break: 'may break',
  goes: 'goes too',
  changes: 'changes',
  waits: 'waits',
}

/** The places between, where there are any. */
function wayText({ path }: ImpactItem): string {
  const between = path.slice(1, -1)
  return between.length === 0 ? '' : dim(`  by ${between.map(placeText).join(' -> ')}`)
}

async function catalogFor(args: Arguments): Promise<Graph> {
  const { project } = await configFor(args, false)
  return readCatalog(project)
}

async function asked(args: Arguments, command: string): Promise<{ readonly graph: Graph; readonly start: Place }> {
  const [name] = args.positionals
  if (name === undefined)
    throw invalid('cli.no_asset', 'There is no asset named', { hint: `Name a table, a stream or a column: lagoa ${command} silver.readings.co` })
  const graph = await catalogFor(args)
  return { graph, start: findPlace(graph, name) }
}

function described(graph: Graph, place: Place): string {
  const kind = graph.byId.get(place.asset)?.kind
  return kind === undefined || kind === 'table' ? placeText(place) : `${KIND_WORDS[kind]} ${placeText(place)}`
}

function kindCalled(text: string): AssetKind {
  const kind = ASSET_KINDS.find((one) => one === text || KIND_WORDS[one] === text)
  if (kind) return kind
  throw invalid('cli.kind', `--kind is ${text}, which is no kind of asset`, { hint: choice(text, ASSET_KINDS) })
}

const DIRECTIONS = ['up', 'down', 'both'] as const

function directionCalled(text: string): Direction {
  const direction = DIRECTIONS.find((one) => one === text)
  if (direction) return direction
  throw invalid('cli.direction', `--direction is ${text}`, { hint: choice(text, DIRECTIONS) })
}

function choice(text: string, known: readonly string[]): string {
  const near = closest(text, known)
  return near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Write one of: ${known.join(', ')}.`
}
