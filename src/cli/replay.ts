/** `lagoa replay`: held rows that pass today go back into their table, by the running server when there is one. */
import { z } from 'zod'
import { invalid, unavailable } from '../base/index.ts'
import type { ReplayResult } from '../lake/index.ts'
import { aloneOrAsk, openPlatform } from '../platform/index.ts'
import type { Arguments } from './args.ts'
import { askServer } from './ask.ts'
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
      async (url) => ({ table: name, ...Answer.parse(await askServer(url, `/api/v1/tables/${encodeURIComponent(name)}/replay`, { dryRun })) }),
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
