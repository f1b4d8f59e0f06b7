import { z } from 'zod'
import { invalid, missing } from '../../base/index.ts'
import {
  ASSET_KINDS,
  findAsset,
  findColumn,
  findPlace,
  impact,
  lineage,
  searchAssets,
  type Asset,
  type Edge,
  type Graph,
  type Place,
} from '../../catalog/index.ts'
import { tierOf } from '../../lake/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import { AssetList, AssetShape, ImpactShape, LineageShape, type LineageEdge } from '../wire.ts'

/** Columns of an asset that a graph shows. */
const COLUMNS_SHOWN = 100

const Start = z.object({
  asset: z.string().min(1).describe('An id such as table:silver.readings, or a name that only one asset has; also silver.readings.co'),
  column: z.string().min(1).optional(),
})

export function assetRoutes(platform: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/assets',
      access: { action: 'read', resource: 'assets' },
      summary: 'Everything that the project declares; with a search the best first',
      query: z.object({
        search: z.string().max(200).optional(),
        kind: z.enum(ASSET_KINDS).optional(),
        tag: z.string().optional(),
        owner: z.string().optional(),
        limit: limitParam(1000, 100),
        cursor: z.string().optional(),
      }),
      answer: AssetList,
      async handle({ query: { limit, cursor, search, kind, tag, owner } }) {
        const found = searchAssets(await graphOf(platform), {
          ...(search === undefined ? {} : { search }),
          ...(kind === undefined ? {} : { kind }),
          ...(tag === undefined ? {} : { tag }),
          ...(owner === undefined ? {} : { owner }),
        })
        const from = cursor === undefined ? 0 : found.findIndex(({ asset }) => asset.id === cursor) + 1
        if (cursor !== undefined && from === 0)
          throw invalid('catalog.bad_cursor', 'The cursor is not one of this list', {
            hint: 'Pass the `cursor` of the page before with the same filters, or leave it out to start anew.',
          })
        const items = found.slice(from, from + limit)
        const last = items.at(-1)
        return {
          items: items.map(({ asset, columns }) => ({ ...head(asset), columns: asset.columns.length, matched: [...columns] })),
          ...(last && from + limit < found.length ? { cursor: last.asset.id } : {}),
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/assets/{id}',
      access: { action: 'read', resource: 'assets' },
      summary: 'One asset with its columns',
      params: z.object({ id: z.string() }),
      answer: AssetShape,
      async handle({ params: { id } }) {
        const asset = findAsset(await graphOf(platform), id)
        return {
          ...head(asset),
          columns: asset.columns.map(({ tags, ...column }) => ({ ...column, ...(tags ? { tags: [...tags] } : {}) })),
          ...(asset.partOf === undefined ? {} : { partOf: asset.partOf }),
          ...(asset.unknown === undefined ? {} : { unknown: asset.unknown }),
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/lineage',
      access: { action: 'read', resource: 'assets' },
      summary: 'What an asset or a column is made of, and what is made of it',
      query: Start.extend({
        direction: z.enum(['up', 'down', 'both']).default('both'),
        depth: z.coerce.number().int().min(1).max(100).default(100),
      }),
      answer: LineageShape,
      async handle({ query: { direction, depth, ...asked } }) {
        const graph = await graphOf(platform)
        const start = startOf(graph, asked)
        const { nodes, edges, truncated } = lineage(graph, start, { direction, depth })
        return {
          start,
          nodes: nodes.map(({ asset, distance, traced }) => ({
            ...head(asset),
            ...(asset.kind === 'table' ? { tier: tierOf(asset.name) } : {}),
            distance,
            columns: asset.columns.slice(0, COLUMNS_SHOWN).map(({ name, type }) => ({ name, ...(type === undefined ? {} : { type }) })),
            columnCount: asset.columns.length,
            traced: [...traced],
            ...(asset.unknown === undefined ? {} : { unknown: asset.unknown }),
          })),
          edges: edges.map(edgeShape),
          truncated,
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/impact',
      access: { action: 'read', resource: 'assets' },
      summary: 'What breaks, goes, changes or waits when a column or an asset goes away',
      query: Start.extend({ limit: limitParam(5000, 1000) }),
      answer: ImpactShape,
      async handle({ query: { limit, ...asked } }) {
        const graph = await graphOf(platform)
        const start = startOf(graph, asked)
        const { items, counts, truncated } = impact(graph, start, { limit })
        return {
          start,
          items: items.map(({ use, path, ...item }) => ({ ...item, ...(use ? { use: { ...use } } : {}), path: path.map((place) => ({ ...place })) })),
          counts,
          truncated,
        }
      },
    }),
  ]
}

async function graphOf({ pipeline, problem }: Platform): Promise<Graph> {
  if (pipeline) return pipeline.catalog()
  throw problem ?? missing('project.not_loaded', 'No project is loaded', { hint: 'Mend the project; it is loaded again when you save.' })
}

function startOf(graph: Graph, { asset, column }: z.output<typeof Start>): Place {
  if (column === undefined) return findPlace(graph, asset)
  const found = findAsset(graph, asset)
  return { asset: found.id, column: findColumn(found, column) }
}

function head({
  id,
  kind,
  name,
  description,
  owner,
  tags,
}: Asset): Pick<z.input<typeof AssetShape>, 'id' | 'kind' | 'name' | 'description' | 'owner' | 'tags'> {
  return { id, kind, name, ...(description === undefined ? {} : { description }), ...(owner === undefined ? {} : { owner }), tags: [...tags] }
}

function edgeShape({ from, to, how, use, passed }: Edge): LineageEdge {
  return { from: { ...from }, to: { ...to }, how, ...(use ? { use: { ...use } } : {}), ...(passed === undefined ? {} : { passed }) }
}
