/** `lagoa dev` and `lagoa start`: the server with the console, or one pass over what there is with `--once`. */
import { resolve } from 'node:path'
import { toLagoaError, type Log } from '../base/index.ts'
import { openPlatform, runOnce, watchProject, type Feed, type OnceSummary, type Patience, type Platform } from '../platform/index.ts'
import { openDoor, startServer } from '../server/index.ts'
import { numberFlag, rateFlag, type Arguments } from './args.ts'
import { bold, dim, green, note, print, printError } from './output.ts'
import { configFor, loggerFor } from './setup.ts'
import { INTERRUPTED, onStopSignal } from './signals.ts'

export async function serve(command: 'dev' | 'start', args: Arguments): Promise<number> {
  const began = performance.now()
  const { values } = args
  const json = values.json ?? false
  const stopped = onStopSignal()
  const config = await configFor(args, true)
  const logger = loggerFor(config, args, values.once || process.stderr.isTTY ? 'warn' : 'info')
  const feed: Feed = {
    data: values.data === undefined ? undefined : values.data.includes('=') ? values.data : resolve(values.data),
    rate: rateFlag(values.rate),
    simulation: { stations: numberFlag('stations', values.stations), seed: numberFlag('seed', values.seed, 0), count: numberFlag('count', values.count) },
    once: values.once ?? false,
  }
  if (feed.once) return once(await openPlatform({ config, logger, feed, url: 'the command line (--once)' }), json, stopped)

  const door = await openDoor(config.http)
  const patience: Patience = {
    signal: stopped,
    onAway(fault) {
      door.waitFor(fault)
      if (!json && process.stderr.isTTY) note(`  ${fault.message}. ${fault.hint ?? ''} Trying again ...`)
    },
  }
  try {
    const platform = await openPlatform({ config, logger, feed, url: door.url, tolerant: command === 'dev', patience }).catch((error: unknown) => {
      if (stopped.aborted) return null
      throw error
    })
    if (platform === null) return 0
    try {
      const server = startServer({ platform, door, logger })
      const unwatch = command === 'dev' ? watch(platform, logger) : () => undefined
      try {
        const ms = Math.round(performance.now() - began)
        if (json) print(JSON.stringify({ url: door.url, pid: process.pid, ms }))
        else printReady(platform, door.url, ms)
        logger.info('platform.ready', { url: door.url, ms })
        await aborted(stopped, platform.engines.lost)
        logger.info('platform.stopping', {})
        if (platform.engines.lost.aborted) throw platform.engines.lost.reason
        return 0
      } finally {
        unwatch()
        await server.close()
      }
    } finally {
      await platform.close()
    }
  } finally {
    await door.close()
  }
}

function watch(platform: Platform, logger: Log): () => void {
  return watchProject(
    platform.config.project,
    () => void platform.reload(),
    (error) => logger.warn('project.not_watched', { error: toLagoaError(error), hint: 'Saved files are not noticed; start again to load them.' }),
  )
}

function aborted(...signals: AbortSignal[]): Promise<void> {
  const any = AbortSignal.any(signals)
  return new Promise((done) => {
    if (any.aborted) done()
    any.addEventListener('abort', () => done(), { once: true })
  })
}

function printReady({ config, problem }: Platform, url: string, ms: number): void {
  note(`\n  ${green('●')} ${bold('Lagoa')} is ready ${dim(`in ${ms} ms`)}\n`)
  print(`  ${url}`)
  note(`\n  ${dim(`Project ${config.project}`)}\n  ${dim(`State   ${config.home}`)}\n  ${dim('Ctrl+C stops it; the next start goes on from here.')}\n`)
  if (problem) note(`  The project has a fault: ${problem.message}\n  ${problem.hint ?? ''}\n`)
}

async function once(platform: Platform, json: boolean, stopped: AbortSignal): Promise<number> {
  try {
    const summary = await runOnce(platform, AbortSignal.any([stopped, platform.engines.lost]), (step) => {
      if (!json && process.stderr.isTTY) note(dim(`  ${step} ...`))
    })
    if (json) print(JSON.stringify(summary))
    else printSummary(summary, platform)
    return 0
  } catch (error) {
    if (!stopped.aborted) throw error
    await printError(stopped.reason, json)
    return INTERRUPTED
  } finally {
    await platform.close()
  }
}

function printSummary({ streams, tables, alerts, seconds }: OnceSummary, platform: Platform): void {
  const count = (value: number): string => value.toLocaleString('en')
  for (const [name, { read, dead_letter: dead }] of Object.entries(streams)) print(`stream ${name}: ${count(read)} records, ${count(dead)} dead letters`)
  for (const [name, { rows, version }] of Object.entries(tables))
    print(`table  ${name}: ${count(rows)} rows${version === null ? ', not written yet' : `, version ${version}`}`)
  for (const [name, { matched, fired, queued }] of Object.entries(alerts))
    print(`alert  ${name}: ${count(matched)} matched, ${count(fired)} fired, ${count(queued)} queued`)
  print(`done in ${seconds.toFixed(2)} s; state is in ${platform.config.home}`)
}
