/** `lagoa alerts ...`: alerts, rules and silences, beside a running server or without one. */
import { userInfo } from 'node:os'
import { closest, invalid, missing, parseDuration } from '../base/index.ts'
import type { Platform } from '../platform/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { dim, note, print, textTable, yellow } from './output.ts'
import { withPlatform } from './read.ts'

const STATES = ['pending', 'firing', 'resolved', 'fired'] as const

export function alerts(args: Arguments): Promise<number> {
  const [word = 'list', name] = args.positionals
  if (word === 'list') return withPlatform(args, (platform) => list(platform, args))
  if (word === 'rules') return withPlatform(args, (platform) => rules(platform, args))
  if (word === 'silences') return withPlatform(args, (platform) => silences(platform, args))
  if (word !== 'silence' && word !== 'unsilence')
    throw invalid('cli.no_word', `lagoa alerts ${word} is no command`, {
      hint: 'Write lagoa alerts list, rules, silences, silence RULE or unsilence RULE.',
    })
  if (name === undefined) throw invalid('cli.no_rule', 'There is no rule named', { hint: `Write lagoa alerts ${word} RULE; lagoa alerts rules lists them.` })
  return withPlatform(args, (platform) => (word === 'silence' ? silence(platform, args, name) : unsilence(platform, args, name)))
}

async function list({ alerts: all }: Platform, { values }: Arguments): Promise<number> {
  const state = STATES.find((one) => one === values.state)
  if (values.state !== undefined && state === undefined)
    throw invalid('cli.state', `--state is ${values.state}, which no alert can be`, { hint: `Write one of: ${STATES.join(', ')}.` })
  const limit = numberFlag('limit', values.limit) ?? 100
  const { items, cursor } = await all.listAlerts({
    limit,
    ...(state === undefined ? {} : { state }),
    ...(values.rule === undefined ? {} : { rule: values.rule }),
  })
  if (values.json) print(JSON.stringify(items))
  else {
    print(
      textTable(
        ['started', 'rule', 'key', 'state', 'severity', 'readings', 'message'],
        items.map((one) => [shownTime(one.startedAt), one.rule, one.key, one.state, one.severity, one.matched, one.message]),
      ),
    )
    if (cursor !== undefined) note(dim('There are more; raise --limit.'))
  }
  return 0
}

async function rules({ alerts: all, pipeline }: Platform, { values }: Arguments): Promise<number> {
  const found = await all.listRules(pipeline?.rules)
  if (values.json) print(JSON.stringify(found))
  else
    print(
      textTable(
        ['rule', 'stream', 'when', 'severity', 'to', 'matched', 'fired', 'queued', 'firing', 'silent until'],
        found.map((one) => [
          one.name,
          one.on,
          one.when,
          one.severity,
          one.to.join(', '),
          one.matched,
          one.fired,
          one.queued,
          one.firing,
          one.silence ? shownTime(one.silence.until) : '',
        ]),
      ),
    )
  return 0
}

async function silences({ alerts: all }: Platform, { values }: Arguments): Promise<number> {
  const found = await all.listSilences()
  if (values.json) print(JSON.stringify(found))
  else
    print(
      textTable(
        ['rule', 'until', 'reason', 'by', 'state', 'id'],
        found.map(({ rule, until, reason, by, active, endedAt, id }) => [
          rule,
          shownTime(until),
          reason,
          by ?? '',
          active ? 'silent' : endedAt === null ? 'over' : 'ended',
          id,
        ]),
      ),
    )
  return 0
}

async function silence({ alerts: all, pipeline }: Platform, { values }: Arguments, name: string): Promise<number> {
  const names = (pipeline?.rules ?? []).map((rule) => rule.name)
  if (!names.includes(name)) {
    const near = closest(name, names)
    throw missing('alerts.no_rule', `There is no rule ${name}`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `There are: ${names.join(', ')}.`,
    })
  }
  const ms = values.for === undefined ? null : parseDuration(values.for)
  if (ms === null)
    throw invalid('cli.for', 'Nothing says for how long', { hint: `Write lagoa alerts silence ${name} --for 2h --reason 'sensor 4 is being replaced'` })
  const made = await all.silence(name, { until: Date.now() + ms, reason: values.reason ?? '', by: whoRuns() })
  if (values.json) print(JSON.stringify(made))
  else {
    print(`${name} is silent until ${shownTime(made.until)}`)
    note(dim(`Its episodes stand in the history meanwhile. lagoa alerts unsilence ${name} ends it.`))
  }
  return 0
}

async function unsilence({ alerts: all }: Platform, { values }: Arguments, name: string): Promise<number> {
  const open = (await all.listSilences()).filter(({ rule, active }) => active && rule === name)
  const ended = await Promise.all(open.map(({ id }) => all.endSilence(id)))
  if (values.json) print(JSON.stringify(ended))
  else print(ended.length > 0 ? `${name} speaks again` : yellow(`${name} was not silent`))
  return 0
}

const shownTime = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms))

/** Whoever runs this, as the system calls them; a container may run as nobody that it knows. */
function whoRuns(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}
