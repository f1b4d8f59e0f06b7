import { z } from 'zod'
import { missing } from '../../base/index.ts'
import type { Lake } from '../../lake/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import { BranchDiff, BranchList, BranchMerge, BranchShape } from '../wire.ts'

const Name = z.object({ name: z.string() })

export function branchRoutes(platform: Platform): Route[] {
  const lake = (): Lake => {
    if (platform.pipeline) return platform.pipeline.lake
    throw platform.problem ?? missing('project.not_loaded', 'No project is loaded', { hint: 'Mend the project; it is loaded again when you save.' })
  }
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/branches',
      access: { action: 'read', resource: 'branches' },
      summary: 'The branches of the lake, oldest first',
      answer: BranchList,
      async handle() {
        return { items: (await lake().branches.list()).map(shapeOf) }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/branches',
      access: { action: 'manage', resource: 'branches' },
      summary: 'Fork tables at their newest versions, without copying them',
      body: z.object({ name: z.string(), tables: z.array(z.string()).min(1) }),
      answer: BranchShape,
      answerStatus: 201,
      async handle({ body, context }) {
        return shapeOf(await lake().branches.create(body.name, body.tables, context.req.raw.signal))
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/branches/{name}',
      access: { action: 'read', resource: 'branches' },
      summary: 'One branch',
      params: Name,
      answer: BranchShape,
      async handle({ params }) {
        return shapeOf(await lake().branches.get(params.name))
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/branches/{name}/diff',
      access: { action: 'read', resource: 'branches' },
      summary: 'What a branch changed in a table, row by row',
      params: Name,
      query: z.object({ table: z.string(), keys: z.string().optional().describe('Columns that pair rows, separated by commas'), limit: limitParam(1000, 20) }),
      answer: BranchDiff,
      async handle({ params, query, context }) {
        const keys = query.keys?.split(',').map((key) => key.trim()) ?? lake().keysOf(query.table)
        const found = await lake().branches.diff(params.name, query.table, { keys, limit: query.limit, signal: context.req.raw.signal })
        return {
          ...found,
          keys: [...found.keys],
          columns: [...found.columns],
          columnsAdded: [...found.columnsAdded],
          columnsRemoved: [...found.columnsRemoved],
          columnsChanged: found.columnsChanged.map((one) => ({ ...one })),
          sample: found.sample.map(({ change, before, after }) => ({ change, before: before && { ...before }, after: after && { ...after } })),
        }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/branches/{name}/merge',
      access: { action: 'manage', resource: 'branches' },
      summary: 'Merge a branch into the tables that it was made of, and drop it; refused with a conflict where they moved on in its way',
      params: Name,
      body: z.object({ dryRun: z.boolean().default(false) }),
      answer: BranchMerge,
      async handle({ params, body, context }) {
        const items = await lake().branches.merge(params.name, { dryRun: body.dryRun, signal: context.req.raw.signal })
        return { dryRun: body.dryRun, items: items.map((one) => ({ ...one })) }
      },
    }),
    jsonRoute({
      method: 'delete',
      path: '/api/v1/branches/{name}',
      access: { action: 'manage', resource: 'branches' },
      summary: 'Drop a branch; the tables that it was made of stay as they are',
      params: Name,
      answer: z.object({ dropped: z.string() }),
      async handle({ params }) {
        await lake().branches.drop(params.name)
        return { dropped: params.name }
      },
    }),
  ]
}

const shapeOf = ({
  name,
  createdAt,
  tables,
}: {
  name: string
  createdAt: number
  tables: readonly { table: string; version: number }[]
}): z.input<typeof BranchShape> => ({
  name,
  createdAt,
  tables: tables.map((one) => ({ ...one })),
})
