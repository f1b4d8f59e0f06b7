/** `lagoa replay`: held rows that pass today go back into their table, by the running server when there is one. */
import { z } from 'zod'
import { ERROR_KINDS, invalid, LagoaError, unavailable, type ErrorKind } from '../base/index.ts'
import type { ReplayResult } from '../lake/index.ts'
import { aloneOrAsk, openPlatform } from '../platform/index.ts'
import type { Arguments } from './args.ts'
import { note, print } from './output.ts'
import { configFor, loggerFor } from './setup.ts'

export async function replay(args: Arguments): Promise<number> {
  const name = args.positionals[0]
  if (name === undefined) throw invalid('cli.no_table', 'There is no table to replay', { hint: 'Name one: lagoa replay silver.readings --dry-run' })
  const dryRun = args.values['dry-run'] ?? false
  const config = await configFor(args, false)
  const platform = await openPlatform({ config, logger: loggerFor(config, args, 'warn'), feed: null })
  try {
    const result = await aloneOrAsk(
      platform.engines,
      async (lost) => {
        const lake = platform.pipeline?.lake
        if (!lake) throw platform.problem ?? unavailable('project.not_loaded', 'No project is loaded', { hint: 'Name its folder with --project DIR.' })
        return lake.replay(name, { dryRun, signal: lost })
      },
      (url) => ask(url, name, dryRun),
    )
    if (args.values.json) print(JSON.stringify(result))
    else printResult(result)
    return 0
  } finally {
    await platform.close()
  }
}

function printResult({ table, checked, released, stillHeld, superseded, dryRun }: ReplayResult): void {
  print(
    `${table}: ${released} of ${checked} held rows ${dryRun ? 'pass now' : 'are back'}, ${stillHeld} stay held, ${superseded} ${dryRun ? 'have' : 'had'} a newer row with their key`,
  )
  if (dryRun && released + superseded > 0) note(`lagoa replay ${table} puts them back.`)
}

const Answer = z.object({
  checked: z.number(),
  released: z.number(),
  stillHeld: z.number(),
  superseded: z.number(),
  version: z.number().nullable(),
  dryRun: z.boolean(),
})
const Failure = z.object({ error: z.object({ code: z.string(), kind: z.string(), message: z.string(), hint: z.string().optional() }) })

async function ask(url: string, table: string, dryRun: boolean): Promise<ReplayResult> {
  let body: unknown
  try {
    const answer = await fetch(`${url}/api/v1/tables/${encodeURIComponent(table)}/replay`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ dryRun }),
    })
    body = await answer.json()
  } catch (cause) {
    throw unavailable('cli.server_silent', `The Lagoa server at ${url} runs on this home and does not answer`, { hint: 'Wait for it, or stop it.', cause })
  }
  const failed = Failure.safeParse(body)
  if (failed.success) {
    const { kind, code, message, hint } = failed.data.error
    throw new LagoaError(isKind(kind) ? kind : 'bug', code, message, { hint })
  }
  return { table, ...Answer.parse(body) }
}

const isKind = (kind: string): kind is ErrorKind => Object.hasOwn(ERROR_KINDS, kind)
