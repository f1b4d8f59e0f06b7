/** `lagoa tables` and `lagoa sql`: reading commands, which work beside a running server and without one. */
import { quarantineName, refusals, tierOf, type Freshness, type Lake } from '../lake/index.ts'
import { invalid, toLagoaError } from '../base/index.ts'
import { openPlatform, type Platform } from '../platform/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { bytesText, note, print, textTable } from './output.ts'
import { configFor, loggerFor } from './setup.ts'

/** Opens what is needed to read, beside a running server or without one. */
export async function withPlatform(args: Arguments, body: (platform: Platform) => Promise<number>): Promise<number> {
  const config = await configFor(args, false)
  const platform = await openPlatform({ config, logger: loggerFor(config, args, 'warn'), feed: null })
  try {
    return await body(platform)
  } finally {
    await platform.close()
  }
}

export function tables(args: Arguments): Promise<number> {
  return withPlatform(args, async (platform) => {
    const lake = platform.pipeline?.lake
    const wanted = args.positionals[0]
    const names = wanted === undefined ? ((await lake?.names()) ?? []) : [wanted]
    const listed = await Promise.all(
      names.map(async (name) => {
        // One damaged table must not hide the others; asked for by name, its fault is the answer.
        let fault: string | undefined
        const snapshot = await lake
          ?.table(name)
          .snapshot()
          .catch((error: unknown) => {
            if (wanted !== undefined) throw error
            fault = toLagoaError(error).message
            return null
          })
        const refused = lake ? await refusedFiles(lake, name) : []
        const freshness = fault === undefined ? await lake?.freshness(name).catch(() => null) : null
        fault ??= refused.length === 0 ? undefined : refused.map(({ error }) => error).join(' ')
        return {
          name,
          tier: tierOf(name),
          rows: snapshot?.rowCount ?? null,
          bytes: snapshot?.bytes ?? 0,
          files: snapshot?.fileCount ?? 0,
          version: snapshot?.version ?? null,
          updatedAt: snapshot?.timestamp ?? null,
          ...(freshness ? { freshness } : {}),
          ...(fault === undefined ? {} : { error: fault }),
          ...(wanted === undefined
            ? {}
            : { columns: snapshot?.metadata.fields.map((field) => ({ name: field.name, type: field.type, nullable: field.nullable })) ?? [] }),
        }
      }),
    )
    const targets = listed.some(({ freshness }) => freshness)
    if (args.values.json) print(JSON.stringify(wanted === undefined ? listed : listed[0]))
    else {
      print(
        textTable(
          ['table', 'rows', 'size', 'files', 'version', 'updated', ...(targets ? ['data'] : [])],
          listed.map((t) => [
            t.name,
            t.rows,
            bytesText(t.bytes),
            t.files,
            t.version,
            t.updatedAt === null && t.error !== undefined ? 'cannot be read' : t.updatedAt === null ? 'not written yet' : new Date(t.updatedAt).toISOString(),
            ...(targets ? [freshnessText(t.freshness)] : []),
          ]),
        ),
      )
      for (const { name, error } of listed) if (error !== undefined) note(`${name}: ${error}`)
      const columns = listed[0]?.columns
      if (columns)
        print(
          `\n${textTable(
            ['column', 'type', 'null'],
            columns.map((c) => [c.name, c.type, c.nullable ? 'yes' : 'no']),
          )}`,
        )
    }
    return 0
  })
}

/** More than these are no list that anybody reads. */
const MOST_REFUSALS = 5

/** Files that the table's folder has and the table could not take. */
async function refusedFiles(lake: Lake, name: string): Promise<{ readonly error: string }[]> {
  if (name.endsWith('_quarantine')) return []
  const connection = await lake.duck.connect()
  try {
    return await refusals(lake.open(quarantineName(name)), connection, MOST_REFUSALS)
  } catch {
    // A damaged quarantine is told where it is listed itself.
    return []
  } finally {
    connection.closeSync()
  }
}

function freshnessText(freshness: Freshness | undefined): string {
  if (!freshness) return ''
  return freshness.since === null ? freshness.state : `stale since ${new Date(freshness.since).toISOString()}`
}

export function runSql(args: Arguments): Promise<number> {
  const text = args.positionals.join(' ')
  if (text.trim() === '') throw invalid('cli.no_sql', 'There is no query', { hint: "Write it in quotes: lagoa sql 'select count(*) from silver.readings'" })
  return withPlatform(args, async (platform) => {
    const limit = numberFlag('limit', args.values.limit) ?? 1000
    const { branch } = args.values
    const answer = await platform.query.run(text, { ...(branch === undefined ? {} : { branch }), limit, outside: true })
    if (args.values.json) print(JSON.stringify(answer))
    else {
      print(
        textTable(
          answer.columns.map(({ name }) => name),
          answer.rows,
        ),
      )
      note(`${answer.rows.length} rows${answer.truncated ? ' (there are more; raise --limit)' : ''} in ${Math.round(answer.elapsedMs)} ms`)
    }
    return 0
  })
}
