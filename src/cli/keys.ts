/** `lagoa keys ...`: the live cache, beside a running server or without one. */
import { invalid, missing } from '../base/index.ts'
import type { Platform } from '../platform/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { dim, note, print, textTable } from './output.ts'
import { withPlatform } from './read.ts'

export function keys(args: Arguments): Promise<number> {
  const [word = 'list', ...names] = args.positionals
  if (word === 'list') return withPlatform(args, (platform) => list(platform, args, names[0] ?? ''))
  if (word !== 'get' && word !== 'delete')
    throw invalid('cli.no_word', `lagoa keys ${word} is no command`, { hint: 'Write lagoa keys list [PREFIX], lagoa keys get KEY or lagoa keys delete KEY...' })
  const [name] = names
  if (name === undefined) throw invalid('cli.no_key', 'There is no key named', { hint: `Write lagoa keys ${word} KEY; lagoa keys lists them.` })
  return withPlatform(args, (platform) => (word === 'get' ? get(platform, args, name) : remove(platform, args, names)))
}

const PAGE = 1000

async function list({ engines }: Platform, { values }: Arguments, prefix: string): Promise<number> {
  const limit = numberFlag('limit', values.limit) ?? 100
  const found = []
  let cursor: string | undefined
  do {
    const page = await engines.keys.scan(prefix, { limit: Math.min(PAGE, limit - found.length), ...(cursor === undefined ? {} : { cursor }) })
    found.push(...page.entries)
    cursor = page.cursor
  } while (cursor !== undefined && found.length < limit)
  if (values.json) print(JSON.stringify(found))
  else {
    print(
      textTable(
        ['key', 'fields', 'written', 'left'],
        found.map(({ key, fields, updatedAt, expiresAt }) => [key, JSON.stringify(fields), writtenText(updatedAt), leftText(expiresAt)]),
      ),
    )
    if (cursor !== undefined) note(dim('There are more; raise --limit, or name a longer prefix.'))
  }
  return 0
}

async function get({ engines }: Platform, { values }: Arguments, key: string): Promise<number> {
  const entry = await engines.keys.get(key)
  if (!entry)
    throw missing('keys.no_key', `There is no key ${key}`, { hint: 'It never was, or its time to live is over; lagoa keys list PREFIX lists those that are.' })
  if (values.json) print(JSON.stringify(entry))
  else {
    print(textTable(['field', 'value'], Object.entries(entry.fields)))
    const written = entry.updatedAt === 0 ? [] : [`written ${writtenText(entry.updatedAt)}`]
    note(dim([...written, entry.expiresAt === null ? 'stays' : `${leftText(entry.expiresAt)} left`].join(', ')))
  }
  return 0
}

async function remove({ engines }: Platform, { values }: Arguments, names: readonly string[]): Promise<number> {
  const deleted = await engines.keys.delete(names)
  if (values.json) print(JSON.stringify({ deleted }))
  else print(`${deleted} of ${names.length} ${names.length === 1 ? 'key was' : 'keys were'} there and ${deleted === 1 ? 'is' : 'are'} gone`)
  return 0
}

/** Nothing where the engine does not know, because another program wrote the key. */
const writtenText = (updatedAt: number): string => (updatedAt === 0 ? '' : new Date(updatedAt).toISOString())

function leftText(expiresAt: number | null): string {
  if (expiresAt === null) return ''
  const seconds = Math.max(0, Math.round((expiresAt - Date.now()) / 1000))
  return seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}
