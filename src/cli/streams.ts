/** `lagoa streams ...`: what streams hold, beside a running server or without one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { invalid, parseDuration, parseInstant } from '../base/index.ts'
import {
  filterOf,
  readRecords,
  resendLetters,
  summarizeStreams,
  topicOf,
  type Platform,
  type ReadRecord,
  type RecordsRequest,
  type Topic,
} from '../platform/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { bytesText, dim, note, print, textTable, yellow } from './output.ts'
import { withPlatform } from './read.ts'

const WORDS = ['list', 'tail', 'dead-letters', 'resend'] as const

export function streams(args: Arguments): Promise<number> {
  const [word = 'list', name, ...more] = args.positionals
  if (word === 'list') return withPlatform(args, (platform) => list(platform, args))
  if (word !== 'tail' && word !== 'dead-letters' && word !== 'resend')
    throw invalid('cli.no_word', `lagoa streams ${word} is no command`, { hint: `Write one of: ${WORDS.map((one) => `lagoa streams ${one}`).join(', ')}.` })
  if (name === undefined) throw invalid('cli.no_stream', 'There is no stream named', { hint: `Write lagoa streams ${word} NAME; lagoa streams lists them.` })
  if (word === 'resend') return withPlatform(args, (platform) => resend(platform, args, name, more))
  return withPlatform(args, (platform) => tail(platform, args, word === 'dead-letters' && !name.endsWith('.dlq') ? `${name}.dlq` : name))
}

async function list(platform: Platform, { values }: Arguments): Promise<number> {
  const found = await summarizeStreams(platform)
  if (values.json) print(JSON.stringify(found))
  else {
    print(
      textTable(
        ['stream', 'partitions', 'records', 'kept', 'dead letters', 'behind'],
        found.map(({ name, partitions, records, bytes, deadLetters, sinks }) => [
          name,
          partitions,
          records,
          bytesText(bytes),
          deadLetters,
          sinks
            .filter(({ lag }) => lag > 0)
            .map((sink) => `${sink.name} ${sink.lag}`)
            .join(', '),
        ]),
      ),
    )
    const bad = found.find(({ deadLetters }) => deadLetters > 0)
    if (bad) note(dim(`lagoa streams dead-letters ${bad.name} shows what could not be read.`))
  }
  return 0
}

async function tail({ engines, pipeline }: Platform, { values }: Arguments, name: string): Promise<number> {
  const log = engines.eventLog
  const topic = topicOf(pipeline?.project.streams ?? [], name)
  const limit = numberFlag('limit', values.limit) ?? (topic.isDeadLetters ? 100 : 20)
  const filter = values.filter === undefined ? undefined : filterOf(topic, values.filter)
  const ends = await log.ends(name)
  const chosen = numberFlag('partition', values.partition, 0)
  const partitions = chosen === undefined ? ends.map((_, partition) => partition) : [chosen]
  const show = (records: readonly ReadRecord[]): void => {
    for (const record of records) print(values.json ? JSON.stringify(plain(record)) : lineOf(topic, record))
  }
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  try {
    const starts = await Promise.all(
      partitions.map(async (partition) => ({ partition, from: await placeOf(values.from, (time) => log.offsetAt(name, partition, time)) })),
    )
    const request = (partition: number, from: number | undefined): RecordsRequest => ({ partition, from, limit, filter, signal: stop.signal })
    const pages = await Promise.all(starts.map(async ({ partition, from }) => ({ partition, page: await readRecords(log, topic, request(partition, from)) })))
    const found = pages.flatMap(({ page }) => page.records).sort((a, b) => a.time - b.time || a.partition - b.partition || a.offset - b.offset)
    show(values.from === undefined ? found.slice(-limit) : found.slice(0, values.follow ? found.length : limit))
    if (!values.follow) {
      const left = pages.some(({ page }) => page.next < page.end)
      if (left && !values.json) note(dim('There is more; raise --limit, or begin later with --from.'))
      return 0
    }
    await Promise.all(
      pages.map(async ({ partition, page }) => {
        let { next } = page
        while (!stop.signal.aborted) {
          const found = await readRecords(log, topic, request(partition, next))
          show(found.records)
          next = found.next
          if (next >= found.end) await log.wait(name, partition, next, { signal: stop.signal })
          // Marks of an engine may stand at the end for a while: no reason to ask without pause.
          if (found.records.length === 0) await sleep(20)
        }
      }),
    )
    return 0
  } catch (error) {
    if (stop.signal.aborted) return 0
    throw error
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

/** An offset, `start`, a time, or how long ago; absent, the newest records. */
async function placeOf(text: string | undefined, offsetAt: (time: number) => Promise<number>): Promise<number | undefined> {
  if (text === undefined) return undefined
  if (text === 'start') return 0
  if (/^\d{1,15}$/.test(text)) return Number(text)
  const ago = parseDuration(text)
  const time = ago === null ? parseInstant(text) : Date.now() - ago
  if (time === null)
    throw invalid('cli.from', `--from is ${text}, which is no place in a stream`, {
      hint: "Write an offset, start, a time such as '2026-01-31 10:00' (UTC), or how long ago, such as 10m.",
    })
  return offsetAt(time)
}

function plain({ value, ...record }: ReadRecord): Record<string, unknown> {
  return { ...record, value: jsonOrText(value) }
}

function jsonOrText(value: Buffer): unknown {
  const text = value.toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const LONGEST_LINE = 2000

function lineOf(topic: Topic, { partition, offset, time, key, value }: ReadRecord): string {
  const text = value.toString('utf8').replaceAll(/[\n\r]+/g, ' ')
  const shown = text.length > LONGEST_LINE ? `${text.slice(0, LONGEST_LINE)}...` : text
  const place = dim(`${new Date(time).toISOString()}  ${topic.isDeadLetters ? offset : `${partition}/${offset}`}`)
  return `${place}  ${key === null ? '' : `${key}  `}${shown}`
}

async function resend(platform: Platform, { values }: Arguments, name: string, given: readonly string[]): Promise<number> {
  const limit = numberFlag('limit', values.limit) ?? 10_000
  if (given.length > 0 && values.all) throw invalid('cli.resend', 'Both offsets and --all were given', { hint: 'Give one of them.' })
  if (given.length === 0 && !values.all)
    throw invalid('cli.resend', 'Nothing says which dead letters to send again', {
      hint: `Give their offsets, as in lagoa streams resend ${name} 0 3, or --all; lagoa streams dead-letters ${name} lists them.`,
    })
  const letters = given.map((text) => {
    if (!/^\d{1,15}$/.test(text)) throw invalid('cli.resend', `${text} is no offset`, { hint: `lagoa streams dead-letters ${name} shows the offsets.` })
    return Number(text)
  })
  const result = await resendLetters(platform, name, { letters: values.all ? 'all' : letters, limit })
  if (values.json) print(JSON.stringify(result))
  else {
    const { resent, already, skipped, reasons, left } = result
    print(`${resent} sent again, ${already} were before, ${skipped} cannot be${left > 0 ? `, ${left} are left` : ''}`)
    for (const reason of reasons) note(yellow(`  ${reason}`))
  }
  return 0
}
