/** `lagoa dev` and `lagoa start`: the server with the console, or one pass over what there is with `--once`. */
import { resolve } from 'node:path'
import { openPlatform, runOnce, watchProject, type Feed, type OnceSummary, type Platform } from '../platform/index.ts'
import { startServer } from '../server/index.ts'
import { numberFlag, rateFlag, type Arguments } from './args.ts'
import { bold, dim, green, note, print } from './output.ts'
import { configFor, loggerFor } from './setup.ts'

export async function serve(command: 'dev' | 'start', args: Arguments): Promise<number> {
  const began = performance.now()
  const { values } = args
  const config = await configFor(args, true)
  const logger = loggerFor(config, args, values.once || process.stderr.isTTY ? 'warn' : 'info')
  const feed: Feed = {
    data: values.data === undefined ? undefined : values.data.includes('=') ? values.data : resolve(values.data),
    rate: rateFlag(values.rate),
    simulation: { stations: numberFlag('stations', values.stations), seed: numberFlag('seed', values.seed, 0), count: numberFlag('count', values.count) },
    once: values.once ?? false,
  }
  const stopped = onStopSignal()
  const platform = await openPlatform({ config, logger, feed, tolerant: command === 'dev' && !feed.once })
  try {
    if (feed.once) return await once(platform, values.json ?? false, stopped)
    const server = await startServer({ platform, logger })
    const unwatch = command === 'dev' ? watchProject(config.project, () => void platform.reload()) : () => undefined
    try {
      const ready = Math.round(performance.now() - began)
      if (values.json) print(JSON.stringify({ url: server.url, pid: process.pid, ms: ready }))
      else {
        note(`\n  ${green('●')} ${bold('Lagoa')} is ready ${dim(`in ${ready} ms`)}\n`)
        print(`  ${server.url}`)
        note(`\n  ${dim(`Project ${config.project}`)}\n  ${dim(`State   ${config.home}`)}\n  ${dim('Ctrl+C stops it; the next start goes on from here.')}\n`)
        if (platform.problem) note(`  The project has a fault: ${platform.problem.message}\n  ${platform.problem.hint ?? ''}\n`)
      }
      logger.info('platform.ready', { url: server.url, ms: ready })
      await new Promise<void>((done) => {
        if (stopped.aborted) done()
        stopped.addEventListener('abort', () => done(), { once: true })
      })
      logger.info('platform.stopping', {})
      return 0
    } finally {
      unwatch()
      await server.close()
    }
  } finally {
    await platform.close()
  }
}

async function once(platform: Platform, json: boolean, stopped: AbortSignal): Promise<number> {
  const summary = await runOnce(platform, stopped, (step) => {
    if (!json && process.stderr.isTTY) note(dim(`  ${step} ...`))
  })
  if (json) print(JSON.stringify(summary))
  else printSummary(summary, platform)
  return 0
}

function printSummary({ streams, tables, alerts, seconds }: OnceSummary, platform: Platform): void {
  const count = (value: number): string => value.toLocaleString('en')
  for (const [name, { read, dead_letter: dead }] of Object.entries(streams)) print(`stream ${name}: ${count(read)} records, ${count(dead)} dead letters`)
  for (const [name, { rows, version }] of Object.entries(tables)) print(`table  ${name}: ${count(rows)} rows${version === null ? ', not written yet' : `, version ${version}`}`)
  for (const [name, { matched, fired, queued }] of Object.entries(alerts)) print(`alert  ${name}: ${count(matched)} matched, ${count(fired)} fired, ${count(queued)} queued`)
  print(`done in ${seconds.toFixed(2)} s; state is in ${platform.config.home}`)
}

/** Aborts at the first SIGINT or SIGTERM; the second ends the process at once. */
function onStopSignal(): AbortSignal {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort()
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return controller.signal
}
